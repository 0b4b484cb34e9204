"""Follows `{p}.status` in a group, and commits each step that it asks for (`steps.py`) in one transaction."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future

import structlog

from stream_infer.errors import Fenced, ServiceUnavailable, TransactionAborted
from stream_infer.jobs.status import JobStatus, decode_status
from stream_infer.kafka.consumer import GroupConsumer, Membership, Partition
from stream_infer.kafka.messages import Polled
from stream_infer.kafka.producer import TransactionalProducer, start_producer
from stream_infer.ports import Store
from stream_infer.records import EndOfPartition, Message, OutgoingRecord
from stream_infer.settings import Settings
from stream_infer.sink.attempts import Attempt
from stream_infer.sink.backlog import Backlog
from stream_infer.sink.backoff import Backoff
from stream_infer.sink.lanes import Lanes
from stream_infer.sink.observer import UNOBSERVED, SinkObserver
from stream_infer.sink.outputs import Outputs
from stream_infer.sink.steps import Steps
from stream_infer.topics import Topics

log = structlog.get_logger(__name__)

JOBS_AT_A_TIME = 4
_POLL_S = 0.25
_POLL_WORKING_S = 0.02
_POLL_RECORDS = 500


class Owned:
    """The backlogs of the partitions that are ours; told of each rebalance on the polling thread, inside `poll`."""

    def __init__(self, linger_s: float) -> None:
        self.backlogs: dict[Partition, Backlog] = {}
        self.rewinding: set[Partition] = set()
        self.attempts: list[Attempt] = []
        self.was_assigned = False
        self._linger_s = linger_s

    def assigned(self, partitions: Sequence[Partition]) -> None:
        self.was_assigned = True
        self.backlogs |= {partition: Backlog(self._linger_s) for partition in partitions}

    def revoked(self, partitions: Sequence[Partition]) -> None:
        for partition in partitions:
            self.backlogs.pop(partition, None)
            self.rewinding.discard(partition)
        self.drop_stale()

    def lost(self, partitions: Sequence[Partition]) -> None:
        self.revoked(partitions)

    def rewind(self) -> None:
        """Forgets what was read and is not committed."""
        self.rewinding = set(self.backlogs)
        self.backlogs = {partition: Backlog(self._linger_s) for partition in self.backlogs}
        self.drop_stale()

    def drop_stale(self) -> None:
        """Cancels the steps whose partition has gone, or whose job has moved on."""
        for attempt in self.attempts:
            if self.backlogs.get(attempt.partition) is not attempt.backlog or not attempt.backlog.current(attempt.task):
                attempt.cancelled.set()
        self.attempts = [attempt for attempt in self.attempts if not attempt.cancelled.is_set()]


class Finalizer:
    """A task of the sink's process, with a group and a producer of its own. One thread calls `run`."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        transactional_id: str,
        outputs: Outputs,
        observer: SinkObserver = UNOBSERVED,
    ) -> None:
        self._settings = settings
        self._observer = observer
        self._transactional_id = transactional_id
        self._topics = Topics(settings.kafka.topic_prefix)
        self._owned = Owned(settings.sink.eof_linger)
        self._steps = Steps(settings, store, outputs)
        self._lanes = Lanes(JOBS_AT_A_TIME, "finalize", settings.sink.allowed_outputs)
        self._backoff = Backoff()
        self._consumer: GroupConsumer
        self._producer: TransactionalProducer | None = None

    def run(self, stop: threading.Event, on_ready: Callable[[], None]) -> None:
        """Blocks until `stop`; `on_ready` once the group has given it its share.

        Raises TopicMismatch (a topic or its first offset is missing) or ServiceUnavailable (Kafka at the start).
        """
        try:
            self._steps.check()
            self._serve(stop, on_ready)
        finally:
            self._lanes.close()

    def attempts(self) -> list[Attempt]:
        """The steps that are being taken; from any thread."""
        return list(self._owned.attempts)

    def partitions(self) -> list[int]:
        """Those that are ours; from any thread."""
        return [number for _, number in list(self._owned.backlogs)]

    def _serve(self, stop: threading.Event, on_ready: Callable[[], None]) -> None:
        kafka = self._settings.kafka
        self._producer = start_producer(kafka, self._transactional_id)
        self._consumer = GroupConsumer(kafka, self._topics.finalizer_group, self._transactional_id, self._owned)
        try:
            self._consumer.subscribe([self._topics.status])
            patience = time.monotonic() + kafka.session_timeout  # an idle member is told of nothing
            ready = False
            while not stop.is_set():
                self._step()
                if not ready and (self._owned.was_assigned or time.monotonic() > patience):
                    ready = True
                    on_ready()
        finally:
            self._leave()

    def _step(self) -> None:
        try:
            self._take(self._consumer.poll(_POLL_RECORDS, _POLL_WORKING_S if self._is_trying() else _POLL_S))
            if time.monotonic() < self._backoff.not_before:
                return
            self._settle()
            self._go_on()
            self._commit()
            self._say_why()
        except TransactionAborted as error:
            self._wait(error)
        except (ServiceUnavailable, Fenced) as error:
            self._start_over(error)

    def _take(self, polled: Sequence[Polled]) -> None:
        now = time.monotonic()
        for record in polled:
            partition = (record.topic, record.partition)
            backlog = self._owned.backlogs.get(partition)
            if backlog is None or partition in self._owned.rewinding:
                continue
            if isinstance(record, EndOfPartition):
                backlog.end(record.offset, now)
            else:
                _see(backlog, record, now)
        self._owned.drop_stale()

    def _settle(self) -> None:
        """After a failure: a new producer, and back to where the group stands."""
        if self._producer is None:
            self._producer = start_producer(self._settings.kafka, self._transactional_id)
        if self._owned.rewinding:
            self._consumer.seek(self._consumer.committed(list(self._owned.rewinding)))
            self._owned.rewinding.clear()

    def _is_trying(self) -> bool:
        return any(attempt.is_trying for attempt in self._owned.attempts)

    def _go_on(self) -> None:
        """Begins what is asked for, and tries again what has waited for it long enough."""
        now, attempts = time.monotonic(), self._owned.attempts
        for partition, backlog in self._owned.backlogs.items():
            begun = {attempt.task.name for attempt in attempts if attempt.backlog is backlog}
            new = (task for task in backlog.tasks(now) if task.name not in begun)
            attempts.extend([Attempt(partition, backlog, task) for task in new])
        for attempt in attempts:
            attempt.go_on(self._start, now)

    def _start(self, attempt: Attempt) -> Future[list[OutgoingRecord]]:
        task = attempt.task
        return self._lanes.of(task.output).submit(self._steps.take, task, attempt.cancelled, attempt.away_since)

    def _commit(self) -> None:
        """One transaction for each step that is done, then one for all places where nothing was asked for.

        The snapshot of the membership comes before a poll, the check of what is still ours behind it; see writer.py.
        """
        now = time.monotonic()
        done = [attempt for attempt in self._owned.attempts if attempt.is_over(now)]
        if self._producer is None or not (done or self._idle(now)):
            return
        membership = self._consumer.membership()
        if not self._consumer.is_member():
            return
        self._take(self._consumer.poll(_POLL_RECORDS, 0))
        for attempt in done:
            if attempt in self._owned.attempts:
                self._finish(self._producer, attempt, membership)
        idle = self._idle(now)
        if idle:
            self._producer.transact([], idle, membership)
            for partition, position in idle.items():
                self._owned.backlogs[partition].committed(position, now)
        self._backoff.worked()

    def _finish(self, producer: TransactionalProducer, attempt: Attempt, membership: Membership) -> None:
        task, backlog = attempt.task, attempt.backlog
        position = backlog.position_without(task)
        assert position is not None
        producer.transact(attempt.records(), {attempt.partition: position}, membership)
        backlog.finished(task, time.monotonic())
        self._owned.attempts.remove(attempt)
        self._observer.step_done(task.step)
        log.info("step_done", step=task.step.value, job_id=task.status.job_id, generation=task.status.generation)

    def _say_why(self) -> None:
        """A job says in its status what its step waits for, and again where that is something else."""
        now, at = time.monotonic(), time.time()
        news = [attempt for attempt in self._owned.attempts if attempt.waits != attempt.told]
        records = [
            self._steps.hindered(attempt.task.status, attempt.waits.words(now, at), at)
            for attempt in news
            if attempt.waits is not None
        ]
        if records and self._producer is not None:
            self._producer.transact(records, {})
            for attempt in news:
                attempt.told = attempt.waits

    def _idle(self, now: float) -> dict[Partition, int]:
        places = ((partition, backlog.idle_position(now)) for partition, backlog in self._owned.backlogs.items())
        return {partition: position for partition, position in places if position is not None}

    def _wait(self, error: Exception) -> None:
        delay = self._backoff.failed(time.monotonic())
        log.warning("finalizer_waits", error=str(error), retry_in_s=delay)

    def _start_over(self, error: Exception) -> None:
        """Forgets the producer and what is not committed: every step can be run again."""
        self._wait(error)
        if self._producer is not None:
            self._producer.close()
            self._producer = None
        self._owned.rewind()

    def _leave(self) -> None:
        """1: leave the group; 2: cancel what is being assembled; 3: end the producer."""
        try:
            self._consumer.close()
        finally:
            self._owned.revoked(list(self._owned.backlogs))
            if self._producer is not None:
                self._producer.close()


def _see(backlog: Backlog, message: Message, now: float) -> None:
    try:
        status = _status(message)
    except ValueError as error:
        log.warning("status_unreadable", topic=message.topic, offset=message.offset, error=str(error))
        backlog.pass_over(message.offset, now)
    else:
        backlog.see((message.key or b"").decode(errors="replace"), message.offset, status, now)


def _status(message: Message) -> JobStatus | None:
    """None: a tombstone. Raises ValueError."""
    if message.value is None:
        return None
    status = decode_status(message.value)
    if status.job_id.encode() != message.key:
        raise ValueError(f"it speaks of {status.job_id!r}")
    return status
