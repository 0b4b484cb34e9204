"""A gateway, asked by coroutines. What `gateway.py` does, with await."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, closing
from typing import Any, TypeVar

import anyio
import httpx

from stream_infer.clients.call import AsyncOutgoing, Call, Outgoing, Request
from stream_infer.clients.lines import LineSplitter
from stream_infer.clients.steps import Attempt, Pause, Pour, Retries, Step, Steps, attempts
from stream_infer.clients.wire import READ_TIMEOUT_S, Wire, answer_of, options
from stream_infer.errors import StreamInferError

T = TypeVar("T")


class AsyncGateway:
    """The gateway at `url`, with the API key `key` where it asks for one. Connects to nothing yet; for one event loop.

    Every method raises what `clients/errors.py` draws.
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        timeout_s: float = READ_TIMEOUT_S,
        retries: Retries = Retries(),  # noqa: B008 (frozen)
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        self._wire = Wire.to(url, key, timeout_s)
        self._retries = retries
        self._sleep = sleep
        self._http = httpx.AsyncClient(**options())

    @property
    def url(self) -> str:
        return self._wire.url

    async def ask(self, call: Call[T]) -> T:
        response: httpx.Response = await self.run(attempts(call.request, self._retries))
        async with aclosing(response):
            try:
                await response.aread()
            except httpx.HTTPError as error:
                raise self._wire.break_off(call.request, error) from error
        return call.read(answer_of(response))

    async def lines(self, request: Request) -> AsyncIterator[bytes]:
        """The lines of the answer, each with its line end, as they come. Whoever has enough closes it."""
        response: httpx.Response = await self.run(attempts(request, self._retries))
        splitter = LineSplitter()
        async with aclosing(response):
            try:
                async for chunk in response.aiter_bytes():
                    for line in splitter.feed(chunk):
                        yield line
            except httpx.HTTPError as error:
                raise self._wire.break_off(request, error) from error
            for line in splitter.end():
                yield line

    async def run(self, steps: Steps[T]) -> T:
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
                    told = await self._take(step)
                except StreamInferError as error:
                    failed = error

    async def close(self) -> None:
        await self._http.aclose()

    async def _take(self, step: Step) -> Any:
        match step:
            case Pause():
                return await self._sleep(step.seconds)
            case Attempt():
                return await self._open(step.request)
            case Call():
                return await self.ask(step)
            case Pour():
                async for line in self.lines(step.request):
                    step.take(line)
                return None

    async def _open(self, request: Request) -> httpx.Response:
        """An answer that is no error, its body not read."""
        try:
            built = self._http.build_request(content=_content(request), **self._wire.arguments(request))
            response = await self._http.send(built, stream=True)
            if response.status_code < 300:
                return response
            async with aclosing(response):
                await response.aread()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._wire.silence(error) from error
        refusal = self._wire.refusal(response)
        assert refusal is not None
        raise refusal


def _content(request: Request) -> bytes | AsyncIterator[bytes] | None:
    match request.body:
        case AsyncOutgoing():
            return request.body.begin()
        case Outgoing():
            return _in_turns(request.body.begin())
        case _:
            return request.body


async def _in_turns(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Chunks of files and of what users iterate: each is made on the event loop, between the sends."""
    for chunk in chunks:
        yield chunk
