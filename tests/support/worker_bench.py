"""The worker's loop with all its real parts, between a consumer that is fed by hand and a predictor that is a function.

Time is the test's: nothing sleeps but the loop's own few milliseconds.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import Any

from stream_infer.engine.keeper import Readiness, State
from stream_infer.engine.loading import Loading
from stream_infer.engine.task import AlikeAnswers, AlikeTasks, Answer, Task
from stream_infer.errors import TransactionAborted
from stream_infer.jobs.events import Event, decode_event
from stream_infer.jobs.spec import Job
from stream_infer.jobs.status import JobStatus
from stream_infer.kafka.messages import in_runs
from stream_infer.ports import Reference
from stream_infer.records import (
    EndOfPartition,
    Failure,
    Message,
    Outgoing,
    OutgoingRecord,
    Output,
    Payload,
    Position,
    Run,
)
from stream_infer.results import Results
from stream_infer.topics import Topics
from stream_infer.worker.admission import Admission
from stream_infer.worker.breaker import Breaker, BreakerPolicy
from stream_infer.worker.circuit import Circuit
from stream_infer.worker.delivery import Delivery, DeliveryPolicy
from stream_infer.worker.fetch import Fetched
from stream_infer.worker.journal import Suspects
from stream_infer.worker.known_jobs import EndingJobs, KnownJobs
from stream_infer.worker.ledger import Ledger
from stream_infer.worker.loop import LoopTimes, WorkerLoop
from stream_infer.worker.observer import UNOBSERVED, WorkerObserver
from stream_infer.worker.outcomes import Outcomes
from stream_infer.worker.pace import Pace, PacePolicy
from stream_infer.worker.payloads import Payloads
from stream_infer.worker.reading import Reading
from stream_infer.worker.retry import RetryPolicy
from stream_infer.worker.scopes import Scopes
from stream_infer.worker.shape import ShapeStage
from stream_infer.worker.shapings import Shapings
from stream_infer.worker.startup import Startup
from stream_infer.worker.waiting import Waiting
from tests.support.hand_worked_pool import HandWorkedPool
from tests.support.memory_store import MemoryStore

TOPICS = Topics("p").api("a")
PACE = PacePolicy(4, 10_000, 1 << 30, commit_interval=0.0, rest=0.0)
Predict = Callable[[bytes], Output | Failure]


class FunctionEngine:
    """Answers what it holds at each poll, while it is ready."""

    def __init__(self, predict: Predict) -> None:
        self.predict = predict
        self.readiness = Readiness(State.READY)
        self.loading = Loading(0.4, 0.3, 0.2, 0.1)
        self.batch_size = 250
        self.depth = 2
        self.restarts: list[str] = []
        self.called: list[bytes] = []
        self.disowned: list[int] = []
        self.given: list[Task] = []
        self.forgotten: list[str] = []
        self.forgiven = 0
        self._held: list[Sequence[Task]] = []

    @property
    def in_flight(self) -> int:
        return sum(map(len, self._held))

    def submit_many(self, tasks: Sequence[Task]) -> None:
        self.given += [task for task in tasks if task.scope or task.hook] if not isinstance(tasks, AlikeTasks) else []
        self._held.append(tasks)

    def forget_job(self, job_id: str) -> None:
        self.forgotten.append(job_id)

    def forgive_jobs(self) -> None:
        self.forgiven += 1

    def poll(self, timeout_s: float, waiting_upstream: int = 0) -> list[Answer | AlikeAnswers]:
        if self.readiness.state is not State.READY:
            return []
        held, self._held = self._held, []
        answers: list[Answer | AlikeAnswers] = []
        for tasks in held:
            answers += self._answer(tasks)
        return answers

    def _answer(self, tasks: Sequence[Task]) -> list[Answer | AlikeAnswers]:
        self.called += [task.payload.data for task in tasks]
        answers = [Answer(task.token, self.predict(task.payload.data)) for task in tasks]
        outputs = [answer.outcome for answer in answers if isinstance(answer.outcome, Output)]
        values = [output.value for output in outputs if output.value is not None]
        if isinstance(tasks, AlikeTasks) and len(values) == len(tasks):
            return [AlikeAnswers(tasks.tokens, values, outputs[0].content_type)]
        return [*answers]

    def withdraw(self, tokens: Any = None) -> list[Task]:
        taken = [task for tasks in self._held for task in tasks if tokens is None or task.token in tokens]
        self._held = [[task for task in tasks if task not in taken] for tasks in self._held]
        return taken

    def disown(self, tokens: Any = None) -> None:
        self.disowned += [task.token for task in self.withdraw(tokens)]

    def in_child(self) -> set[int]:
        return {task.token for tasks in self._held for task in tasks}

    def restart(self, reason: str) -> None:
        self.restarts.append(reason)
        self.readiness = Readiness(State.LOADING)


class HandFedConsumer:
    def __init__(self) -> None:
        self.records: deque[Message | EndOfPartition] = deque()
        self.paused: set[tuple[str, int]] = set()
        self.polls_left = 0
        self.stop = threading.Event()

    def poll_runs(self, max_records: int, timeout_s: float) -> list[Run | EndOfPartition]:
        self.polls_left -= 1
        if self.polls_left <= 0:
            self.stop.set()
        open_ = [record for record in self.records if record[:2] not in self.paused][:max_records]
        for record in open_:
            self.records.remove(record)
        return in_runs(open_)

    def membership(self) -> str:
        return "membership"

    def is_member(self) -> bool:
        return True

    def pause(self, partitions: Sequence[tuple[str, int]]) -> None:
        self.paused |= set(partitions)

    def resume(self, partitions: Sequence[tuple[str, int]]) -> None:
        self.paused -= set(partitions)


class KeptProducer:
    """Keeps what is committed: at once, or with `holds` when the test ends the transaction that is under way."""

    def __init__(self) -> None:
        self.records: list[OutgoingRecord] = []
        self.offsets: dict[tuple[str, int], int] = {}
        self.holds = False
        self.failure: Exception | None = None
        self.begun = 0
        self.written_now: list[OutgoingRecord] | None = None
        self._spoiled: Exception | None = None
        self._end: Callable[[Exception | None], None] | None = None

    def open(self) -> None:
        assert self._end is None, "one transaction at a time"
        assert self.written_now is None, "one transaction at a time"
        self.written_now = []
        self._spoiled = None

    def write(self, records: Iterable[Outgoing]) -> None:
        assert self.written_now is not None, "a transaction is open"
        self.written_now += [OutgoingRecord(*record) for record in records]

    def spoil(self, why: BaseException) -> None:
        self._spoiled = TransactionAborted(repr(why))

    def commit(self, offsets: Any, membership: Any = None) -> Future[None]:
        self.begun += 1
        written, self.written_now = self.written_now, None
        assert written is not None, "a transaction is open"
        future: Future[None] = Future()

        def end(failure: Exception | None) -> None:
            self._end = None
            if failure is not None:
                future.set_exception(failure)
                return
            self.records += written
            self.offsets |= offsets
            future.set_result(None)

        self._end = end
        if not self.holds:
            end(self._spoiled or self.failure)
        return future

    def abort(self, reason: str) -> Future[None]:
        self.written_now = None
        future: Future[None] = Future()
        future.set_exception(TransactionAborted(reason))
        return future

    def end(self, failure: Exception | None = None) -> None:
        """Of the transaction under way."""
        assert self._end is not None
        self._end(failure)

    def close(self) -> None: ...


def done() -> Future[None]:
    future: Future[None] = Future()
    future.set_result(None)
    return future


class Views:
    """Jobs and their status, as a view of each would show them; `unread`: what the one of `status` has yet to read."""

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}
        self.status: dict[str, JobStatus] = {}
        self.unread: dict[str, JobStatus] = {}


class _Jobs:
    """A job that has a status has a spec."""

    def __init__(self, views: Views) -> None:
        self._views = views

    def get(self, key: str) -> Job | None:
        job = self._views.jobs.get(key)
        if job is None and key in self._views.status:
            job = self._views.jobs[key] = Job(job_id=key, api="a", submitted_at=1.0, submission="s")
        return job

    def catch_up(self) -> Future[None]:
        return done()


class _View:
    def __init__(self, values: dict[str, Any], unread: dict[str, Any]) -> None:
        self._values = values
        self._unread = unread

    def get(self, key: str) -> Any:
        return self._values.get(key)

    def catch_up(self) -> Future[None]:
        self._values.update(self._unread)
        self._unread.clear()
        return done()


class HandFetch:
    """Brings what its function says of a reference, at the next look."""

    def __init__(self) -> None:
        self.bring: Callable[[Reference], Payload | Failure] = lambda reference: Payload(reference.uri.encode())
        self.asked: list[str] = []
        self._done: list[Fetched] = []

    def submit(self, token: int, reference: Reference) -> None:
        self.asked.append(reference.uri)
        self._done.append(Fetched(token, self.bring(reference)))

    def take(self) -> list[Fetched]:
        done, self._done = self._done, []
        return done


class HandShape(ShapeStage):
    """Without a thread: what is asked for is done at once, or with `holds` when the test says `go_on`."""

    def __init__(self) -> None:
        super().__init__(lambda: None)
        self.holds = False

    def shape_input(self, *args: Any) -> None:
        super().shape_input(*args)
        self._unless_held()

    def shape_output(self, *args: Any) -> None:
        super().shape_output(*args)
        self._unless_held()

    def _unless_held(self) -> None:
        if not self.holds:
            self.go_on()

    def go_on(self) -> None:
        while not self._tasks.empty():
            task = self._tasks.get()
            assert task is not None
            task()


class WorkerBench:
    """One worker with partition 0 of the items topic and of each retry tier. `strikes`: suspects of its journal."""

    def __init__(
        self,
        predict: Predict,
        *,
        max_attempts: int = 3,
        window: int = 10,
        pace: PacePolicy = PACE,
        strikes: dict[Position, int] | None = None,
        startup: Startup | None = None,
        scoped: bool = False,
        results: Results | None = None,
        observer: WorkerObserver = UNOBSERVED,
    ) -> None:
        self.now = 1000.0
        self.engine = FunctionEngine(predict)
        self.consumer = HandFedConsumer()
        self.producer = KeptProducer()
        self.views = Views()
        self.store = MemoryStore()
        self.pool = HandWorkedPool()
        self.ledger = Ledger()
        self.ending = EndingJobs()
        self.suspects = Suspects(strikes)
        self.jobs = jobs = KnownJobs(_Jobs(self.views), _View(self.views.status, self.views.unread), self.ending)
        waiting = Waiting(self.ledger)
        self.breaker = breaker = Breaker(BreakerPolicy(0.5, window))
        engine: Any = self.engine
        self.fetch = HandFetch()
        fetch: Any = self.fetch
        self.circuit = Circuit(engine, self.ledger, waiting, breaker, jobs=jobs, max_ratio=0.5)
        self.shape = HandShape()
        shapings = Shapings(jobs, results or Results())
        outcomes = Outcomes(
            self.ledger,
            waiting,
            breaker,
            self.shape,
            jobs=jobs,
            policy=RetryPolicy(max_attempts, (5.0, 30.0, 180.0), 3600.0),
            breaker_ratio=0.5,
            chance=lambda: 0.0,
        )
        admission = Admission(
            self.ledger,
            waiting,
            outcomes,
            fetch,
            self.shape,
            jobs=jobs,
            shapings=shapings,
            topics=TOPICS,
            suspects=self.suspects,
            gate=self.circuit,
            scopes=Scopes(jobs, lambda wish: min(wish or 2, 32)) if scoped else None,
        )
        policy = DeliveryPolicy(TOPICS, "p.progress", "w", "v", 1_000_000, 1_000_000)
        producer: Any = self.producer
        pool: Any = self.pool
        bounds = Pace(pace)
        self.reading = Reading(self.ledger, admission, bounds, look_at_full_s=0.0)
        self.loop = WorkerLoop(
            ledger=self.ledger,
            admission=admission,
            reading=self.reading,
            engine=engine,
            delivery=Delivery(policy, Payloads(self.store, pool), lambda: "test.Predictor", shapings.format_of),
            pace=bounds,
            outcomes=outcomes,
            circuit=self.circuit,
            new_producer=lambda: producer,
            startup=startup,
            observer=observer,
            times=LoopTimes(idle=0.0, busy=0.0),
            clock=lambda: self.now,
        )
        tiers = [TOPICS.retry(number) for number in range(1, max_attempts)]
        self.loop.assigned([(topic, 0) for topic in (TOPICS.items, *tiers)])
        self._next = dict.fromkeys((TOPICS.items, *tiers), 0)

    def feed(self, *values: bytes, topic: str = TOPICS.items, headers: Any = (), key: bytes | None = None) -> None:
        """Puts records on a topic, written now."""
        for value in values:
            offset = self._next[topic]
            self._next[topic] += 1
            self.consumer.records.append(Message(topic, 0, offset, key, value, tuple(headers), int(self.now * 1000)))

    def run(self, ticks: int = 6) -> None:
        """Some turns of the loop."""
        self.consumer.polls_left = ticks
        self.consumer.stop.clear()
        consumer: Any = self.consumer
        self.loop.run(consumer, self.consumer.stop)

    def pass_on(self, tier: int) -> None:
        """Puts what was written to a retry tier there, as Kafka would."""
        topic = TOPICS.retry(tier)
        for record in self.written(topic):
            self.producer.records.remove(record)
            self.feed(record.value or b"", topic=topic, headers=record.headers)

    def written(self, topic: str) -> list[OutgoingRecord]:
        return [record for record in self.producer.records if record.topic == topic]

    def values(self, topic: str) -> list[bytes | None]:
        return [record.value for record in self.written(topic)]

    def events(self) -> list[Event]:
        return [event for record in self.written("p.progress") if (event := decode_event(record.value or b""))]
