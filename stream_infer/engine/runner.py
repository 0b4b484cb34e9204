"""One call of the predictor, in the child: decode, preprocess, predict, encode. Items fail one by one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence, Sized
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import orjson

from stream_infer.engine.codec import decoder_for, encode
from stream_infer.engine.failures import describe
from stream_infer.engine.wire import ToChild, ToParent, pack_failure
from stream_infer.errors import Stage
from stream_infer.predictors.finding import full_name
from stream_infer.predictors.protocol import Job, Predictor
from stream_infer.records import JSON

Message: TypeAlias = tuple[Any, ...]


@dataclass(slots=True)
class _Call:
    """A call under way. `rejected` holds packed failures, by the item's index; `prepared` what threads are at."""

    id: int
    types: list[str]
    payloads: list[bytes]
    prepared: list[Future[Any]] | None = None
    rejected: dict[int, Message] = field(default_factory=dict)

    def reject(self, index: int, error: BaseException, stage: Stage) -> None:
        self.rejected[index] = pack_failure(describe(error, stage))


class Runner:
    """Runs calls with one predictor. `say` sends a message to the parent and may be called from any thread."""

    def __init__(self, predictor: Predictor, threads: int, say: Callable[[Message], None]) -> None:
        self.name = full_name(predictor)
        self._predictor = predictor
        self._preprocess: Callable[[Any], Any] | None = getattr(predictor, "preprocess", None)
        self._pool = ThreadPoolExecutor(max(threads, 1), "preprocess") if self._preprocess else None
        self._say = say

    def admit(self, message: Message) -> Callable[[], None]:
        """Starts what can be done beside the model; returns the rest, for the main thread."""
        kind, call_id, *rest = message
        if kind == ToChild.HOOK:
            return lambda: self._complete_job(call_id, *rest)
        types, payloads = rest
        call = _Call(call_id, [types] * len(payloads) if isinstance(types, str) else types, payloads)
        if self._pool:
            # Announced first: an item may take the process down in here, too.
            self._say((ToParent.PREPARES.value, call_id))
            call.prepared = [self._pool.submit(self._prepare, *item) for item in zip(payloads, call.types, strict=True)]
        return lambda: self._run(call)

    def _prepare(self, data: bytes, content_type: str) -> Any:
        assert self._preprocess
        item = decoder_for(content_type)(data)
        try:
            return self._preprocess(item)
        except SystemExit as error:
            _exit(error)

    def _run(self, call: _Call) -> None:
        if call.prepared is None:
            self._say((ToParent.BEGINS.value, call.id))
            items = self._decode(call)
        else:
            items = self._collect(call)
            self._say((ToParent.BEGINS.value, call.id))
        outputs: Any = []
        if items:
            try:
                outputs = self._predictor.predict(items)
                if isinstance(outputs, Iterator):
                    outputs = list(outputs)
            except Exception as error:  # noqa: BLE001 - the predictor may raise anything; the parent judges it
                failure = pack_failure(describe(error, Stage.PREDICT))
                self._say((ToParent.RAISED.value, call.id, failure, call.rejected))
                return
        returned = _miscount(outputs, len(items))
        if returned:
            self._say((ToParent.MISCOUNTED.value, call.id, returned, call.rejected))
        else:
            self._say(_encode(call, outputs))

    def _decode(self, call: _Call) -> list[Any]:
        items: list[Any] = []
        for index, data in enumerate(call.payloads):
            try:
                items.append(decoder_for(call.types[index])(data))
            except Exception as error:  # noqa: BLE001 - whatever it is, it is this item's
                call.reject(index, error, Stage.DECODE)
        return items

    def _collect(self, call: _Call) -> list[Any]:
        items: list[Any] = []
        for index, future in enumerate(call.prepared or []):
            try:
                items.append(future.result())
            except Exception as error:  # noqa: BLE001 - whatever it is, it is this item's
                call.reject(index, error, Stage.PREPROCESS)
        return items

    def _complete_job(self, call_id: int, job_id: str, config: bytes) -> None:
        self._say((ToParent.BEGINS.value, call_id))
        hook: Callable[[Job], object] | None = getattr(self._predictor, "on_job_complete", None)
        try:
            if hook:
                hook(Job(job_id, orjson.loads(config)))
        except Exception as error:  # noqa: BLE001 - as in predict
            self._say((ToParent.RAISED.value, call_id, pack_failure(describe(error, Stage.PREDICT)), {}))
        else:
            self._say((ToParent.DONE.value, call_id, [None], JSON, {}))


def _encode(call: _Call, outputs: Sequence[Any]) -> Message:
    """The DONE message: content types as one string where all are alike, which they nearly always are."""
    values: list[bytes | None] = []
    types: list[str] = []
    results = iter(outputs)
    for index in range(len(call.payloads)):
        value, content_type = None, JSON
        if index not in call.rejected:
            output = next(results)
            try:
                if isinstance(output, BaseException):
                    call.reject(index, output, Stage.PREDICT)
                else:
                    value, content_type = encode(output)
            except Exception as error:  # noqa: BLE001 - an output's own code may run here
                call.reject(index, error, Stage.ENCODE)
        values.append(value)
        types.append(content_type)
    alike = types[0] if types.count(types[0]) == len(types) else types
    return (ToParent.DONE.value, call.id, values, alike, call.rejected)


def _miscount(outputs: object, expected: int) -> str:
    """What is wrong with the number of outputs, in words; empty where nothing is."""
    items = f"{expected} item" if expected == 1 else f"{expected} items"
    if not isinstance(outputs, Sized) or isinstance(outputs, str | bytes | dict | set):
        return f"a {full_name(outputs)} instead of a list of outputs for {items}"
    count = len(outputs)
    return "" if count == expected else f"{count} output{'' if count == 1 else 's'} for {items}"


def _exit(error: SystemExit) -> None:
    """In a thread, sys.exit would end only the thread; it ends the process, as it does in predict."""
    code = error.code if isinstance(error.code, int) else 1
    os._exit(code)
