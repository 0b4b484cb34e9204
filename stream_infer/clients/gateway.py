"""A gateway, asked by a thread that waits."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any, TypeVar

import httpx

from stream_infer.clients.call import AsyncOutgoing, Call, Outgoing, Request
from stream_infer.clients.lines import LineSplitter
from stream_infer.clients.steps import Attempt, Pause, Pour, Retries, Step, Steps, attempts
from stream_infer.clients.wire import READ_TIMEOUT_S, Wire, answer_of, options
from stream_infer.errors import StreamInferError

T = TypeVar("T")


class Gateway:
    """The gateway at `url`, with the API key `key` where it asks for one. Connects to nothing yet; threads may
    share it.

    Every method raises what `clients/errors.py` draws.
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        timeout_s: float = READ_TIMEOUT_S,
        retries: Retries = Retries(),  # noqa: B008 (frozen)
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._wire = Wire.to(url, key, timeout_s)
        self._retries = retries
        self._sleep = sleep
        self._http = httpx.Client(**options())
        # One that nobody closes leaves no socket behind.
        self._closing = weakref.finalize(self, self._http.close)

    @property
    def url(self) -> str:
        return self._wire.url

    def ask(self, call: Call[T]) -> T:
        response: httpx.Response = self.run(attempts(call.request, self._retries))
        with closing(response):
            try:
                response.read()
            except httpx.HTTPError as error:
                raise self._wire.break_off(call.request, error) from error
        return call.read(answer_of(response))

    def lines(self, request: Request) -> Iterator[bytes]:
        """The lines of the answer, each with its line end, as they come. Whoever has enough closes it."""
        response: httpx.Response = self.run(attempts(request, self._retries))
        splitter = LineSplitter()
        with closing(response):
            try:
                for chunk in response.iter_bytes():
                    yield from splitter.feed(chunk)
            except httpx.HTTPError as error:
                raise self._wire.break_off(request, error) from error
            yield from splitter.end()

    def run(self, steps: Steps[T]) -> T:
        with closing(steps):
            told: Any = None
            failed: StreamInferError | None = None
            while True:
                try:
                    step = steps.send(told) if failed is None else steps.throw(failed)
                except StopIteration as end:
                    result: T = end.value
                    return result
                told, failed = None, None
                try:
                    told = self._take(step)
                except StreamInferError as error:
                    failed = error

    def close(self) -> None:
        self._closing()

    def _take(self, step: Step) -> Any:
        match step:
            case Pause():
                return self._sleep(step.seconds)
            case Attempt():
                return self._open(step.request)
            case Call():
                return self.ask(step)
            case Pour():
                for line in self.lines(step.request):
                    step.take(line)
                return None

    def _open(self, request: Request) -> httpx.Response:
        """An answer that is no error, its body not read."""
        assert not isinstance(request.body, AsyncOutgoing), "only the async client sends what coroutines make"
        content = request.body.begin() if isinstance(request.body, Outgoing) else request.body
        try:
            built = self._http.build_request(content=content, **self._wire.arguments(request))
            response = self._http.send(built, stream=True)
            if response.status_code < 300:
                return response
            with closing(response):
                response.read()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._wire.silence(error) from error
        refusal = self._wire.refusal(response)
        assert refusal is not None
        raise refusal
