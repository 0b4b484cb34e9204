"""The worker: read, admit, predict, deliver. One thread owns consumer, ledger and producer."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import structlog

from stream_infer.engine.engine import Engine
from stream_infer.engine.task import Task
from stream_infer.kafka.consumer import GroupConsumer, Partition
from stream_infer.kafka.producer import TransactionalProducer
from stream_infer.records import EndOfPartition, Output, Run
from stream_infer.worker.admission import Admission
from stream_infer.worker.circuit import Circuit
from stream_infer.worker.commits import Commits
from stream_infer.worker.delivery import Delivery
from stream_infer.worker.held import Prefix, Stretch
from stream_infer.worker.ledger import Ledger
from stream_infer.worker.observer import UNOBSERVED, WorkerObserver
from stream_infer.worker.outcomes import Outcomes
from stream_infer.worker.pace import Pace
from stream_infer.worker.reading import Reading
from stream_infer.worker.startup import Startup, Step

_LOG = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class LoopTimes:
    """How long the loop waits, in seconds: for records when idle, for answers when busy, at a revocation, which holds
    up the whole group, and when it leaves for good.
    """

    idle: float = 0.1
    busy: float = 0.005
    full: float = 0.05
    drain: float = 10.0
    leave: float = 10.0


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
        observer: WorkerObserver = UNOBSERVED,
        times: LoopTimes = LoopTimes(),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._ledger = ledger
        self._admission = admission
        self._reading = reading
        self._engine = engine
        self._delivery = delivery
        self._pace = pace
        self._observer = observer
        self._commits = Commits(
            ledger=ledger, delivery=delivery, pace=pace, new_producer=new_producer, listener=self, observer=observer
        )
        self._outcomes = outcomes
        self._circuit = circuit
        self._startup = startup
        self._times = times
        self._clock = clock
        self._consumer: GroupConsumer | None = None
        self._gives_up_at = math.inf

    def run(self, consumer: GroupConsumer, stop: threading.Event) -> None:
        """Works until `stop`. Raises what cannot be mended here: TopicMismatch, PredictorUnavailable."""
        self._consumer = consumer
        while not stop.is_set():
            self._tick(consumer)

    def finish(self, consumer: GroupConsumer) -> None:
        """Before the consumer leaves the group: delivers what the model is at, and takes up nothing more."""
        self._gives_up_at = time.monotonic() + self._times.leave
        self._drain(self._ledger.partitions(), consumer)

    def _tick(self, consumer: GroupConsumer) -> None:
        ledger, commits, engine = self._ledger, self._commits, self._engine
        room = self._pace.room(
            ledger.in_work, ledger.held, ledger.held_bytes, batch_size=engine.batch_size, depth=engine.depth
        )
        busy = ledger.in_work > 0 or commits.has_deliverable
        polled = self._reading.read(consumer, room, 0.0 if busy else self._idle_time())
        commits.take_end(0.0)
        if commits.is_fenced:
            self._begin_anew(consumer)  # and what was just polled is read again
            return
        self._admit(polled)
        waits = self._times.full if not room else self._times.busy
        self._work(waits if ledger.in_work and not polled else 0.0)
        idle = not polled and not ledger.in_work
        if commits.is_due(idle=idle):
            commits.commit(consumer, self._clock())
            return
        commits.write_results()
        if idle and (commits.has_deliverable or not room):
            commits.rest(self._times.busy)

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
        self._commits.say(self._outcomes.events())
        for job_id in self._outcomes.ended_jobs():
            self._engine.forget_job(job_id)
        self._turn(now)

    def _turn(self, now: float) -> None:
        self._commits.turn()
        turn = self._circuit.turn(now)
        self._commits.say(turn.events)
        if turn.released:
            self._submit(self._admission.release(turn.released, now))
        if turn.probe is not None:
            self._submit(self._admission.release([turn.probe], now, one=True))

    def _submit(self, tasks: Sequence[Task]) -> None:
        if tasks:
            self._engine.submit_many(tasks)

    def committed(self, prefixes: Sequence[Prefix]) -> None:
        """A transaction with these."""
        self._admission.delivered(prefixes)
        if self._startup is not None and _has_result(prefixes):
            self._startup.reach(Step.COMMITTED)
            self._startup.tell(self._engine.loading)
            self._observer.first_result(self._startup.seconds()["seconds"])
            self._startup = None

    def aborted(self) -> None:
        """A transaction: the service behind it may be away."""
        self._circuit.delivery_failed()

    def _begin_anew(self, consumer: GroupConsumer) -> None:
        """Nobody knows whether the last transaction counts: forget all, and read on from where the group stands.

        In a turn of its own: it may be noticed inside a callback of the consumer, which must not be asked anything
        there (see kafka/following.py).
        """
        self._commits.renew()
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
        within = self._times.drain if consumer is None else self._times.leave
        deadline = min(time.monotonic() + within, self._gives_up_at)
        tokens = self._ledger.open_tokens(partitions)
        self._engine.withdraw(tokens)
        while (
            tokens & (self._engine.in_child() | self._outcomes.being_shaped)
            and time.monotonic() < deadline
            and not self._commits.is_fenced
        ):
            self._work(self._times.full)
            self._commits.take_end(0.0)
            self._deliver_due()
            self._stay(consumer)
        self._deliver_all(deadline, partitions, consumer)

    def _stay(self, consumer: GroupConsumer | None) -> None:
        """A member that joins again when others do, and reads nothing."""
        if consumer is not None and not self._commits.is_fenced:
            self._reading.hold(consumer)

    def lost(self, partitions: Sequence[Partition]) -> None:
        self._forget(partitions)
        _LOG.warning("partitions_lost", partitions=_names(partitions))

    def _forget(self, partitions: Sequence[Partition]) -> None:
        """Not before the transaction under way has ended: nobody else may get its partitions earlier."""
        try:
            self._commits.let_go()
        finally:
            self._engine.disown(self._ledger.open_tokens(partitions))
            self._ledger.revoke(partitions)
            self._admission.forget_lost(partitions)
            self._delivery.payloads.forget(partitions)
            self._reading.end(partitions)

    def _deliver_all(self, deadline: float, partitions: Sequence[Partition], consumer: GroupConsumer | None) -> None:
        ledger, commits = self._ledger, self._commits
        while not commits.is_fenced:
            commits.turn()
            if not (commits.is_under_way or commits.has_deliverable or ledger.is_held_back(partitions)):
                return
            if time.monotonic() >= deadline:
                return
            if not self._deliver_due():
                commits.rest(self._times.busy)
            self._stay(consumer)

    def _deliver_due(self) -> bool:
        if self._consumer is None or not (self._commits.has_deliverable and self._commits.is_due(idle=True)):
            return False
        self._commits.commit(self._consumer, self._clock())
        return True

    def close(self) -> None:
        """After the consumer has left the group: what was not committed is somebody else's."""
        self._commits.close()


def _has_result(prefixes: Iterable[Prefix]) -> bool:
    parts = (part for prefix in prefixes for part in prefix.parts)
    return any(isinstance(part, Stretch) or isinstance(part.ended, Output) for part in parts)


def _names(partitions: Sequence[Partition]) -> list[str]:
    return [f"{topic}[{number}]" for topic, number in sorted(partitions)]
