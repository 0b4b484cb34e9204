"""The role: one intake, member of the group that shares the partitions of `{p}.jobs`."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from operator import attrgetter
from typing import Protocol

import structlog

from stream_infer.errors import Fenced
from stream_infer.intake.flow import allowance, flow_policy
from stream_infer.intake.metrics import UNOBSERVED, IntakeMetrics, IntakeObserver, source_readings
from stream_infer.intake.owned import OwnedPartitions
from stream_infer.intake.partition import READ_WITHIN_S, JobsPartition, OpenSource, Run
from stream_infer.intake.publication import Chunk, Publication
from stream_infer.intake.rates import ApiRate
from stream_infer.intake.unknown_apis import hindrances
from stream_infer.jobs.spec import decode_job
from stream_infer.jobs.status import JobStatus, decode_status
from stream_infer.kafka.admin import check_topics
from stream_infer.kafka.consumer import GroupConsumer
from stream_infer.kafka.definitions import CurrentSettings, Definitions
from stream_infer.kafka.partitioner import partition_of
from stream_infer.kafka.views import CompactedView
from stream_infer.ports import Store
from stream_infer.records import EndOfPartition, Message
from stream_infer.settings import Settings
from stream_infer.telemetry.exposure import Exposure, nothing_missing
from stream_infer.telemetry.job_logs import job_log
from stream_infer.topics import Topics

_LOG = structlog.get_logger(__name__)
_IDLE_S = 0.1
_ROUND_S = 0.5
CLEAR_UP_EVERY_S = 60.0
# A row shows what was said of it well within that; and an API that was deployed is known here well within that.
_UNKNOWN_APIS_EVERY_S = 2.0
_MOST_HINDRANCES = 1000  # of a transaction


class StatusView(Protocol):
    def get(self, key: str) -> JobStatus | None: ...

    def snapshot(self) -> dict[str, JobStatus]: ...

    def catch_up(self) -> Future[None]: ...


def run(
    settings: Settings,
    store: Store,
    open_source: OpenSource,
    *,
    stop: threading.Event,
    on_ready: Callable[[], None],
    exposure: Exposure | None = None,
) -> None:
    """Publishes jobs until `stop`. `exposure` shows the intake's numbers and what it lacks.

    Raises TopicMismatch or ServiceUnavailable.
    """
    check_topics(settings)
    exposure, definitions = exposure or Exposure(), Definitions(settings)
    metrics = IntakeMetrics(lambda: definitions.settings.names)
    topics = Topics(settings.kafka.topic_prefix)
    status = CompactedView(settings.kafka, topics.status, decode_status, key_of=attrgetter("job_id"))
    definitions.begin()
    status.start()
    definitions.start()
    publication = Publication(topics, store, settings.limits.payload_bytes)
    owned = OwnedPartitions(settings, publication, open_source)
    intake = Intake(definitions, owned, status, metrics)
    exposure.show(metrics.readings)
    exposure.show(lambda: source_readings(owned.all(), definitions.settings.names))
    consumer = GroupConsumer(settings.kafka, topics.intake_group, topics.intake_group, owned, from_start=True)
    consumer.subscribe([topics.jobs])
    exposure.missing = nothing_missing
    on_ready()
    try:
        with job_log(settings.kafka, "intake"):
            intake.serve(consumer, stop)
    finally:
        consumer.close()
        status.close()
        definitions.close()


@dataclass(frozen=True, slots=True)
class _Turn:
    """A job's, in a round: `allowed` items of it, and its source that is being read."""

    number: int
    partition: JobsPartition
    run: Run
    allowed: int
    reading: Future[Chunk]


