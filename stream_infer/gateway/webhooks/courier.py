"""Delivers webhooks: follows `{p}.status` in a group, and has the deliveries of the jobs whose partitions it is given.

That an event is to be told is committed with the group's place behind the row that says so; the outcome of an attempt
in a transaction with that place as well, which the broker refuses to whoever is no member any more. So an event is
noted once, and told at least once, under one id.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import NamedTuple, TypeAlias

import structlog

from stream_infer.errors import (
    FatalError,
    Fenced,
    ServiceUnavailable,
    StreamInferError,
    TransactionAborted,
    UsageError,
)
from stream_infer.gateway.webhooks.board import DeliveryBoard
from stream_infer.gateway.webhooks.due import Due
from stream_infer.gateway.webhooks.metrics import UNOBSERVED, CourierObserver
from stream_infer.gateway.webhooks.notes import Changes, Notes, tell
from stream_infer.gateway.webhooks.share import Owned, Share
from stream_infer.gateway.webhooks.traces import AttemptTraces
from stream_infer.gateway.webhooks.under_way import Sending, UnderWay
from stream_infer.jobs.deliveries import Delivery, due_at
from stream_infer.kafka.consumer import GroupConsumer
from stream_infer.kafka.messages import Polled
from stream_infer.kafka.partitioner import partition_of
from stream_infer.kafka.producer import TransactionalProducer, start_producer
from stream_infer.ports import Posted
from stream_infer.settings import MIB, Settings
from stream_infer.telemetry import tracing
from stream_infer.topics import Topics
from stream_infer.webhooks import signed_headers

Post: TypeAlias = Callable[[str, Mapping[str, str], bytes], "Future[Posted | None]"]

COMMIT_EVERY_S = 2.0
_POLL_S = 0.25
_POLL_SENDING_S = 0.05
_POLL_RECORDS = 500
_PREFETCH_BYTES = 8 * MIB
_READ_WITHIN_S = 30.0
_FINISH_WITHIN_S, _LOOK_S = 1.0, 0.02
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 10.0
_SET_BACK_S = 2.0
_UNSIGNED = Posted(None, "there is no secret to sign it with: set webhooks.secrets")
_log = structlog.get_logger(__name__)


class News(NamedTuple):
    """Of a share: the attempts that were answered, and what is to be written."""

    share: Share
    answered: Sequence[Sending]
    changes: Changes


class Courier:
    """One thread calls `run`. `post` sends without blocking."""

    def __init__(
        self,
        settings: Settings,
        notes: Notes,
        board: DeliveryBoard,
        post: Post,
        transactional_id: str,
        observer: CourierObserver = UNOBSERVED,
    ) -> None:
        self._settings = settings
        self._topics = Topics(settings.kafka.topic_prefix)
        self._notes = notes
        self._board = board
        self._post = post
        self._transactional_id = transactional_id
        self._observer = observer
        self._traces = AttemptTraces(notes.traceparent) if tracing.is_on() else None
        self._under_way = UnderWay()
        self._owned = Owned(self._under_way)
        self._due = Due()
        self._ahead = time.time() - time.monotonic()
        self._noted_at = 0.0
        self._not_before = 0.0
        self._failures = 0
        self._consumer: GroupConsumer
        self._producer: TransactionalProducer | None = None

    @property
    def waiting(self) -> list[Delivery]:
        """What is to be sent, of the shares that are ours. May be called from any thread."""
        shares = tuple(self._owned.shares.values())
        return [delivery for share in shares for delivery in tuple(share.pending.values())]

    def run(self, stop: threading.Event) -> None:
        """Blocks until `stop`. Waits for a Kafka that is away.

        Raises TopicMismatch (a topic or its first offset is missing) or ReaderStalled.
        """
        kafka = self._settings.kafka
        group, name = self._topics.webhooks_group, self._transactional_id
        self._consumer = GroupConsumer(kafka, group, name, self._owned, prefetch_bytes=_PREFETCH_BYTES)
        try:
            self._consumer.subscribe([self._topics.status])
            while not stop.is_set():
                self._step()
            self._finish()
        finally:
            self._leave()

    def _step(self) -> None:
        try:
            self._take(self._consumer.poll(_POLL_RECORDS, _POLL_SENDING_S if len(self._under_way) else _POLL_S))
            if time.monotonic() < self._not_before:
                return
            self._settle()
            self._note()
            self._send()
        except TransactionAborted as error:
            self._wait(error)
        except (ServiceUnavailable, Fenced, TimeoutError) as error:
            self._start_over(error)
        except (FatalError, UsageError):
            raise
        except Exception as error:  # noqa: BLE001 (telling of jobs must not take the gateway down: it is tried again)
            _log.exception("webhooks_failed")
            self._start_over(error)
            time.sleep(_FIRST_PAUSE_S)

    def _take(self, polled: Sequence[Polled]) -> None:
        for record in polled:
            share = self._owned.shares.get((record.topic, record.partition))
            if share is not None and share.partition not in self._owned.rewinding:
                share.see(record)

    def _settle(self) -> None:
        """After a failure a new producer, and back to where the group stands; then the deliveries of shares that are
        new to us, once all is seen that others could commit before these were ours. Only of those whose place is known:
        what is lined up has to be ready to be sent, or it is passed over.
        """
        if self._producer is None:
            self._producer = start_producer(self._settings.kafka, self._transactional_id)
        if self._owned.rewinding:
            self._consumer.seek(self._consumer.committed(list(self._owned.rewinding)))
            self._owned.rewinding.clear()
        placed = [share for share in self._owned.shares.values() if share.position is not None]
        unread = [share for share in placed if not share.is_loaded]
        if unread:
            self._board.catch_up().result(_READ_WITHIN_S)
        for share in unread:
            share.load(self._board.in_partition(share.number, self._settings.jobs.partitions))
            for delivery in share.pending.values():
                self._line_up(delivery)

    def _note(self) -> None:
        """In one transaction: what was read, what was answered, what is wished for.

        The snapshot of the membership comes before a poll, the look at what is ours behind it; see DESIGN.md, 1 and 8.
        """
        now, ready = time.monotonic(), self._owned.ready
        is_due = now - self._noted_at >= COMMIT_EVERY_S and any(share.has_moved for share in ready)
        has_news = any(share.has_news for share in ready) or self._under_way.has_answers or self._board.has_wishes
        if self._producer is None or not (is_due or has_news):
            return
        membership = self._consumer.membership()
        if not self._consumer.is_member():
            return
        self._take(self._consumer.poll(_POLL_RECORDS, 0))
        news = [self._news(share) for share in self._owned.ready]
        records = [record for one in news for record in self._notes.records(one.changes)]
        if not news or not (records or is_due or any(one.share.has_news for one in news)):
            self._drop_answers(news)
            return
        offsets = {one.share.partition: one.share.position or 0 for one in news}
        self._producer.transact(records, offsets, membership)
        self._noted_at, self._failures = now, 0
        self._drop_answers(news)
        for one in news:
            one.share.note(one.changes)
            for delivery in one.changes.values():
                self._line_up(delivery)
            tell(one.changes.values(), self._notes.traceparent)
            self._observer.noted(one.changes.values())

    def _news(self, share: Share) -> News:
        answered = self._under_way.answered(share.number)
        return News(share, answered, self._notes.changes(share, answered, self._under_way))

    def _drop_answers(self, news: Iterable[News]) -> None:
        """They are noted, or say nothing new: their delivery was forgotten meanwhile, or an answer noted by a commit
        that seemed to fail. One that stayed would keep its host's room.
        """
        for one in news:
            for sending in one.answered:
                self._under_way.remove(sending)

    def _line_up(self, delivery: Delivery | None) -> None:
        at = None if delivery is None or not delivery.is_pending else due_at(delivery, time.time())
        if delivery is not None and at is not None:
            self._due.put(self._notes.host(delivery), delivery, at)

    def _mind_the_clock(self) -> None:
        """Lines all up anew where the clock was set back."""
        ahead = time.time() - time.monotonic()
        if ahead < self._ahead - _SET_BACK_S:
            _log.warning("clock_set_back", by_s=round(self._ahead - ahead))
            self._due = Due()
            for share in self._owned.ready:
                for delivery in share.pending.values():
                    self._line_up(delivery)
        self._ahead = ahead

    def _send(self) -> None:
        self._mind_the_clock()
        now = time.time()
        for host, delivery in self._due.take(now, self._is_current, self._under_way.has_room):
            answer = self._sent(delivery, int(now))
            self._under_way.add(Sending(delivery.key, self._number(delivery), host, answer))
            if self._traces is not None:
                self._traces.began(delivery, answer)

    def _sent(self, delivery: Delivery, at: int) -> Future[Posted | None]:
        target = self._notes.target(delivery)
        if target is None or not target.secrets:
            known: Future[Posted | None] = Future()
            known.set_result(None if target is None else _UNSIGNED)
            return known
        body = delivery.body.encode()
        return self._post(target.url, signed_headers(delivery.id, at, body, target.secrets), body)

    def _is_current(self, delivery: Delivery) -> bool:
        """Whether it is ours, as it is, and no attempt at it is under way."""
        share = self._owned.shares.get((self._topics.status, self._number(delivery)))
        is_ours = share is not None and share.is_ready and share.pending.get(delivery.key) is delivery
        return is_ours and delivery.key not in self._under_way

    def _number(self, delivery: Delivery) -> int:
        return partition_of(delivery.job_id, self._settings.jobs.partitions)

    def _wait(self, error: Exception) -> None:
        pause_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** min(self._failures, 10))
        self._failures += 1
        self._not_before = time.monotonic() + pause_s
        _log.warning("webhooks_wait", error=str(error) or type(error).__name__, retry_in_s=pause_s)

    def _start_over(self, error: Exception) -> None:
        """Forgets the producer and what is not committed: all of it is found again."""
        self._wait(error)
        if self._producer is not None:
            self._producer.close()
            self._producer = None
        self._owned.rewind()
        self._due = Due()  # or each time all that waits would be in it once more

    def _finish(self) -> None:
        """Whoever comes next makes again what is under way and not noted: so that is waited for, for a moment."""
        deadline = time.monotonic() + _FINISH_WITHIN_S
        while self._under_way.has_waiting and time.monotonic() < deadline:
            time.sleep(_LOOK_S)
        with suppress(StreamInferError, TimeoutError):
            self._note()

    def _leave(self) -> None:
        """1: leave the group; 2: end the producer."""
        try:
            self._consumer.close()
        finally:
            self._owned.revoked(list(self._owned.shares))
            if self._producer is not None:
                self._producer.close()
