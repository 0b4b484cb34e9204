"""One call of the predictor, in the child: decode, preprocess, collate, predict, encode. Items fail one by one.

    preprocess         threads, an item each      of the next calls
    collate            a thread of its own        of the next call
    predict, encode    the main thread            of this call

Items are decoded by the first of these that the predictor has.

What is no item's own, memory that ran out or a poisoned CUDA context, is the whole call's, wherever it shows.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence, Sized
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeAlias

from stream_infer.engine.codec import decode_alike, decoder_for, encode, encode_plain
from stream_infer.engine.diagnosis import Ailment, diagnose, relieve
from stream_infer.engine.failures import describe
from stream_infer.engine.scoped import ScopedCalls
from stream_infer.engine.wire import ToChild, ToParent, pack_failure, read_job
from stream_infer.errors import JobRefused, Stage
from stream_infer.predictors.finding import full_name, said
from stream_infer.predictors.protocol import Batch, Job, Predictor, Raised
from stream_infer.records import JSON

Message: TypeAlias = tuple[Any, ...]
# How many items there are for `predict`, and what it is called with.
_Ready: TypeAlias = tuple[int, Any]

# sysexits.h: an internal software error.
_POISONED = 70


class _Ailing(Exception):
    """An item's error that is the whole call's."""

    def __init__(self, error: BaseException, stage: Stage) -> None:
        super().__init__(error, stage)
        self.error = error
        self.stage = stage


@dataclass(slots=True)
class _Call:
    """A call under way. `types` is one where all items have the same. `rejected` holds packed failures, by the item's
    index; `prepared` and `collated` what threads are at. `prepared_s`, `model_s`: seconds until its items were ready,
    and in the model."""

    id: int
    types: str | list[str]
    payloads: Sequence[bytes | memoryview]
    batch: Batch | None = None
    prepared: list[Future[Any]] | None = None
    collated: Future[_Ready] | None = None
    rejected: dict[int, Message] = field(default_factory=dict)
    began: float = 0.0
    prepared_s: float = 0.0
    model_s: float = 0.0

    @property
    def seconds(self) -> float:
        """Since the main thread took it up."""
        return time.monotonic() - self.began

    @property
    def items(self) -> Iterator[tuple[bytes | memoryview, str]]:
        """Payloads and their content types."""
        types = itertools.repeat(self.types) if isinstance(self.types, str) else self.types
        return zip(self.payloads, types, strict=False)

    def reject(self, index: int, error: BaseException, stage: Stage, *, returned: bool = False) -> None:
        if diagnose(error):
            raise _Ailing(error, stage)
        self.rejected[index] = pack_failure(describe(error, stage, returned=returned))

    def let_go(self) -> None:
        """Forgets what was prepared, once no thread is at it any more: the call is over."""
        futures: list[Future[Any]] = [*(self.prepared or []), *([self.collated] if self.collated else [])]
        for future in futures:
            future.cancel()
        wait(futures)
        self.prepared = self.collated = None


class Runner:
    """Runs calls with one predictor. `say` sends a message to the parent and may be called from any thread.

    `mark` notes that a call begins which nothing prepares: it costs the parent less than to be told.
    """

    def __init__(
        self,
        predictor: Predictor,
        threads: int,
        say: Callable[[Message], None],
        mark: Callable[[int], None] | None = None,
    ) -> None:
        self.name = full_name(predictor)
        self._predictor = predictor
        self._decode_one: Callable[[bytes, str], Any] | None = getattr(predictor, "decode", None)
        self._preprocess: Callable[[Any], Any] | None = getattr(predictor, "preprocess", None)
        self._pool = ThreadPoolExecutor(max(threads, 1), "preprocess") if self._preprocess else None
        self._collate: Callable[[list[Any]], Any] | None = getattr(predictor, "collate", None)
        self._collator = ThreadPoolExecutor(1, "collate") if self._collate else None
        self._scoped = ScopedCalls(predictor, say)
        self._say = say
        self._mark = mark or self._begin

    @property
    def works_ahead(self) -> bool:
        """`admit` starts something that goes on beside the model."""
        return self._pool is not None or self._collator is not None

    def admit(self, message: Message) -> Callable[[], None]:
        """Starts what can be done beside the model; returns the rest, for the main thread."""
        kind, call_id, *rest = message
        if kind == ToChild.FORGET:
            return lambda: self._scoped.forget(call_id)
        if kind == ToChild.HOOK:
            return lambda: self._complete_job(_Call(call_id, [], []), read_job(*rest))
        types, payloads, batch = rest
        call = _Call(call_id, types, payloads, self._scoped.read(batch))
        if self._pool:
            # Announced first: an item may take the process down in here, too.
            self._say((ToParent.PREPARES.value, call_id))
            call.prepared = [self._pool.submit(self._prepare, *item) for item in call.items]
        if self._collator:
            call.collated = self._collator.submit(self._assemble, call)
        return lambda: self._run(call)

    def _prepare(self, data: bytes | memoryview, content_type: str) -> Any:
        assert self._preprocess
        item = self._decoded(data, content_type)
        try:
            return self._preprocess(item)
        except SystemExit as error:
            _exit(error)

    def _assemble(self, call: _Call) -> _Ready:
        assert self._collate
        if call.prepared is None:
            # In its turn, not when it was admitted: while it waits for this thread it cannot be to blame.
            self._say((ToParent.PREPARES.value, call.id))
            items = self._decode(call)
        else:
            items = self._collect(call)
        try:
            return len(items), self._collate(items) if items else None
        except SystemExit as error:
            _exit(error)

    def _run(self, call: _Call) -> None:
        call.began = time.monotonic()
        try:
            self._say(self._outcome(call))
        except MemoryError as error:  # the answer itself is too large to be packed
            self._say(self._failed(call, error, Stage.ENCODE))

    def _outcome(self, call: _Call) -> Message:
        try:
            return self._predict(call)
        except SystemExit as error:
            _exit(error)
        except _Ailing as ailing:
            return self._failed(call, ailing.error, ailing.stage)
        except BaseException as error:  # noqa: BLE001 - the predictor may raise anything; the parent judges it
            return self._failed(call, error, Stage.PREDICT)

    def _predict(self, call: _Call) -> Message:
        count, items = self._make_ready(call)
        call.prepared_s = call.seconds
        outputs: Any = []
        if count:
            outputs = self._scoped.predict(items, call.batch)
            if isinstance(outputs, Iterator):
                outputs = list(outputs)
        call.model_s = call.seconds - call.prepared_s
        returned = _miscount(outputs, count)
        if returned:
            return (ToParent.MISCOUNTED.value, call.id, returned, call.rejected)
        return _encode(call, outputs)

    def _make_ready(self, call: _Call) -> _Ready:
        """Waits for what threads are at. That it begins is said where the main thread's own work does."""
        if call.batch is not None:
            self._scoped.load(call.batch.job, call.id)
        if call.collated is not None:
            ready = call.collated.result()
            call.collated = call.prepared = None  # it may be large, and on a device: `predict` alone holds it now
        elif call.prepared is not None:
            items = self._collect(call)
            ready = len(items), items
        else:
            (self._mark if call.batch is None else self._begin)(call.id)
            items = self._decode(call)
            return len(items), items
        self._begin(call.id)
        return ready

    def _begin(self, call_id: int) -> None:
        self._say((ToParent.BEGINS.value, call_id))

    def _failed(self, call: _Call, error: BaseException, stage: Stage) -> Message:
        ailment = diagnose(error)
        if ailment is Ailment.POISONED:
            self._give_up(error)
        if ailment is Ailment.OUT_OF_MEMORY:
            call.let_go()
            relieve(error)
        # A job whose instance fits nowhere has no smaller micro-batch that would.
        is_exhausted = ailment is not None and not isinstance(error, JobRefused)
        kind = ToParent.EXHAUSTED if is_exhausted else ToParent.RAISED
        return (kind.value, call.id, pack_failure(describe(error, stage)), call.rejected)

    def _give_up(self, error: BaseException) -> NoReturn:
        """Says what happened and ends: nothing that is called in here after that would come to anything."""
        traceback.print_exception(error)
        what = said(error).partition("\n")[0]  # CUDA goes on with advice for developers
        self._say((ToParent.POISONED.value, f"could not go on after {what}"))
        _leave(_POISONED)

    def _decoded(self, data: bytes | memoryview, content_type: str) -> Any:
        if self._decode_one is None:
            return decoder_for(content_type)(data)
        return self._decode_one(bytes(data), content_type)

    def _decode(self, call: _Call) -> list[Any]:
        if isinstance(call.types, str) and self._decode_one is None:
            with contextlib.suppress(Exception):
                return decode_alike(call.types, call.payloads)
        items: list[Any] = []
        for index, (data, content_type) in enumerate(call.items):
            try:
                items.append(self._decoded(data, content_type))
            except Exception as error:  # noqa: BLE001 - whatever it is, it is this item's
                call.reject(index, error, Stage.DECODE)
        return items

    def _collect(self, call: _Call) -> list[Any]:
        items: list[Any] = []
        for index, future in enumerate(call.prepared or []):
            try:
                items.append(future.result())
            except BaseException as error:  # noqa: BLE001 - whatever it is, it is this item's
                call.reject(index, error, Stage.PREPROCESS)
        return items

    def _complete_job(self, call: _Call, job: Job) -> None:
        hook: Callable[[Job], object] | None = getattr(self._predictor, "on_job_complete", None)
        message: Message = (ToParent.DONE.value, call.id, [None], JSON, {}, 0.0, 0.0, 0.0)
        try:
            if hook:
                self._scoped.load(job, call.id)
            self._begin(call.id)
            if hook:
                hook(job)
        except SystemExit as error:
            _exit(error)
        except BaseException as error:  # noqa: BLE001 - as in predict
            message = self._failed(call, error, Stage.PREDICT)
        self._say(message)


