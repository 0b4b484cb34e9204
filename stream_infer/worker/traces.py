"""What a worker does for items that bear a sampled `traceparent`, told as spans; made only where somebody traces.

    process …    a micro-batch, from when the predictor's process is given it to its answer
      predict …  what of that was the model's call
    commit …     the transaction that delivered its results

Looked up once a micro-batch and once a transaction; of items that are held as one, in the first of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from stream_infer.engine.journal import Journal
from stream_infer.engine.observer import CallEnd, ChildEnd, EngineObserver
from stream_infer.telemetry.tracing import NO_SPAN, Attributes, Kind, Span, begin_batch, messaging, tell_part
from stream_infer.worker.held import Prefix, Stretch
from stream_infer.worker.ledger import Ledger
from stream_infer.worker.observer import Ends, WorkerObserver

_GIVEN_BACK = "given_back"


class CallTraces:
    """An engine's Journal and its EngineObserver, each before the real one.

    The engine says how a call has ended, and then that it has: what was said last is said of it.
    """

    def __init__(
        self,
        api: str,
        topic: str,
        ledger: Ledger,
        journal: Journal,
        observer: EngineObserver,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._api = api
        self._topic = topic
        self._ledger = ledger
        self._journal = journal
        self._observer = observer
        self._clock = clock
        self._open: dict[int, Span] = {}
        self._failed: CallEnd | None = None
        self._model: tuple[float, float] | None = None

    def begun(self, call_id: int, tokens: Sequence[int], *, alone: bool) -> None:
        self._journal.begun(call_id, tokens, alone=alone)
        self._failed = self._model = None
        traceparents = self._ledger.traceparents_of(tokens)
        if not traceparents:
            return
        jobs = self._ledger.jobs_of(tokens)
        attributes = messaging("process", "process", self._topic, len(tokens)) | {
            "stream_infer.api": self._api,
            "stream_infer.call.id": call_id,
            **({"stream_infer.job.id": next(iter(jobs))} if len(jobs) == 1 else {}),
        }
        span = begin_batch(f"process {self._topic}", Kind.CONSUMER, traceparents, attributes)
        if span is not NO_SPAN:
            self._open[call_id] = span

    def ended(self, call_id: int) -> None:
        self._journal.ended(call_id)
        span = self._open.pop(call_id, None)
        if span is not None:
            if self._model is not None:
                tell_part(span, f"predict {self._api}", *self._model)
            else:
                span.fail(_GIVEN_BACK if self._failed is None else self._failed.value)
            span.end()
        self._model = None
        if self._failed is not CallEnd.LOST:  # which is said once for all that the process had
            self._failed = None

    def answered(self, items: int, seconds: float, prepare_s: float, model_s: float) -> None:
        self._observer.answered(items, seconds, prepare_s, model_s)
        self._failed = None
        if self._open:
            began = self._clock() - seconds + prepare_s
            self._model = (began, began + model_s)

    def failed(self, end: CallEnd) -> None:
        self._observer.failed(end)
        self._failed = end

    def child_ended(self, how: ChildEnd) -> None:
        self._observer.child_ended(how)


class TransactionTraces:
    """A WorkerObserver before the real one."""

    def __init__(
        self, topic: str, group: str, observer: WorkerObserver, clock: Callable[[], float] = time.time
    ) -> None:
        self._topic = topic
        self._group = group
        self._observer = observer
        self._clock = clock

    def committed(self, ends: Ends, seconds: float, prefixes: Sequence[Prefix]) -> None:
        self._observer.committed(ends, seconds, prefixes)
        traceparents = set(_traceparents(prefixes))
        if traceparents:
            now, attributes = self._clock(), self._attributes(ends)
            name = f"commit {self._topic}"
            begin_batch(name, Kind.CLIENT, traceparents, attributes, start=now - seconds).end(now)

    def _attributes(self, ends: Ends) -> Attributes:
        retried, rejected = ends.retried.total(), ends.rejected.total()
        return messaging("commit", "settle", self._topic, ends.succeeded + ends.skipped + retried + rejected) | {
            "messaging.consumer.group.name": self._group,
            "stream_infer.items.succeeded": ends.succeeded,
            "stream_infer.items.rejected": rejected,
            "stream_infer.items.retried": retried,
            "stream_infer.items.skipped": ends.skipped,
        }

    def aborted(self) -> None:
        self._observer.aborted()

    def fenced(self) -> None:
        self._observer.fenced()

    def first_result(self, seconds: float) -> None:
        self._observer.first_result(seconds)


def _traceparents(prefixes: Iterable[Prefix]) -> Iterator[str | bytes]:
    for prefix in prefixes:
        for part in prefix.parts:
            if isinstance(part, Stretch):
                yield from part.alike.traceparents(0, part.length)
            elif part.item is not None and part.item.traceparent is not None:
                yield part.item.traceparent