class Intake:
    """Takes turns among all jobs of the partitions it owns, one transaction a turn."""

    def __init__(
        self,
        apis: CurrentSettings,
        owned: OwnedPartitions,
        status: StatusView,
        observer: IntakeObserver = UNOBSERVED,
    ) -> None:
        self._observer = observer
        self._apis = apis
        self._settings = apis.settings
        self._owned = owned
        self._status = status
        self._cleared_at = self._hindered_at = time.monotonic()
        self._rates: defaultdict[str, ApiRate] = defaultdict(ApiRate)

    def serve(self, consumer: GroupConsumer, stop: threading.Event) -> None:
        published = 0
        while not stop.is_set():
            polled = consumer.poll(1000, 0.0 if published else _IDLE_S)
            self._owned.take_over_fenced()
            for record in polled:
                self._learn(record)
            published = self._take_turns()
            self._clear_up()
            self._hinder()

    def _learn(self, record: Message | EndOfPartition) -> None:
        named, partition = self._owned.named(record.partition), self._owned.get(record.partition)
        if isinstance(record, EndOfPartition):
            if named is not None:
                named.end()
            return
        job_id = (record.key or b"").decode(errors="replace")
        if named is not None:
            named.see(job_id, is_there=record.value is not None)
        if partition is None:
            return
        if record.value is None:
            partition.forget(job_id)
            return
        try:
            job = decode_job(record.value)
            if job.job_id.encode() != record.key:
                raise ValueError(f"it speaks of {job.job_id!r}")
        except ValueError as error:
            _LOG.error("job_unreadable", partition=record.partition, offset=record.offset, reason=str(error))
            return
        if job.submitted_at + self._settings.jobs.retention > time.time():
            partition.learn(job)

    def _clear_up(self) -> None:
        """Forgets the checkpoints of jobs that are forgotten, now and then."""
        now = time.monotonic()
        if now - self._cleared_at < CLEAR_UP_EVERY_S:
            return
        self._cleared_at = now
        before = time.time() - self._settings.jobs.retention
        for number, partition in self._owned.items():
            named = self._owned.named(number)
            if named is not None and (gone := named.forgotten(partition.checkpoints, self._has_status, before)):
                with self._owned.noting_fencing(number, partition):
                    partition.forget_checkpoints(gone)

    def _hinder(self) -> None:
        """Jobs whose API is unknown say what they wait for, now and then."""
        now = time.monotonic()
        if now - self._hindered_at < _UNKNOWN_APIS_EVERY_S:
            return
        self._hindered_at = now
        said = hindrances(self._status.snapshot().values(), set(self._apis.settings.names), time.time())
        for number, partition in self._owned.items():
            own = [one for one in said if partition_of(one.job_id, self._settings.jobs.partitions) == number]
            if own:
                with self._owned.noting_fencing(number, partition):
                    partition.say(own[:_MOST_HINDRANCES])

    def _has_status(self, job_id: str) -> bool:
        return self._status.get(job_id) is not None

    def _take_turns(self) -> int:
        """One turn for each job, those first that have waited longest; answers how many items were published.

        All their sources are read at the same time: one that takes its time makes nobody else wait for his turn. Where
        there are many jobs the round is cut off, and goes on with the next: a job that has just come is first in that.
        """
        turns = self._turns()
        if turns:
            wait([turn.reading for turn in turns], READ_WITHIN_S, FIRST_COMPLETED)
        published, until = 0, time.monotonic() + _ROUND_S
        for turn in sorted(turns, key=lambda turn: turn.run.turned_at):
            if time.monotonic() > until:
                break
            if turn.reading.done() and turn.partition is self._owned.get(turn.number):
                with self._owned.noting_fencing(turn.number, turn.partition):
                    count = turn.partition.publish(turn.run, turn.allowed)
                    self._observer.published(turn.run.job.api, count)
                    published += count
        return published

    def _turns(self) -> list[_Turn]:
        """Of the jobs of which something may be published now; their sources are being read."""
        active: defaultdict[str, list[JobStatus]] = defaultdict(list)
        for status in self._status.snapshot().values():
            if not status.state.is_final:
                active[status.api].append(status)
        now = time.monotonic()
        rates = {api: self._rates[api].note(jobs, now) for api, jobs in active.items()}
        turns: list[_Turn] = []
        for number, partition in self._owned.items():
            with self._owned.noting_fencing(number, partition):
                allowed = [
                    (run, self._allowed(partition, run, active[run.job.api], rates.get(run.job.api, 0.0)))
                    for run in partition.runs()
                ]
                turns += [
                    _Turn(number, partition, run, some, partition.read_on(run, some)) for run, some in allowed if some
                ]
        return turns

    def _allowed(self, partition: JobsPartition, run: Run, active: Sequence[JobStatus], rate: float) -> int:
        """How many items of the job may be published; ends one that is to have no more.

        A job begins once the tracker knows it: what an intake says of an unknown job would be lost.
        """
        status = self._status.get(run.job.job_id)
        api = self._apis.settings.api(run.job.api)
        if status is None:
            return 0
        if status.state.is_final:
            partition.forget(run.job.job_id)
            return 0
        if status.counts.enqueued > run.checkpoint.enqueued:
            # Both are written in one transaction, and the status is folded from it later. Once an end of a topic that
            # was none let an intake publish its job from the beginning again.
            counted, known = status.counts.enqueued, run.checkpoint.enqueued
            raise Fenced(f"job {run.job.job_id} counts {counted} items, and its checkpoint was read as of {known}")
        if status.is_skipping:
            partition.end(run)
            return 0
        if api is None:
            return 0
        policy = flow_policy(api, self._settings.intake.ahead_seconds, run.job.batch_size)
        allowed = allowance(policy, status, run.checkpoint.enqueued, active, rate)
        chunk = self._settings.intake.chunk_items
        return min(allowed, max(policy.step, chunk // policy.step * policy.step))
