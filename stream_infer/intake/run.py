"""The role: one intake, member of the group that shares the partitions of `{p}.jobs`."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from operator import attrgetter
from typing import Protocol

import structlog

from stream_infer.errors import Fenced, ServiceUnavailable
from stream_infer.intake.flow import allowance, flow_policy
from stream_infer.intake.metrics import UNOBSERVED, IntakeMetrics, IntakeObserver, source_readings
from stream_infer.intake.named import NamedJobs
from stream_infer.intake.partition import READ_WITHIN_S, JobsPartition, OpenSource, Run
from stream_infer.intake.publication import Chunk, Publication
from stream_infer.intake.rates import ApiRate
from stream_infer.jobs.checkpoints import decode_checkpoint
from stream_infer.jobs.spec import decode_job
from stream_infer.jobs.status import JobStatus, decode_status
from stream_infer.kafka.admin import check_topics
from stream_infer.kafka.consumer import GroupConsumer, Partition
from stream_infer.kafka.definitions import CurrentSettings, Definitions
from stream_infer.kafka.errors import RecordTooLarge
from stream_infer.kafka.producer import TransactionalProducer
from stream_infer.kafka.views import CompactedView, read_compacted
from stream_infer.pool import DaemonPool
from stream_infer.ports import Store
from stream_infer.records import EndOfPartition, Message
from stream_infer.settings import MIB, Settings
from stream_infer.telemetry.exposure import Exposure, nothing_missing
from stream_infer.telemetry.job_logs import job_log
from stream_infer.topics import Topics

_LOG = structlog.get_logger(__name__)
_IDLE_S = 0.1
_ROUND_S = 0.5
CLEAR_UP_EVERY_S = 60.0
_READERS = 64  # sources read at a time: one that hangs holds up its own job alone


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
    intake = Intake(definitions, publication, open_source, status, metrics)
    exposure.show(metrics.readings)
    exposure.show(lambda: source_readings(intake.partitions(), definitions.settings.names))
    consumer = GroupConsumer(settings.kafka, topics.intake_group, topics.intake_group, intake, from_start=True)
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
        publication: Publication,
        open_source: OpenSource,
        status: StatusView,
        observer: IntakeObserver = UNOBSERVED,
    ) -> None:
        self._observer = observer
        self._apis = apis
        self._settings = settings = apis.settings
        self._publication = publication
        self._open_source = open_source
        self._status = status
        self._topics = Topics(settings.kafka.topic_prefix)
        self._partitions: dict[int, JobsPartition] = {}
        self._fenced: dict[int, list[Run]] = {}
        self._named: dict[int, NamedJobs] = {}
        self._cleared_at = time.monotonic()
        self._readers = DaemonPool(_READERS, "source")
        self._rates: defaultdict[str, ApiRate] = defaultdict(ApiRate)

    def partitions(self) -> list[JobsPartition]:
        """Those that are ours; from any thread."""
        return list(self._partitions.values())

    def serve(self, consumer: GroupConsumer, stop: threading.Event) -> None:
        published = 0
        while not stop.is_set():
            polled = consumer.poll(1000, 0.0 if published else _IDLE_S)
            self._take_over_fenced()
            for record in polled:
                self._learn(record)
            published = self._take_turns()
            self._clear_up()

    def _learn(self, record: Message | EndOfPartition) -> None:
        named, partition = self._named.get(record.partition), self._partitions.get(record.partition)
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
        for number, partition in list(self._partitions.items()):
            gone = self._named[number].forgotten(partition.checkpoints, self._has_status, before)
            if gone:
                with self._noting_fencing(number, partition):
                    partition.forget_checkpoints(gone)

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
            if turn.reading.done() and turn.partition is self._partitions.get(turn.number):
                with self._noting_fencing(turn.number, turn.partition):
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
        for number, partition in list(self._partitions.items()):
            with self._noting_fencing(number, partition):
                allowed = [
                    (run, self._allowed(partition, run, active[run.job.api], rates.get(run.job.api, 0.0)))
                    for run in partition.runs()
                ]
                turns += [
                    _Turn(number, partition, run, some, partition.read_on(run, some)) for run, some in allowed if some
                ]
        return turns

    @contextmanager
    def _noting_fencing(self, number: int, partition: JobsPartition) -> Iterator[None]:
        try:
            yield
        except (Fenced, ServiceUnavailable, RecordTooLarge) as error:
            # Of a producer that could not abort, or whose record was refused, nothing is known.
            _LOG.warning("intake_fenced", partition=number, reason=str(error))
            self._fenced[number] = partition.all_runs()
            self._partitions.pop(number).close()

    def _take_over_fenced(self) -> None:
        """Partitions that are still ours after a poll: their fencing was a transaction that took too long, or a member
        that slept through its expulsion and is gone by now. Those that it told us are lost are not here any more."""
        for number in list(self._fenced):
            try:
                self._partitions[number] = self._take_over(number)
            except ServiceUnavailable as error:
                _LOG.warning("intake_waits", partition=number, reason=str(error))
                return
            for run in self._fenced.pop(number):
                self._partitions[number].learn(run.job, run)

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

    def _take_over(self, number: int) -> JobsPartition:
        """First fence the predecessor, then read how far it came: in this order."""
        kafka = self._settings.kafka
        name = f"{self._topics.prefix}.intake.{number}"
        producer = TransactionalProducer(kafka, name, max_bytes=self._settings.limits.payload_bytes + 4 * MIB)
        try:
            producer.initialise()
            topic, key_of = self._topics.checkpoints, attrgetter("job_id")
            checkpoints = read_compacted(kafka, topic, number, decode_checkpoint, key_of=key_of)
        except BaseException:
            producer.close()
            raise
        return JobsPartition(producer, checkpoints, self._publication, self._open_source, self._readers)

    # What the group says, inside `poll` and on its thread.

    def assigned(self, partitions: Sequence[Partition]) -> None:
        for _, number in partitions:
            self._partitions[number] = self._take_over(number)
            self._named[number] = NamedJobs()

    def revoked(self, partitions: Sequence[Partition]) -> None:
        for _, number in partitions:
            self._fenced.pop(number, None)
            self._named.pop(number, None)
            partition = self._partitions.pop(number, None)
            if partition is not None:
                partition.close()

    def lost(self, partitions: Sequence[Partition]) -> None:
        self.revoked(partitions)