def _encode(call: _Call, outputs: Sequence[Any]) -> Message:
    """The DONE message: content types as one string where all are alike, which they nearly always are."""
    plain = None if call.rejected else encode_plain(outputs)
    if plain is not None:
        return (ToParent.DONE.value, call.id, plain, JSON, {}, call.seconds, call.prepared_s, call.model_s)
    values: list[bytes | None] = []
    types: list[str] = []
    results = iter(outputs)
    for index in range(len(call.payloads)):
        value, content_type = None, JSON
        if index not in call.rejected:
            output = next(results)
            if isinstance(output, Raised):
                call.reject(index, output.error, Stage.PREDICT)
            elif isinstance(output, BaseException):
                call.reject(index, output, Stage.PREDICT, returned=True)
            else:
                try:
                    value, content_type = encode(output)
                except Exception as error:  # noqa: BLE001 - an output's own code may run here
                    call.reject(index, error, Stage.ENCODE)
        values.append(value)
        types.append(content_type)
    alike = types[0] if types.count(types[0]) == len(types) else types
    return (ToParent.DONE.value, call.id, values, alike, call.rejected, call.seconds, call.prepared_s, call.model_s)


def _miscount(outputs: object, expected: int) -> str:
    """What is wrong with the number of outputs, in words; empty where nothing is."""
    items = f"{expected} item" if expected == 1 else f"{expected} items"
    if not isinstance(outputs, Sized) or isinstance(outputs, str | bytes | dict | set):
        return f"a {full_name(outputs)} instead of a list of outputs for {items}"
    count = len(outputs)
    return "" if count == expected else f"{count} output{'' if count == 1 else 's'} for {items}"


def _exit(error: SystemExit) -> NoReturn:
    """Ends the process at once: left to itself, sys.exit waits for threads, and in one it would end nothing else."""
    if isinstance(error.code, str):
        print(error.code, file=sys.stderr)
    _leave(error.code & 0xFF if isinstance(error.code, int) else 0 if error.code is None else 1)


def _leave(status: int) -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(status)
