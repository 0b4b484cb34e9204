"""The numbers of a sink: told once a flush or a step, read when somebody asks."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

from stream_infer.jobs.manifest import Kind
from stream_infer.sink.attempts import Attempt
from stream_infer.sink.backlog import Step
from stream_infer.sink.flush import FlushPlan
from stream_infer.sink.share import Held
from stream_infer.sink.upload import Upload
from stream_infer.telemetry.catalogue import store
from stream_infer.telemetry.catalogue.metric import WHOLE, Reading

_ENDS = ("committed", "aborted", "begun_anew")


class SinkMetrics:
    """A SinkObserver; `readings` is a source of an Exposure. `apis`: the names of those that there are by now, which
    are at 0 before anything comes of them: what is born with a value has not risen by it."""

    def __init__(self, apis: Callable[[], Iterable[str]]) -> None:
        self._apis = apis
        self._objects: Counter[store.Objects] = Counter()
        self._records: Counter[store.Objects] = Counter()
        self._bytes: Counter[store.Objects] = Counter()
        self._flushes = Counter({store.FlushEnd(end): 0 for end in _ENDS})
        self._seconds = store.SINK_FLUSH_SECONDS.distribution()
        self._store_failures = 0
        self._steps = Counter({store.StepDone(step.value): 0 for step in Step})

    def committed(self, uploads: Sequence[Upload], now: float) -> None:
        """An upload without objects has only moved the group's place."""
        for upload in uploads:
            if upload.plan.objects:
                self._flushes[store.FlushEnd("committed")] += 1
                self._seconds.note(now - upload.began)
                self._count(upload.plan, sum(stored.size for stored in upload.stored.values()))

    def _count(self, plan: FlushPlan, size: int) -> None:
        of = store.Objects(plan.outlet.api, plan.outlet.kind.value)
        self._objects[of] += len(plan.objects) + sum(len(some.lines) for some in plan.items)
        self._records[of] += sum(len(planned.lines) for planned in plan.objects)
        self._bytes[of] += size

    def aborted(self) -> None:
        self._flushes[store.FlushEnd("aborted")] += 1

    def began_anew(self) -> None:
        self._flushes[store.FlushEnd("begun_anew")] += 1

    def store_kept_waiting(self) -> None:
        self._store_failures += 1

    def step_done(self, step: Step) -> None:
        self._steps[store.StepDone(step.value)] += 1

    def readings(self) -> Iterator[Reading]:
        for of in [store.Objects(api, kind.value) for api in self._apis() for kind in Kind]:
            for counter in (self._objects, self._records, self._bytes):
                counter.setdefault(of, 0)
        yield store.SINK_OBJECTS.reading(dict(self._objects))
        yield store.SINK_RECORDS.reading(dict(self._records))
        yield store.SINK_BYTES.reading(dict(self._bytes))
        yield store.SINK_FLUSHES.reading(dict(self._flushes))
        yield store.SINK_FLUSH_SECONDS.reading({WHOLE: self._seconds})
        yield store.SINK_STORE_FAILURES.reading({WHOLE: self._store_failures})
        yield store.FINALIZER_DONE.reading(dict(self._steps))


def held_readings(held: Held, clock: Callable[[], float] = time.monotonic) -> Iterator[Reading]:
    """What a sink holds at this moment. Its thread goes on meanwhile."""
    shares = held.all()
    came = [since for share in shares if (since := share.since) is not None]
    yield store.SINK_HELD_BYTES.reading({WHOLE: sum(share.bytes for share in shares)})
    yield store.SINK_HELD_BYTES_LIMIT.reading({WHOLE: held.budget})
    yield store.SINK_OLDEST_AGE.reading({WHOLE: max(0.0, clock() - min(came)) if came else 0.0})
    yield store.SINK_UPLOADS.reading({WHOLE: sum(share.upload is not None for share in shares)})
    yield store.SINK_PARTITIONS.reading({WHOLE: len(shares)})
    yield store.SINK_PAUSED.reading({WHOLE: len(held.shares.paused)})


def step_readings(attempts: Sequence[Attempt]) -> Iterator[Reading]:
    """The steps of jobs' ends that are being taken at this moment."""
    found = Counter({store.FinalizerStep(step.value, state): 0 for step in Step for state in ("working", "waiting")})
    for attempt in attempts:
        found[store.FinalizerStep(attempt.task.step.value, "working" if attempt.waits is None else "waiting")] += 1
    yield store.FINALIZER_STEPS.reading(found)
