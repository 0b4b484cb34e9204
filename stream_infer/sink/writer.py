"""Results and dead letters into the store: read, buffer, upload, then commit manifest, counts and offsets at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from types import MappingProxyType

import structlog

from stream_infer.errors import Fenced, ServiceUnavailable, TransactionAborted
from stream_infer.kafka.consumer import GroupConsumer
from stream_infer.kafka.definitions import CurrentSettings
from stream_infer.kafka.messages import Polled
from stream_infer.kafka.producer import TransactionalProducer, start_producer
from stream_infer.pool import DaemonPool
from stream_infer.ports import Formats, Store
from stream_infer.records import EndOfPartition
from stream_infer.settings import MIB
from stream_infer.sink.awaited import AwaitedJobs
from stream_infer.sink.backoff import Backoff
from stream_infer.sink.flush import commit_records, hindrance_records, plan_flush
from stream_infer.sink.lines import Lines
from stream_infer.sink.names import new_instance
from stream_infer.sink.observer import UNOBSERVED, SinkObserver
from stream_infer.sink.records import read_line
from stream_infer.sink.served_notes import ServedNotes
from stream_infer.sink.settling import Settling
from stream_infer.sink.share import Held, Share, Shares
from stream_infer.sink.subscription import Subscription
from stream_infer.sink.traces import FlushTraces
from stream_infer.sink.upload import Upload
from stream_infer.telemetry import tracing
from stream_infer.telemetry.tracing import NO_SPAN
from stream_infer.topics import Topics

log = structlog.get_logger(__name__)

UPLOADS = 4  # puts at a time
BUDGET_FLUSHES = 4  # flushes' worth of bytes held at a time, buffers and uploads together; above it nothing is read
_PREFETCH_BYTES = 8 * MIB
_POLL_S = 0.25
_POLL_WAITING_S = 0.02
_POLL_RECORDS = 500
_STOP_WITHIN_S = 10.0
_TIDY_WITHIN_S = 3.0


class Writer:
    """The sink proper. Everything but the puts happens on the thread that calls `run`."""

    def __init__(
        self,
        apis: CurrentSettings,
        store: Store,
        lines: Lines,
        transactional_id: str,
        awaited: AwaitedJobs,
        formats: Formats = MappingProxyType({}),
        observer: SinkObserver = UNOBSERVED,
    ) -> None:
        self._subscription = Subscription(apis)
        self._settings = settings = apis.settings
        self._observer = observer
        self._awaited = awaited
        self._formats = formats
        self._policy = settings.sink
        self._store = store
        self._lines = lines
        self._transactional_id = transactional_id
        self._topics = Topics(settings.kafka.topic_prefix)
        self._budget = BUDGET_FLUSHES * settings.sink.flush_bytes
        self._shares = Shares()
        self._instance = new_instance()
        self._pool = DaemonPool(UPLOADS, "upload")
        self._notes = ServedNotes(store, self._pool)
        self._backoff = Backoff()
        self._settling = Settling(self._shares, store, self._pool)
        self._traces = FlushTraces() if tracing.is_on() else None
        self._consumer: GroupConsumer
        self._producer: TransactionalProducer | None = None

    @property
    def held(self) -> Held:
        """What is looked at from another thread."""
        return Held(self._shares, self._budget)

    def run(self, stop: threading.Event, on_ready: Callable[[], None]) -> None:
        """Blocks until `stop`; `on_ready` once the group has given it its share.

        Raises TopicMismatch (a topic or its first offset is missing) or ServiceUnavailable (Kafka at the start).
        """
        kafka = self._settings.kafka
        self._producer = start_producer(kafka, self._transactional_id)
        self._consumer = GroupConsumer(
            kafka, self._topics.sink_group, self._transactional_id, self._shares, prefetch_bytes=_PREFETCH_BYTES
        )
        try:
            self._subscription.begin(self._consumer)
            patience = time.monotonic() + kafka.session_timeout  # an idle member is told of nothing
            ready = False
            while not stop.is_set():
                self._step(draining=False)
                is_late = time.monotonic() > patience
                if not ready and (self._subscription.is_empty or self._shares.was_assigned or is_late):
                    ready = True
                    on_ready()
            self._drain()
        finally:
            self._leave()

    def _step(self, *, draining: bool) -> None:
        """One turn: nothing in it blocks for long, so that the group keeps its member whatever the store does."""
        try:
            self._subscription.renew(self._consumer)
            self._take(self._consumer.poll(_POLL_RECORDS, self._patience()))
            self._throttle(draining=draining)
            if time.monotonic() < self._backoff.not_before:
                return
            self._settle()
            self._advance(draining=draining)
            self._say_why()
            self._commit()
            self._notes.advance(time.monotonic())
        except (ServiceUnavailable, Fenced) as error:
            # A failed poll may have dropped records that it had taken from the queue: back to what is committed.
            self._start_over([], error)

    def _patience(self) -> float:
        shares = self._shares.owned.values()
        now = time.monotonic()
        if now < self._backoff.not_before:
            return _POLL_S
        if any(share.is_waiting for share in shares):
            return _POLL_WAITING_S
        due = (share.buffer.due_in(self._policy, now, self._awaited) for share in shares if share.is_settled)
        return max(0.0, min([_POLL_S, *(seconds for seconds in due if seconds is not None)]))

    def _take(self, polled: Sequence[Polled]) -> None:
        now = time.monotonic()
        for record in polled:
            share = self._shares.owned.get((record.topic, record.partition))
            if share is None or share.is_rewinding:
                continue
            if isinstance(record, EndOfPartition):
                share.buffer.end(record.offset, now)
            else:
                destination, line = read_line(record, self._subscription.outlet(record.topic).kind, self._lines)
                share.buffer.add(destination, line, now)
        if self._traces is not None:
            self._traces.saw(polled)

    def _settle(self) -> None:
        if self._producer is None:
            self._producer = start_producer(self._settings.kafka, self._transactional_id)
        self._settling.advance(self._consumer)

    def _advance(self, *, draining: bool) -> None:
        """Closes what is due, and moves the uploads on."""
        now = time.monotonic()
        for share in self._shares.to_flush(self._policy, now, self._awaited, draining=draining):
            self._flush(share, now)
        for share in self._shares.owned.values():
            if share.upload is not None:
                share.upload.advance(now)

    def _flush(self, share: Share, now: float) -> None:
        assert share.upload is None
        since = share.buffer.since
        outlet = self._subscription.outlet(share.partition[0])
        closed, most = share.buffer.close(), self._policy.flush_bytes
        plan = plan_flush(outlet, share.partition, closed, self._instance, most, self._formats)
        span = NO_SPAN if self._traces is None else self._traces.begin(plan, self._shares.owned)
        share.upload = Upload(plan, self._store, self._pool, began=now, since=since, span=span)

    def _say_why(self) -> None:
        """A job that waits for the store says so in its status."""
        at, jobs = time.time(), self._settings.jobs.partitions
        uploads = [share.upload for share in self._shares.owned.values() if share.upload is not None]
        kept = [(upload, reason) for upload in uploads if (reason := upload.take_hindrance()) is not None]
        for _ in kept:
            self._observer.store_kept_waiting()
        said = [
            record
            for upload, reason in kept
            for record in hindrance_records(upload.plan, reason, self._topics, jobs, at)
        ]
        if said and self._producer is not None:
            try:
                self._producer.transact(said, {})
            except TransactionAborted as error:
                self._wait(error)

    def _commit(self) -> None:
        """One transaction for all flushes that are in the store.

        The snapshot of the membership comes before a poll, the check of what is still ours behind it: a member that was
        expelled meanwhile has an old snapshot, which the broker refuses. (Taken behind the poll it could be the empty
        one of a member that librdkafka has reset in the background, and a transaction without a member is let through.)
        """
        ready = [share for share in self._shares.owned.values() if share.upload is not None and share.upload.is_done]
        if not ready or self._producer is None:
            return
        membership = self._consumer.membership()
        if not self._consumer.is_member():
            return
        self._take(self._consumer.poll(_POLL_RECORDS, 0))
        ready = [share for share in ready if self._shares.owns(share)]
        uploads = [share.upload for share in ready if share.upload is not None]
        if not uploads:
            return
        at, jobs = time.time(), self._settings.jobs.partitions
        records = [
            record
            for upload in uploads
            for record in commit_records(upload.plan, upload.stored, self._topics, jobs, at)
        ]
        try:
            self._producer.transact(records, {up.plan.partition: up.plan.position for up in uploads}, membership)
        except TransactionAborted as error:
            self._wait(error)  # the objects are there; only the commit is made again
            self._observer.aborted()
            return
        except (Fenced, ServiceUnavailable) as error:
            self._start_over(ready, error)
            return
        self._backoff.worked()
        self._observer.committed(uploads, time.monotonic())
        for share, upload in zip(ready, uploads, strict=True):
            share.upload = None
            upload.committed()
            if upload.plan.pending is not None:
                self._notes.add(upload.plan.pending.key)

    def _throttle(self, *, draining: bool) -> None:
        """Reads nothing more above the budget, and again below half of it."""
        held = self._shares.bytes
        paused = self._shares.paused
        if draining or held > self._budget:
            running = [partition for partition in self._shares.owned if partition not in paused]
            if running:
                self._consumer.pause(running)
                paused.update(running)
                log.info("paused", held_bytes=held, partitions=len(paused))
        elif paused and held < self._budget / 2:
            self._consumer.resume(list(paused))
            log.info("resumed", held_bytes=held, partitions=len(paused))
            paused.clear()

    def _wait(self, error: Exception) -> None:
        delay = self._backoff.failed(time.monotonic())
        log.warning("sink_waits", error=str(error), retry_in_s=delay)

    def _start_over(self, tried: Sequence[Share], error: Exception) -> None:
        """Forgets the producer and everything not committed. `tried`: the shares whose commit may have happened."""
        self._wait(error)
        if self._producer is not None:
            self._producer.close()
            self._producer = None
        self._instance = new_instance()
        self._observer.began_anew()
        for share in self._shares.owned.values():
            share.rewind(tried=share in tried)

    def _drain(self) -> None:
        """1: read nothing more; 2: flush and commit what is held, within a deadline. What is not stays uncommitted."""
        deadline = time.monotonic() + _STOP_WITHIN_S
        self._throttle(draining=True)
        while time.monotonic() < deadline and (self._notes or any(map(_has_more, self._shares.owned.values()))):
            self._step(draining=True)

    def _leave(self) -> None:
        """3: leave the group, which takes back what was put and not committed; 4: end producer and pool."""
        try:
            self._consumer.close()
        finally:
            if self._producer is not None:
                self._producer.close()
            self._pool.close(_TIDY_WITHIN_S)


def _has_more(share: Share) -> bool:
    return share.upload is not None or share.buffer.has_moved
