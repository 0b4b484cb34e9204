"""Delivers what has ended: one transaction after the other.

    open --commit--> under way --take_end--> committed, or in the ledger again

One grows with each turn by the results that have come, and ends beside the next ones, one at a time: nobody waits for
the broker. Partitions that were ours at its beginning are ours at its end, since others get them only after our revoke
callback, which runs inside `poll` and waits for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import structlog

from stream_infer.errors import Fenced, ServiceUnavailable, TransactionAborted
from stream_infer.jobs.events import Event
from stream_infer.kafka.consumer import GroupConsumer
from stream_infer.kafka.producer import TransactionalProducer
from stream_infer.worker.delivery import Delivery
from stream_infer.worker.held import Prefix
from stream_infer.worker.ledger import Ledger
from stream_infer.worker.observer import UNOBSERVED, Ends, WorkerObserver
from stream_infer.worker.pace import Pace
from stream_infer.worker.rejected import RejectedLog
from stream_infer.worker.transaction import Transaction

_LOG = structlog.get_logger(__name__)


class CommitListener(Protocol):
    """Told of how a transaction has ended, on the thread that takes it in."""

    def committed(self, prefixes: Sequence[Prefix]) -> None: ...

    def aborted(self) -> None:
        """What was in it is delivered by another one."""
        ...


@dataclass(frozen=True, slots=True)
class _UnderWay:
    """A transaction that is ending, its items and how they ended, and the events that are said in it."""

    prefixes: list[Prefix]
    events: list[Event]
    end: Future[None]
    ends: Ends
    began: float


class Commits:
    """The transactions of one worker. `is_fenced`: nobody knows whether the last one counts; see `renew`."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        delivery: Delivery,
        pace: Pace,
        new_producer: Callable[[], TransactionalProducer],
        listener: CommitListener,
        observer: WorkerObserver = UNOBSERVED,
    ) -> None:
        self.is_fenced = False
        self._ledger = ledger
        self._delivery = delivery
        self._pace = pace
        self._new_producer = new_producer
        self._producer = new_producer()
        self._listener = listener
        self._observer = observer
        self._rejected = RejectedLog()
        self._events: list[Event] = []
        self._open: Transaction | None = None
        self._under_way: _UnderWay | None = None

    def say(self, events: Iterable[Event]) -> None:
        """With the next transaction, and with the one after it where that comes to nothing."""
        self._events += events

    @property
    def has_deliverable(self) -> bool:
        return self._open is not None or self._ledger.has_deliverable

    @property
    def is_under_way(self) -> bool:
        return self._under_way is not None

    def is_due(self, *, idle: bool) -> bool:
        """Whether there is something to commit, and it is time to; `idle`: there is nothing else to do."""
        if self._under_way is not None or not (self.has_deliverable or self._events):
            return False
        return self._pace.is_commit_due(time.monotonic(), idle=idle, held=self._ledger.held) or min(self._left()) <= 0

    def _left(self) -> tuple[int, int]:
        """How many entries, and bytes, the transaction may still take."""
        policy, open_ = self._pace.policy, self._open
        if open_ is None:
            return policy.max_transaction_entries, policy.max_transaction_bytes
        return policy.max_transaction_entries - open_.length, policy.max_transaction_bytes - open_.size

    def write_results(self) -> None:
        """As far as they have come, where a transaction may be open now."""
        if self._under_way is None and self._pace.may_begin(time.monotonic()):
            self._write(self._ledger.prefixes(*self._left(), results_only=True))

    def _write(self, ended: Sequence[Prefix]) -> None:
        """Adds ended prefixes to the open transaction; nobody sees them before it is committed.

        What has failed is added only when it is, so that the breaker may think better of it until then.
        """
        if not ended:
            return
        transaction = self._open or self._begin()
        with self._or_spoil():
            added = transaction.add(ended)
            self._ledger.hold_back(added.waiting)
            self._ledger.begin_delivery(added.prefixes)
            self._producer.write(added.records)

    @contextmanager
    def _or_spoil(self) -> Iterator[None]:
        """A fault in the middle of it leaves a transaction that lacks records of what it has: it must not be committed,
        also not by those who clear up behind the fault."""
        try:
            yield
        except BaseException as error:
            self._producer.spoil(error)
            raise

    def _begin(self) -> Transaction:
        self._producer.open()
        self._open = Transaction(self._delivery, time.monotonic())
        return self._open

    def commit(self, consumer: GroupConsumer, now: float) -> None:
        """Every ended prefix in one transaction: results, dead letters, progress and offsets. `now` since the epoch."""
        membership = consumer.membership()
        if not consumer.is_member():
            self.abort("this worker is no member of its group")
            return
        self._ledger.cut_stretches()
        self._write(self._ledger.prefixes(*self._left()))
        transaction = self._open or (self._begin() if self._events else None)
        if transaction is None:
            return
        prefixes, events = transaction.prefixes, self._events
        with self._or_spoil():
            self._producer.write(transaction.progress(now, events))
            end = self._producer.commit({prefix.partition: prefix.offset for prefix in prefixes}, membership)
        self._events = []
        self._open, self._under_way = None, _UnderWay(prefixes, events, end, transaction.ends(), transaction.began)

    def abort(self, reason: str) -> None:
        """The open transaction: what it would have delivered is delivered by another one."""
        if self._open is None:
            self._pace.aborted(time.monotonic())
        else:
            end = self._producer.abort(reason)
            self._under_way = _UnderWay(self._open.prefixes, [], end, Ends(), self._open.began)
            self._open = None

    def take_end(self, timeout_s: float | None) -> None:
        """Takes in how the transaction under way has ended, if it has within `timeout_s`; None waits for its end.

        Raises what no other transaction can mend. What was in one that failed, in whatever way, is in the ledger again.
        """
        under_way = self._under_way
        if under_way is None or not _has_ended(under_way.end, timeout_s):
            return
        self._under_way = None
        error = under_way.end.exception()
        if error is None:
            now = time.monotonic()
            self._observer.committed(under_way.ends, now - under_way.began, under_way.prefixes)
            self._committed(under_way.prefixes, now)
            return
        self._ledger.deliver_again(under_way.prefixes)
        self._events[:0] = under_way.events
        match error:
            case TransactionAborted() | ServiceUnavailable():
                delay = self._pace.aborted(time.monotonic())
                _LOG.warning("delivery_repeated", reason=str(error), again_in_s=round(delay, 1))
                self._observer.aborted()
                self._listener.aborted()
            case Fenced():
                _LOG.warning("producer_fenced", reason=str(error))
                self._observer.fenced()
                self.is_fenced = True
            case _:
                raise error

    def _committed(self, prefixes: Sequence[Prefix], now: float) -> None:
        self._rejected.delivered(prefixes, now)
        self._ledger.delivered(prefixes)
        self._delivery.payloads.delivered(prefixes)
        self._pace.committed(now)
        self._listener.committed(prefixes)

    def rest(self, for_s: float) -> None:
        """So long, or until the transaction under way has ended."""
        if self._under_way is None:
            time.sleep(for_s)
        else:
            self.take_end(for_s)

    def turn(self) -> None:
        """What is due between the transactions: payloads that have come to the store, and what is said of rejects."""
        now = time.monotonic()
        self._rejected.say(now)
        self._ledger.let_go(self._delivery.payloads.advance(now))

    def let_go(self) -> None:
        """The open transaction is aborted, and the one under way has ended, however: partitions are to be given up."""
        if self._under_way is None and self._open is not None:
            self.abort("its partitions are not ours any more")
        self.take_end(None)

    def renew(self) -> None:
        """With another producer, whom nobody has fenced. What was delivered by the last one is to be read anew."""
        self.is_fenced = False
        self._open = None
        self._producer.close()
        self._producer = self._new_producer()

    def close(self) -> None:
        """What was not committed is somebody else's."""
        self.take_end(None)
        self._rejected.say(time.monotonic(), at_once=True)
        self._delivery.payloads.close()
        self._producer.close()


def _has_ended(end: Future[None], timeout_s: float | None) -> bool:
    return end.done() or (timeout_s != 0 and bool(wait([end], timeout_s).done))
