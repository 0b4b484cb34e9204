"""The tracker under the count deltas of a hundred workers: from a delta's publication to the status that counts it.

Writers publish as workers do that serve one job: a transaction for each delta. Each job is one writer's, so that its
n-th delta is the one that its count of n includes. A delta's time begins when its transaction is about to be made.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from benchmarks.bench import API, Bench, Lane
from benchmarks.contest import Announce
from benchmarks.latency import Delays, percentiles
from benchmarks.observer import Unfinished
from benchmarks.processes import Started, started
from benchmarks.report import table
from stream_infer.jobs.counts import Counts
from stream_infer.jobs.events import Counted, Event, Submitted, encode_event
from stream_infer.jobs.status import JobStatus, decode_status
from stream_infer.kafka.producer import TransactionalProducer
from stream_infer.kafka.publisher import Publisher
from stream_infer.kafka.topic_reader import TopicReader
from stream_infer.records import OutgoingRecord
from stream_infer.topics import Topics

RATE = 500
SECONDS = 20
"""A hundred workers that commit five times a second."""
_WRITERS = 20
_JOBS_A_WRITER = 1
_START_S = 60.0
_PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class TrackerResult:
    """`rate` in deltas a second, as they were published; `cpu` in cores."""

    deltas: int
    rate: float
    delays: Delays
    first_quarter: float
    last_quarter: float
    cpu: float

    def text(self) -> str:
        heads = ["tracker", "p50 ms", "p99 ms", "worst ms", "p50 first quarter", "p50 last quarter", "cores"]
        one = self.delays
        figures = [one.p50, one.p99, one.worst, self.first_quarter, self.last_quarter]
        return table(
            heads, [[f"{self.rate:.0f} deltas/s, {self.deltas:,}", *(f"{ms:.0f}" for ms in figures), f"{self.cpu:.2f}"]]
        )


@dataclass(slots=True)
class _Told:
    """Of one job: when each of its deltas set out, and when it was seen to be counted."""

    sent: list[float] = field(default_factory=list)
    seen: list[float] = field(default_factory=list)

    def see(self, status: JobStatus, now: float) -> None:
        self.seen += [now] * (status.counts.succeeded - len(self.seen))


def measure(bench: Bench, seconds: int, announce: Announce) -> TrackerResult:
    announce(f"the tracker, {RATE} deltas/s for {seconds} s")
    with bench.lane(all_topics=True) as lane:
        told = {f"job-{number}": _Told() for number in range(_WRITERS * _JOBS_A_WRITER)}
        _submit(lane, list(told))
        reader = TopicReader(lane.settings.kafka, Topics(lane.settings.kafka.topic_prefix).status)
        try:
            with started(lane.role("tracker"), lane.folder / "tracker.log") as tracker:
                _await_rows(reader, set(told), tracker)
                before = tracker.cpu_seconds()
                _publish_and_watch(lane, reader, told, seconds, tracker)
                cpu = (tracker.cpu_seconds() - before) / seconds
        finally:
            reader.close()
    result = _result(list(told.values()), cpu)
    announce(f"  p50 {result.delays.p50:.0f} ms, p99 {result.delays.p99:.0f} ms at {result.rate:.0f}/s")
    return result


def _result(told: Sequence[_Told], cpu: float) -> TrackerResult:
    spans = sorted((sent, seen - sent) for one in told for sent, seen in zip(one.sent, one.seen, strict=True))
    delays = [delay for _, delay in spans]
    quarter = len(delays) // 4
    took = spans[-1][0] - spans[0][0]
    first, last = statistics.median(delays[:quarter]), statistics.median(delays[-quarter:])
    return TrackerResult(len(delays), len(delays) / took, percentiles(delays), first * 1000, last * 1000, cpu)


def _publish_and_watch(lane: Lane, reader: TopicReader, told: dict[str, _Told], seconds: int, tracker: Started) -> None:
    jobs = list(told)
    shares = [jobs[number::_WRITERS] for number in range(_WRITERS)]
    begin = time.monotonic() + 1.0
    with ThreadPoolExecutor(_WRITERS) as writers:
        futures = [
            writers.submit(_write, lane, {job: told[job] for job in share}, begin + number / _WRITERS / 10, seconds)
            for number, share in enumerate(shares)
        ]
        deadline = begin + seconds + _PATIENCE_S
        wanted = RATE * seconds // len(jobs)
        while any(len(one.seen) < wanted for one in told.values()) and not any(map(_has_failed, futures)):
            messages = reader.poll(0.01)
            now = time.monotonic()
            for message in messages:
                status = decode_status(message.value or b"")
                told[status.job_id].see(status, now)
            if now > deadline or not tracker.is_running():
                raise Unfinished(f"the tracker has not counted everything:\n{tracker.last_words()}")
        for future in futures:
            future.result()


def _has_failed(writer: Future[None]) -> bool:
    return writer.done() and writer.exception() is not None


def _write(lane: Lane, told: dict[str, _Told], begin: float, seconds: int) -> None:
    """One writer's transactions, each with one delta of each of its jobs."""
    producer = TransactionalProducer(lane.settings.kafka, f"bench-writer-{begin}")
    producer.initialise()
    pace = len(told) * _WRITERS / RATE
    for number in range(round(seconds / pace)):
        time.sleep(max(0.0, begin + number * pace - time.monotonic()))
        delta = Counts(succeeded=1, written=1)
        records = [_record(lane, Counted(job_id=job, at=time.time(), delta=delta)) for job in told]
        now = time.monotonic()
        for one in told.values():
            one.sent.append(now)
        producer.transact(records, {})
    producer.close()


def _submit(lane: Lane, jobs: Sequence[str]) -> None:
    publisher = Publisher(lane.settings.kafka, "bench")
    for job in jobs:
        submitted = Submitted(job_id=job, at=time.time(), api=API)
        enqueued = Counted(job_id=job, at=time.time(), delta=Counts(enqueued=1_000_000))
        publisher.publish([_record(lane, submitted), _record(lane, enqueued)])
    publisher.close()


def _record(lane: Lane, event: Event) -> OutgoingRecord:
    topics = Topics(lane.settings.kafka.topic_prefix)
    return OutgoingRecord(topics.progress, event.job_id.encode(), encode_event(event))


def _await_rows(reader: TopicReader, jobs: set[str], tracker: Started) -> None:
    deadline = time.monotonic() + _START_S
    missing = set(jobs)
    while missing:
        for message in reader.poll(0.1):
            status = decode_status(message.value or b"")
            if status.counts.enqueued:
                missing.discard(status.job_id)
        if time.monotonic() > deadline or not tracker.is_running():
            raise Unfinished(f"the tracker does not know {len(missing)} jobs:\n{tracker.last_words()}")
