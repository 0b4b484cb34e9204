"""One owned partition of `{p}.jobs`: its producer, its checkpoints, and the jobs whose sources are being published."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TypeAlias

import structlog
from structlog.contextvars import bound_contextvars

from stream_infer.errors import RetryableError, ServiceUnavailable, SourceError, TransactionAborted
from stream_infer.intake.publication import Chunk, Publication, next_checkpoint
from stream_infer.jobs.checkpoints import Checkpoint
from stream_infer.jobs.events import Event, Hindered
from stream_infer.jobs.spec import Job
from stream_infer.jobs.status import HinderedRole
from stream_infer.kafka.errors import RecordTooLarge
from stream_infer.kafka.producer import TransactionalProducer
from stream_infer.pool import DaemonPool
from stream_infer.ports import Source, SourceItem
from stream_infer.telemetry import tracing
from stream_infer.telemetry.tracing import Kind

_LOG = structlog.get_logger(__name__)
_RETRY_S = 1.0
_RETRY_CAP_S = 30.0
# Bounds a transaction's length: it has to commit well within transaction.timeout.ms.
_CHUNK_BYTES = 8 * 1024 * 1024
# A topic that takes less than it should: how much smaller what it gets is made, and what no topic may refuse.
_SMALLER = 8
_LEAST_BYTES = 4096
# Of one transaction.
_MOST_FORGOTTEN = 2000
# What a round of turns waits for its sources: most give their chunk at once, and no job waits long for another one's.
READ_WITHIN_S = 0.1

OpenSource: TypeAlias = Callable[[Job], Source]


class SourceUnreachable(RetryableError):
    """A job's source, or the store that takes its big payloads, is away: not Kafka, so that we can say so."""


@dataclass(slots=True)
class Run:
    """A job under way. `items` is its source, open behind the checkpoint's cursor; a reader's while it is `reading`.

    `turned_at`: when it had its last turn. `most`: bytes of a payload that is sent in a message; `chunk_bytes`: about
    those of a transaction. `fault`: why nothing more of it can be published.
    """

    job: Job
    checkpoint: Checkpoint
    first: bool
    most: int
    chunk_bytes: int = _CHUNK_BYTES
    items: Iterator[SourceItem] | None = None
    reading: Future[Chunk] | None = None
    failures: int = 0
    not_before: float = 0.0
    turned_at: float = 0.0
    fault: str | None = None


