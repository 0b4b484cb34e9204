"""The worker: read, admit, predict, deliver. One thread owns consumer, ledger and producer.

A transaction grows with each turn by the results that have come, and ends beside the next ones, one at a time: nobody
waits for the broker. Partitions that were ours at its beginning are ours at its end, since others get them only after
our revoke callback, which runs inside `poll` and waits for it.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager
from dataclasses import dataclass

import structlog

from stream_infer.engine.engine import Engine
from stream_infer.engine.task import Task
from stream_infer.errors import Fenced, ServiceUnavailable, TransactionAborted
from stream_infer.jobs.events import Event
from stream_infer.kafka.consumer import GroupConsumer, Partition
from stream_infer.kafka.producer import TransactionalProducer
from stream_infer.records import EndOfPartition, Output, Run
from stream_infer.worker.admission import Admission
from stream_infer.worker.circuit import Circuit
from stream_infer.worker.delivery import Delivery
from stream_infer.worker.held import Prefix, Stretch
from stream_infer.worker.ledger import Ledger
from stream_infer.worker.outcomes import Outcomes
from stream_infer.worker.pace import Pace
from stream_infer.worker.reading import Reading
from stream_infer.worker.rejected import RejectedLog
from stream_infer.worker.startup import Startup, Step
from stream_infer.worker.transaction import Transaction

_LOG = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class LoopTimes:
    """How long the loop waits, in seconds: for records when idle, for answers when busy, and at a revocation."""

    idle: float = 0.1
    busy: float = 0.005
    full: float = 0.05
    drain: float = 10.0


@dataclass(frozen=True, slots=True)
class _UnderWay:
    """A transaction that is ending, its items, and the events that are said in it."""

    prefixes: list[Prefix]
    events: list[Event]
    end: Future[None]


class WorkerLoop:
    """One member of an API's group, from its first poll to its leave."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        admission: Admission,
        reading: Reading,
        engine: Engine,
        delivery: Delivery,
        pace: Pace,
        outcomes: Outcomes,
        circuit: Circuit,
        new_producer: Callable[[], TransactionalProducer],
        startup: Startup | None = None,
        times: LoopTimes = LoopTimes(),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._ledger = ledger
        self._admission = admission
        self._reading = reading
        self._engine = engine
        self._delivery = delivery
        self._pace = pace
        self._new_producer = new_producer
        self._producer = new_producer()
        self._outcomes = outcomes
        self._circuit = circuit
        self._startup = startup
        self._times = times
        self._clock = clock
        self._events: list[Event] = []
        self._rejected = RejectedLog()
        self._open: Transaction | None = None
        self._under_way: _UnderWay | None = None
        self._consumer: GroupConsumer | None = None
        self._is_fenced = False
        self._gives_up_at = math.inf

    def run(self, consumer: GroupConsumer, stop: threading.Event) -> None:
        """Works until `stop`. Raises what cannot be mended here: TopicMismatch, PredictorUnavailable."""
        self._consumer = consumer
        while not stop.is_set():
            self._tick(consumer)

    def finish(self, consumer: GroupConsumer) -> None:
        """Before the consumer leaves the group: delivers what the model is at, and takes up nothing more."""
        self._gives_up_at = time.monotonic() + self._times.drain
        self._drain(self._ledger.partitions(), consumer)

    def _tick(self, consumer: GroupConsumer) -> None:
        ledger = self._ledger
        engine = self._engine
        room = self._pace.room(
            ledger.in_work, ledger.held, ledger.held_bytes, batch_size=engine.batch_size, depth=engine.depth
        )
        busy = ledger.in_work > 0 or self._has_deliverable
        polled = self._reading.read(consumer, room, 0.0 if busy else self._idle_time())
        self._end_transaction(0.0)
        if self._is_fenced:
            self._begin_anew(consumer)  # and what was just polled is read again
            return
        self._admit(polled)
        waits = self._times.full if not room else self._times.busy
        self._work(waits if ledger.in_work and not polled else 0.0)
        idle = not polled and not ledger.in_work
        if self._under_way is None and self._is_due(idle=idle) and (self._has_deliverable or self._events):
            self._deliver()
            return
        if self._under_way is None and self._pace.may_begin(time.monotonic()):
            self._write(ledger.prefixes(*self._left(), results_only=True))
        if idle and (self._has_deliverable or not room):
            self._rest()

    @property
    def _has_deliverable(self) -> bool:
        return self._open is not None or self._ledger.has_deliverable

    def _is_due(self, *, idle: bool) -> bool:
        return self._pace.is_commit_due(time.monotonic(), idle=idle, held=self._ledger.held) or min(self._left()) <= 0

    def _left(self) -> tuple[int, int]:
        """How many entries, and bytes, the transaction may still take."""
        policy, open_ = self._pace.policy, self._open
        if open_ is None:
            return policy.max_transaction_entries, policy.max_transaction_bytes
        return policy.max_transaction_entries - open_.length, policy.max_transaction_bytes - open_.size

    def _rest(self) -> None:
        """For a moment, or until the transaction under way has ended."""
        if self._under_way is None:
            time.sleep(self._times.busy)
        else:
            self._end_transaction(self._times.busy)

    def _idle_time(self) -> float:
        """Until something that waits here is due, but no longer than usual."""
        return max(0.0, min(self._times.idle, self._admission.next_time() - self._clock()))

    def _admit(self, polled: Iterable[Run | EndOfPartition]) -> None:
        """In the order of reading: an end mark stands behind the records before it."""
        runs = [one for one in polled if isinstance(one, Run)]
        if runs and self._startup is not None:
            self._startup.reach(Step.FIRST_ITEM)
        begun = self._admission.admit(runs, self._clock())
        for one in polled:
            if isinstance(one, EndOfPartition):
                self._ledger.mark_end((one.topic, one.partition), one.offset)
        for tasks in begun:
            self._submit(tasks)

    def _work(self, timeout_s: float) -> None:
        """Passes on what is ready, and takes the predictor's answers; waits at most `timeout_s` for one."""
        now = self._clock()
        self._submit(self._admission.advance(now))
        upstream = max(0, self._ledger.in_work - self._engine.in_flight - len(self._outcomes.being_shaped))
        answers = self._engine.poll(timeout_s, upstream)
        now = self._clock()
        self._submit(self._outcomes.take_all(answers, now, is_serving=self._circuit.is_serving))
        self._outcomes.take_shaped(now, is_serving=self._circuit.is_serving)
        self._circuit.saw(answers, now)
        self._events += self._outcomes.events()
        for job_id in self._outcomes.ended_jobs():
            self._engine.forget_job(job_id)
        self._turn(now)

    def _turn(self, now: float) -> None:
        self._rejected.say(time.monotonic())
        self._take_stored()
        turn = self._circuit.turn(now)
        self._events += turn.events
        if turn.released:
            self._submit(self._admission.release(turn.released, now))
        if turn.probe is not None:
            self._submit(self._admission.release([turn.probe], now, one=True))

    def _take_stored(self) -> None:
        self._ledger.let_go(self._delivery.payloads.advance(time.monotonic()))

    def _submit(self, tasks: Sequence[Task]) -> None:
        if tasks:
            self._engine.submit_many(tasks)

    def _write(self, ended: Sequence[Prefix]) -> None:
        """Adds ended prefixes to the open transaction; nobody sees them before it is committed.

        What has failed is added only when it is, so that the breaker may think better of it until then.
        """
        if not ended:
            return
        transaction = self._open or self._begin_transaction()
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

    def _begin_transaction(self) -> Transaction:
        self._producer.open()
        self._open = Transaction(self._delivery)
        return self._open

    def _deliver(self) -> None:
        """Commits every ended prefix in one transaction: results, dead letters, progress and offsets."""
        consumer = self._consumer
        if consumer is None:
            return
        membership = consumer.membership()
        if not consumer.is_member():
            self._abort("this worker is no member of its group")
            return
        self._ledger.cut_stretches()
        self._write(self._ledger.prefixes(*self._left()))
        transaction = self._open or (self._begin_transaction() if self._events else None)
        if transaction is None:
            return
        prefixes, events = transaction.prefixes, self._events
        with self._or_spoil():
            self._producer.write(transaction.progress(self._clock(), events))
            end = self._producer.commit({prefix.partition: prefix.offset for prefix in prefixes}, membership)
        self._events = []
        self._open, self._under_way = None, _UnderWay(prefixes, events, end)

    def _abort(self, reason: str) -> None:
        """Of the open transaction: what it would have delivered is delivered by another one."""
        if self._open is None:
            self._pace.aborted(time.monotonic())
        else:
            self._under_way = _UnderWay(self._open.prefixes, [], self._producer.abort(reason))
            self._open = None

    def _end_transaction(self, timeout_s: float | None) -> None:
        """Takes in how the transaction under way has ended, if it has within `timeout_s`; None waits for its end.

        Raises what no other transaction can mend. What was in one that failed, in whatever way, is in the ledger again.
        """
        under_way = self._under_way
        if under_way is None or not _has_ended(under_way.end, timeout_s):
            return
        self._under_way = None
        error = under_way.end.exception()
        if error is None:
            self._committed(under_way.prefixes, time.monotonic())
            return
        self._ledger.deliver_again(under_way.prefixes)
        self._events[:0] = under_way.events
        match error:
            case TransactionAborted() | ServiceUnavailable():
                delay = self._pace.aborted(time.monotonic())
                _LOG.warning("delivery_repeated", reason=str(error), again_in_s=round(delay, 1))
                self._circuit.delivery_failed()
            case Fenced():
                _LOG.warning("producer_fenced", reason=str(error))
                self._is_fenced = True
            case _:
                raise error

    def _committed(self, prefixes: Sequence[Prefix], now: float) -> None:
        self._rejected.delivered(prefixes, now)
        self._ledger.delivered(prefixes)
        self._admission.delivered(prefixes)
        self._delivery.payloads.delivered(prefixes)
        self._pace.committed(now)
        if self._startup is not None and _has_result(prefixes):
            self._startup.reach(Step.COMMITTED)
            self._startup.tell(self._engine.loading)
            self._startup = None

    def _begin_anew(self, consumer: GroupConsumer) -> None:
        """Nobody knows whether the last transaction counts: forget all, and read on from where the group stands.

        In a turn of its own: it may be noticed inside a callback of the consumer, which must not be asked anything
        there (see kafka/following.py).
        """
        self._is_fenced = False
        self._open = None
        self._producer.close()
        self._producer = self._new_producer()
        partitions = self._ledger.rewind()
        self._engine.disown()
        self._admission.forget_lost()
        self._delivery.payloads.forget(partitions)
        consumer.seek(consumer.committed(partitions))

    # What the group says, inside `poll` and on its thread.

    def assigned(self, partitions: Sequence[Partition]) -> None:
        self._ledger.assign(partitions)
        self._reading.begin(partitions)
        if partitions:
            _LOG.info("partitions_assigned", partitions=_names(partitions))
            if self._startup is not None:
                self._startup.reach(Step.JOINED)

    def revoked(self, partitions: Sequence[Partition]) -> None:
        """Finishes what is in the model, within a deadline, and delivers it: what is left is done again elsewhere."""
        try:
            self._drain(partitions)
        finally:
            left = self._ledger.pending(partitions)
            self._forget(partitions)
        _LOG.info("partitions_revoked", partitions=_names(partitions), left_undone=left)

    def _drain(self, partitions: Sequence[Partition], consumer: GroupConsumer | None = None) -> None:
        """Lets the model finish what it is at, and delivers it. `consumer`: outside its callbacks, to be polled.

        Measured where one left with work in the model and was not polled: a join that was under way was answered to
        nobody, the broker had counted it, and refused whatever this member committed until it had left.
        """
        deadline = min(time.monotonic() + self._times.drain, self._gives_up_at)
        tokens = self._ledger.open_tokens(partitions)
        self._engine.withdraw(tokens)
        while (
            tokens & (self._engine.in_child() | self._outcomes.being_shaped)
            and time.monotonic() < deadline
            and not self._is_fenced
        ):
            self._work(self._times.full)
            self._end_transaction(0.0)
            self._deliver_due()
            self._stay(consumer)
        self._deliver_all(deadline, partitions, consumer)

    def _stay(self, consumer: GroupConsumer | None) -> None:
        """A member that joins again when others do, and reads nothing."""
        if consumer is not None and not self._is_fenced:
            self._reading.hold(consumer)

    def lost(self, partitions: Sequence[Partition]) -> None:
        self._forget(partitions)
        _LOG.warning("partitions_lost", partitions=_names(partitions))

    def _forget(self, partitions: Sequence[Partition]) -> None:
        """Not before the transaction under way has ended: nobody else may get its partitions earlier."""
        if self._under_way is None and self._open is not None:
            self._abort("its partitions are not ours any more")
        try:
            self._end_transaction(None)
        finally:
            self._engine.disown(self._ledger.open_tokens(partitions))
            self._ledger.revoke(partitions)
            self._admission.forget_lost(partitions)
            self._delivery.payloads.forget(partitions)
            self._reading.end(partitions)

    def _deliver_all(self, deadline: float, partitions: Sequence[Partition], consumer: GroupConsumer | None) -> None:
        while not self._is_fenced:
            self._take_stored()
            ledger = self._ledger
            if not (self._under_way or self._has_deliverable or ledger.is_held_back(partitions)):
                return
            if time.monotonic() >= deadline:
                return
            if not self._deliver_due():
                self._rest()
            self._stay(consumer)

    def _deliver_due(self) -> bool:
        if self._under_way is None and self._has_deliverable and self._is_due(idle=True):
            self._deliver()
            return True
        return False

    def close(self) -> None:
        """After the consumer has left the group: what was not committed is somebody else's."""
        self._end_transaction(None)
        self._rejected.say(time.monotonic(), at_once=True)
        self._delivery.payloads.close()
        self._producer.close()


def _has_ended(end: Future[None], timeout_s: float | None) -> bool:
    return end.done() or (timeout_s != 0 and bool(wait([end], timeout_s).done))


def _has_result(prefixes: Iterable[Prefix]) -> bool:
    parts = (part for prefix in prefixes for part in prefix.parts)
    return any(isinstance(part, Stretch) or isinstance(part.ended, Output) for part in parts)


def _names(partitions: Sequence[Partition]) -> list[str]:
    return [f"{topic}[{number}]" for topic, number in sorted(partitions)]
