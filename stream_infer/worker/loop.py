"""The worker: read, admit, predict, deliver. One thread owns consumer, ledger and producer.

A transaction is opened and ended between two polls, so no rebalance comes between its parts: partitions that were ours
at its beginning are ours at its end, since others get them only after our revoke callback, which runs inside `poll`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import structlog

from stream_infer.engine.engine import Engine
from stream_infer.engine.task import Task
from stream_infer.errors import Fenced, ServiceUnavailable, TransactionAborted
from stream_infer.jobs.events import Event
from stream_infer.kafka.consumer import GroupConsumer, Membership, Partition
from stream_infer.kafka.producer import TransactionalProducer
from stream_infer.records import EndOfPartition, Message
from stream_infer.worker.admission import Admission
from stream_infer.worker.circuit import Circuit
from stream_infer.worker.delivery import Delivery, Transaction
from stream_infer.worker.ledger import Ledger, Prefix
from stream_infer.worker.outcomes import Outcomes
from stream_infer.worker.pace import Pace
from stream_infer.worker.rejected import RejectedLog

_LOG = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class LoopTimes:
    """How long the loop waits, in seconds: for records when idle, for answers when busy, and at a revocation."""

    idle: float = 0.1
    busy: float = 0.005
    full: float = 0.05
    drain: float = 10.0
    full_before_pause: float = 5.0
    look_at_full: float = 0.25


class WorkerLoop:
    """One member of an API's group, from its first poll to its leave."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        admission: Admission,
        engine: Engine,
        delivery: Delivery,
        pace: Pace,
        outcomes: Outcomes,
        circuit: Circuit,
        new_producer: Callable[[], TransactionalProducer],
        times: LoopTimes = LoopTimes(),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._ledger = ledger
        self._admission = admission
        self._engine = engine
        self._delivery = delivery
        self._pace = pace
        self._new_producer = new_producer
        self._producer = new_producer()
        self._outcomes = outcomes
        self._circuit = circuit
        self._times = times
        self._clock = clock
        self._events: list[Event] = []
        self._rejected = RejectedLog()
        self._full_since: float | None = None
        self._paused: set[Partition] = set()
        self._looked_at = 0.0
        self._enough: set[Partition] = set()
        self._consumer: GroupConsumer | None = None
        self._is_fenced = False

    def run(self, consumer: GroupConsumer, stop: threading.Event) -> None:
        """Works until `stop`. Raises what cannot be mended here: TopicMismatch, PredictorUnavailable."""
        self._consumer = consumer
        while not stop.is_set():
            self._tick(consumer)

    def _tick(self, consumer: GroupConsumer) -> None:
        ledger = self._ledger
        room = self._pace.room(ledger.in_work, ledger.held, ledger.held_bytes)
        busy = ledger.in_work > 0 or ledger.has_deliverable
        polled = self._read(consumer, room, 0.0 if busy else self._idle_time())
        if self._is_fenced:
            self._begin_anew(consumer)  # and what was just polled is read again
            return
        self._admit(polled)
        waits = self._times.full if not room else self._times.busy
        self._work(waits if ledger.in_work and not polled else 0.0)
        idle = not polled and not ledger.in_work
        due = self._pace.is_commit_due(time.monotonic(), idle=idle, held=ledger.held)
        if (ledger.has_deliverable or self._events) and due:
            self._deliver()
        elif idle and (ledger.has_deliverable or not room):
            time.sleep(self._times.busy)

    def _idle_time(self) -> float:
        """Until something that waits here is due, but no longer than usual."""
        return max(0.0, min(self._times.idle, self._admission.next_time() - self._clock()))

    def _read(self, consumer: GroupConsumer, room: int, timeout_s: float) -> list[Message | EndOfPartition]:
        """Polls for at most `room` records. Full for long: paused and polled, so that the group keeps this member.

        Pausing drops what librdkafka has prefetched, so a moment's fullness just leaves the queue alone.
        """
        now = time.monotonic()
        if room:
            self._full_since = None
            self._pause(consumer, self._overfull(now))
            return consumer.poll(room, timeout_s)
        self._full_since = self._full_since or now
        if now - self._full_since < self._times.full_before_pause:
            return []
        self._pause(consumer, set(self._ledger.partitions()))
        return consumer.poll(1, 0.0)

    def _overfull(self, now: float) -> set[Partition]:
        """Of which enough is waiting here: paused at once, and read on some time after some of it is due."""
        if not self._ledger.is_waiting or now >= self._looked_at + self._times.look_at_full:
            self._looked_at = now
            self._enough = set()
        if self._ledger.is_waiting:
            self._enough |= self._admission.overfull(self._ledger.partitions(), self._pace.policy.may_wait)
        return self._enough

    def _pause(self, consumer: GroupConsumer, wanted: set[Partition]) -> None:
        if wanted == self._paused:
            return
        ours = set(self._ledger.partitions())
        consumer.pause(sorted((wanted - self._paused) & ours))
        consumer.resume(sorted((self._paused - wanted) & ours))
        self._paused = wanted & ours

    def _admit(self, polled: Iterable[Message | EndOfPartition]) -> None:
        """In the order of reading: an end mark stands behind the records before it."""
        messages: list[Message] = []
        ends: list[EndOfPartition] = []
        for record in polled:
            if isinstance(record, EndOfPartition):
                ends.append(record)
            else:
                messages.append(record)
        tasks = self._admission.admit(messages, self._clock())
        for end in ends:
            self._ledger.mark_end((end.topic, end.partition), end.offset)
        self._submit(tasks)

    def _work(self, timeout_s: float) -> None:
        """Passes on what is ready, and takes the predictor's answers; waits at most `timeout_s` for one."""
        now = self._clock()
        self._submit(self._admission.advance(now))
        upstream = self._ledger.in_work - self._engine.in_flight
        answers = self._engine.poll(timeout_s, upstream)
        now = self._clock()
        for answer in answers:
            again = self._outcomes.take(answer, now, is_serving=self._circuit.is_serving)
            if again is not None:
                self._submit([again])
            self._circuit.saw(answer, now)
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

    def _deliver(self) -> None:
        """Commits every ended prefix in one transaction: results, dead letters, progress and offsets."""
        consumer = self._consumer
        if consumer is None:
            return
        membership = consumer.membership()
        if not consumer.is_member():
            self._pace.aborted(time.monotonic())
            return
        policy = self._pace.policy
        ended = self._ledger.prefixes(policy.max_transaction_entries, policy.max_transaction_bytes)
        built = self._delivery.transaction(ended, self._clock(), self._events)
        self._ledger.hold_back(built.waiting)
        if built.prefixes or built.records:
            self._transact(built, membership)

    def _transact(self, built: Transaction, membership: Membership) -> None:
        offsets = {prefix.partition: prefix.offset for prefix in built.prefixes}
        try:
            self._producer.transact(built.records, offsets, membership)
        except (TransactionAborted, ServiceUnavailable) as error:
            delay = self._pace.aborted(time.monotonic())
            _LOG.warning("delivery_repeated", reason=str(error), again_in_s=round(delay, 1))
        except Fenced as error:
            _LOG.warning("producer_fenced", reason=str(error))
            self._is_fenced = True
        else:
            self._committed(built.prefixes, time.monotonic())

    def _committed(self, prefixes: Sequence[Prefix], now: float) -> None:
        self._rejected.delivered(prefixes, now)
        self._ledger.delivered(prefixes)
        self._admission.delivered(prefixes)
        self._delivery.payloads.delivered(prefixes)
        self._events.clear()
        self._pace.committed(now, more=self._ledger.has_deliverable)

    def _begin_anew(self, consumer: GroupConsumer) -> None:
        """Nobody knows whether the last transaction counts: forget all, and read on from where the group stands.

        In a turn of its own: it may be noticed inside a callback of the consumer, which must not be asked anything
        there (see kafka/following.py).
        """
        self._is_fenced = False
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
        # What is assigned is not paused, and what stays may be: librdkafka keeps it so.
        self._paused -= set(partitions)
        if partitions:
            _LOG.info("partitions_assigned", partitions=_names(partitions))

    def revoked(self, partitions: Sequence[Partition]) -> None:
        """Finishes what is in the model, within a deadline, and delivers it: what is left is done again elsewhere."""
        self._drain(partitions, time.monotonic() + self._times.drain)
        left = self._ledger.pending(partitions)
        self._forget(partitions)
        _LOG.info("partitions_revoked", partitions=_names(partitions), left_undone=left)

    def _drain(self, partitions: Sequence[Partition], deadline: float) -> None:
        tokens = self._ledger.open_tokens(partitions)
        self._engine.withdraw(tokens)
        while tokens & self._engine.in_child() and time.monotonic() < deadline and not self._is_fenced:
            self._work(self._times.full)
            self._deliver_due()
        self._deliver_all(deadline, partitions)

    def lost(self, partitions: Sequence[Partition]) -> None:
        self._forget(partitions)
        _LOG.warning("partitions_lost", partitions=_names(partitions))

    def _forget(self, partitions: Sequence[Partition]) -> None:
        self._engine.disown(self._ledger.open_tokens(partitions))
        self._ledger.revoke(partitions)
        self._admission.forget_lost(partitions)
        self._delivery.payloads.forget(partitions)
        self._paused -= set(partitions)
        self._enough -= set(partitions)

    def _deliver_all(self, deadline: float, partitions: Sequence[Partition]) -> None:
        while time.monotonic() < deadline and not self._is_fenced:
            self._take_stored()
            if not (self._ledger.has_deliverable or self._ledger.is_held_back(partitions)):
                return
            if not self._deliver_due():
                time.sleep(self._times.busy)

    def _deliver_due(self) -> bool:
        is_due = self._pace.is_commit_due(time.monotonic(), idle=True, held=self._ledger.held)
        if is_due and self._ledger.has_deliverable:
            self._deliver()
            return True
        return False

    def close(self) -> None:
        """After the consumer has left the group: what was not committed is somebody else's."""
        self._rejected.say(time.monotonic(), at_once=True)
        self._delivery.payloads.close()
        self._producer.close()


def _names(partitions: Sequence[Partition]) -> list[str]:
    return [f"{topic}[{number}]" for topic, number in sorted(partitions)]