class JobsPartition:
    """Publishes the jobs of one partition, fenced by a producer that bears the partition's number.

    `producer` must have been initialised before `checkpoints` were read to their end: measured, without that order a
    stalled predecessor published 100 items twice.
    """

    def __init__(
        self,
        producer: TransactionalProducer,
        checkpoints: dict[str, Checkpoint],
        publication: Publication,
        open_source: OpenSource,
        readers: DaemonPool,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._producer = producer
        self._checkpoints = checkpoints
        self._publication = publication
        self._open_source = open_source
        self._readers = readers
        self._clock = clock
        self._runs: dict[str, Run] = {}

    def learn(self, job: Job, before: Run | None = None) -> None:
        """Takes on a job that was read from the partition, unless all of it has been published.

        `before` is what was known of it under a producer that had to be given up.
        """
        checkpoint = self._checkpoints.get(job.job_id)
        if checkpoint is not None and checkpoint.submitted_at not in (None, job.submitted_at):
            checkpoint = None  # of an earlier job of that id
        if job.job_id in self._runs or (checkpoint is not None and checkpoint.exhausted):
            return
        most = self._publication.max_item_bytes
        start = Checkpoint(job_id=job.job_id, submitted_at=job.submitted_at)
        run = Run(job, checkpoint or start, first=checkpoint is None, most=most)
        if before is not None:
            run.most, run.chunk_bytes, run.fault = before.most, before.chunk_bytes, before.fault
            run.failures, run.not_before = before.failures, before.not_before
        self._runs[job.job_id] = run

    def all_runs(self) -> list[Run]:
        """From any thread."""
        return list(self._runs.values())

    def forget(self, job_id: str) -> None:
        self._runs.pop(job_id, None)

    def runs(self) -> list[Run]:
        """The jobs that have something left to publish, and whose turn it may be."""
        now = self._clock()
        return [run for run in self._runs.values() if run.not_before <= now]

    def read_on(self, run: Run, max_items: int) -> Future[Chunk]:
        """Begins to read at most `max_items` of the source, unless that is under way; done once they are there."""
        if run.reading is None:
            with bound_contextvars(job_id=run.job.job_id), tracing.on_behalf_of(run.job.trace):
                run.reading = self._readers.submit(self._read, run, max_items)
        return run.reading

    def publish(self, run: Run, max_items: int) -> int:
        """Publishes at most `max_items` of the job's source in one transaction; answers how many.

        A source that takes its time is read on beside, and published in one of the next turns. An unreachable source
        or store puts the job off. Raises Fenced where another intake owns the partition, ServiceUnavailable for Kafka,
        RecordTooLarge where a topic takes less than it should: the producer is to be given up then. Measured: of one
        whose record was refused, the abort behind the next transaction did not come back for a minute.
        """
        reading = self.read_on(run, max_items)
        if not wait([reading], READ_WITHIN_S).done:
            return 0
        run.reading, run.turned_at = None, self._clock()
        with tracing.on_behalf_of(run.job.trace):
            try:
                return self._commit(run, reading.result())
            except SourceUnreachable as error:
                self._put_off(run, str(error))
                role = HinderedRole.INTAKE
                self.say([Hindered(job_id=run.job.job_id, at=self._clock(), role=role, reason=str(error))])
            except TransactionAborted as error:
                self._put_off(run, str(error))
            except RecordTooLarge as error:
                self._lighten(run)
                self._put_off(run, str(error))
                raise
        return 0

    def end(self, run: Run) -> None:
        """The job is ending: says that nothing more will come."""
        with tracing.on_behalf_of(run.job.trace):
            try:
                self._commit(run, Chunk((), ended=True))
            except TransactionAborted as error:
                _LOG.warning("intake_delayed", job_id=run.job.job_id, reason=str(error))

    def say(self, events: Sequence[Event]) -> None:
        """In one transaction; where it is aborted, they are not said. Raises Fenced or ServiceUnavailable."""
        try:
            self._producer.transact([self._publication.event(event) for event in events], {})
        except TransactionAborted as error:
            _LOG.warning("events_not_said", job_id=events[0].job_id, events=len(events), reason=str(error))

    @property
    def checkpoints(self) -> Mapping[str, Checkpoint]:
        return self._checkpoints

    def forget_checkpoints(self, job_ids: Sequence[str]) -> None:
        """Of jobs that are over, as many as one transaction takes. Raises Fenced or ServiceUnavailable."""
        gone = job_ids[:_MOST_FORGOTTEN]
        try:
            self._producer.transact(self._publication.forgetting(gone), {})
        except TransactionAborted as error:
            _LOG.warning("checkpoints_kept", jobs=len(gone), reason=str(error))
            return
        for job_id in gone:
            self._checkpoints.pop(job_id, None)
        _LOG.info("checkpoints_forgotten", jobs=len(gone))

    def close(self) -> None:
        self._runs.clear()
        self._producer.close()

    def _lighten(self, run: Run) -> None:
        """The topic takes less than limits.payload_bytes: nobody has run `topics apply`, or it was altered since.

        More of the job travels by reference, and less in one transaction; which record it was nobody needs to know.
        """
        if run.most < _LEAST_BYTES:
            topic, wanted = self._publication.topic(run.job), self._publication.max_item_bytes
            run.fault = (
                f"{topic} takes no records of {run.most} bytes, and should take {wanted}: run 'stream-infer topics "
                "apply', and submit the job again"
            )
        run.most = run.chunk_bytes = run.most // _SMALLER

    def _put_off(self, run: Run, reason: str) -> None:
        run.failures += 1
        delay = min(_RETRY_S * 2 ** min(run.failures - 1, 20), _RETRY_CAP_S)
        run.items, run.not_before = None, self._clock() + delay
        _LOG.warning("intake_delayed", job_id=run.job.job_id, reason=reason, again_in_s=delay)

    def _read(self, run: Run, max_items: int) -> Chunk:
        """On a reader's thread: reads on in the source, which may block for minutes.

        One that cannot be read on fails the job, with what was read before published. Raises SourceUnreachable.
        """
        items: list[SourceItem] = []
        size = 0
        if run.fault is not None:
            return Chunk((), ended=True, error=run.fault)
        try:
            if run.items is None:
                run.items = iter(self._open_source(run.job).read(run.checkpoint.cursor))
                _LOG.info("source_opened", job_id=run.job.job_id, api=run.job.api, published=run.checkpoint.enqueued)
            for item in run.items:
                items.append(self._publication.fitted(run.job, run.checkpoint.enqueued + len(items), item, run.most))
                size += len(item.payload.data)
                if len(items) >= max_items or size >= run.chunk_bytes:
                    return Chunk(items)
        except SourceError as error:
            return Chunk(items, ended=True, error=str(error))
        except ServiceUnavailable as error:
            raise SourceUnreachable(str(error)) from error
        except Exception as error:  # noqa: BLE001 - a file that its reader did not expect ends its job, not all of them
            _LOG.exception("source_broken", job_id=run.job.job_id)
            return Chunk(items, ended=True, error=f"the source cannot be read on: {type(error).__name__}: {error}")
        return Chunk(items, ended=True)

    def _commit(self, run: Run, chunk: Chunk) -> int:
        job, topic = run.job, self._publication.topic(run.job)
        sending = tracing.messaging("send", "send", topic, len(chunk.items)) | {"stream_infer.job.id": job.job_id}
        with tracing.span(f"send {topic}", Kind.PRODUCER, sending) if chunk.items else nullcontext():
            records = self._publication.records(job, run.checkpoint, chunk, first=run.first, now=self._clock())
            self._producer.transact(records, {})
        run.checkpoint = next_checkpoint(run.checkpoint, chunk)
        run.first, run.failures = False, 0
        self._checkpoints[run.job.job_id] = run.checkpoint
        if chunk.ended:
            self.forget(run.job.job_id)
            if chunk.error is None:
                _LOG.info("source_exhausted", job_id=run.job.job_id, items=run.checkpoint.enqueued)
            else:
                _LOG.warning("source_failed", job_id=run.job.job_id, items=run.checkpoint.enqueued, error=chunk.error)
        return len(chunk.items)
