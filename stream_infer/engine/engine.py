"""Items in, answers out: the batcher, the isolation of bad items and the child process behind one object.

    submit -> Batcher -> Dispatch -> Host ~~socket~~ child -> answers, or `judge` -> Dispatch again

All of it runs in the thread that calls `poll`; only `wake` may be called from another one.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any

from stream_infer.engine.batcher import Batcher
from stream_infer.engine.court import Court
from stream_infer.engine.exchange import Exchange
from stream_infer.engine.journal import Journal
from stream_infer.engine.keeper import Keeper, Readiness, State
from stream_infer.engine.loading import Loading
from stream_infer.engine.observer import UNOBSERVED, EngineObserver
from stream_infer.engine.policy import EnginePolicy
from stream_infer.engine.stderr import write_to_stderr
from stream_infer.engine.task import AlikeAnswers, AlikeTasks, Answer, Task
from stream_infer.engine.waking import Waking
from stream_infer.engine.wire import ToChild, pack_job
from stream_infer.errors import PredictorUnavailable
from stream_infer.predictors.protocol import Job
from stream_infer.predictors.spec import PredictorSpec
from stream_infer.records import Payload

log = logging.getLogger(__name__)

# A child whose own children keep its socket open ends without the socket's end: this often somebody looks.
_LONGEST_WAIT_S = 1.0


class Engine:
    """Answers every task exactly once, unless it is closed before. Takes any number of tasks: the caller bounds them.

    Start it in the thread that polls it, and keep that thread: on Linux the child dies with the thread that made it.
    """

    def __init__(
        self,
        spec: PredictorSpec,
        policy: EnginePolicy,
        clock: Callable[[], float] = time.monotonic,
        on_line: Callable[[str], None] = write_to_stderr,
        journal: Journal | None = None,
        observer: EngineObserver = UNOBSERVED,
    ) -> None:
        self._clock = clock
        self._batcher = Batcher(policy)
        self._court = Court(policy, journal, observer)
        self._dispatch = self._court.dispatch
        self._keeper = Keeper(spec, policy, on_line, observer)
        self._exchange = Exchange(policy, self._batcher, self._court, self._keeper)
        self._waking = Waking()

    @property
    def in_flight(self) -> int:
        """Tasks that are not answered yet."""
        return self._court.in_flight

    @property
    def in_flight_bytes(self) -> int:
        """Their payloads' bytes."""
        return self._court.in_flight_bytes

    @property
    def readiness(self) -> Readiness:
        return self._keeper.readiness

    @property
    def predictor_name(self) -> str:
        """The class's full name, or what the spec calls it until it is loaded."""
        return self._keeper.predictor_name

    @property
    def loading(self) -> Loading | None:
        """What the last child that was ready has taken for it."""
        return self._keeper.loading

    @property
    def batch_size(self) -> int:
        """The most items of a full micro-batch: the policy's, or what the last child that was ready has found."""
        return self._batcher.max_size

    @property
    def found_batch_size(self) -> int | None:
        """What a child has found, where the policy leaves it to be found; None: nothing, or not yet."""
        return self._keeper.batch_size

    @property
    def child_pid(self) -> int | None:
        """Of the predictor's process; None: there is none."""
        host = self._keeper.host
        return None if host is None else host.pid

    @property
    def depth(self) -> int:
        """How many micro-batches may be in the child at the moment: more of those that take it no time."""
        return self._dispatch.depth

    @property
    def batch_cap(self) -> int:
        """The most items of a micro-batch at the moment: less than the policy's for a while when memory ran out."""
        return self._court.cap.current(self._clock())

    def start(self) -> None:
        """Starts loading the predictor; must not block. Tasks may be submitted at once."""
        self._exchange.start(self._clock())

    def wait_ready(self, timeout_s: float, is_over: Callable[[], bool] = lambda: False) -> None:
        """Blocks until the predictor is loaded and warm, or for some second after nobody waits for it any more.

        Raises PredictorUnavailable at its first failure to be, with the child's traceback or last lines as a note;
        whoever goes on to poll gets further attempts, at growing intervals.
        """
        deadline = self._clock() + timeout_s
        while (state := self.readiness.state) is not State.READY:
            if state is State.UNAVAILABLE:
                raise _unavailable(self.readiness.reason, self.readiness.detail)
            if is_over():
                return
            left = deadline - self._clock()
            if left <= 0 or state is State.CLOSED:
                raise _unavailable(f"predictor {self.predictor_name} was not ready within {timeout_s:g} s", "")
            self._turn(left, 0)

    def submit(self, task: Task) -> None:
        """Takes one task; must not block."""
        self.submit_many((task,))

    def submit_many(self, tasks: Sequence[Task]) -> None:
        """Takes tasks; must not block. Full micro-batches go to the child at once, the others with `poll`."""
        now = self._clock()
        self._court.admit(tasks)
        full = self._batcher.add_alike(tasks, now) if isinstance(tasks, AlikeTasks) else self._batcher.add(tasks, now)
        if full:
            for batch in full:
                self._dispatch.add(batch, now)
            self._exchange.hand_over(now, is_all=False)

    def complete_job(self, token: int, job_id: str, config: Mapping[str, Any]) -> None:
        """Calls the predictor's `on_job_complete`, if it has one, once all that was submitted before is answered.

        Answered like a task, with Output(None) or a Failure.
        """
        now = self._clock()
        for batch in self._batcher.close_all():
            self._dispatch.add(batch, now)
        hook = Task(token, Payload(pack_job(Job(job_id, config))), hook=job_id)
        self._court.admit([hook])
        self._dispatch.add([hook], now)

    def forget_job(self, job_id: str) -> None:
        """A job has ended, whoever has called its hook: a job-scoped predictor may let its instance go."""
        self._court.loads.forget(job_id)
        if self._keeper.host is not None and self._keeper.ready:
            self._keeper.host.send((ToChild.FORGET.value, job_id))

    def forgive_jobs(self) -> None:
        """No attempt so far at a job's own instance counts: something that all may need was away."""
        self._court.loads.forget_all()

    def withdraw(self, tokens: Container[int] | None = None) -> list[Task]:
        """Takes back the tasks with these tokens (None: all) that are not in the child yet; they get no answer.

        What is to be run alone says so: submit it again as it is.
        """
        tasks = self._dispatch.withdraw(tokens) + self._batcher.withdraw(tokens)
        self._court.settle(tasks)
        return tasks

    def in_child(self) -> set[int]:
        """The tokens of the tasks that the child has been given and not answered."""
        return self._court.tokens_in_child()

    def disown(self, tokens: Container[int] | None = None) -> None:
        """Forgets the tasks with these tokens (None: all); they get no answer.

        What the child is at is let finish; it is not called again, whatever comes of it.
        """
        self._court.settle(self._batcher.withdraw(tokens))
        self._court.disown(tokens)

    def restart(self, reason: str) -> None:
        """Replaces the child by a fresh one, blaming nobody: what was in it waits again, in order.

        Blocks for 3 s at most, to end the old one. `readiness` goes to LOADING, and from there as at the start.
        """
        if self.readiness.state is State.CLOSED:
            return
        if self._keeper.ready:
            self._court.recall()
        self._keeper.restart(reason, self._clock())

    @property
    def child_socket(self) -> socket.socket | None:
        """The child's, for who waits for more than this engine: `take` once it can be read, and now and then.

        Another child has another one; None: there is no child.
        """
        host = self._keeper.host
        return None if host is None else host.sock

    def hand_over(self, tasks: Sequence[Task]) -> None:
        """As `submit_many`, and lets an idle child have what was submitted, full or not. For who does not `poll`."""
        if isinstance(tasks, AlikeTasks) and self._exchange.hand_over_one(tasks, self._clock()):
            return
        self.submit_many(tasks)
        self._exchange.hand_over(self._clock(), is_all=True)

    def take(self) -> list[Answer | AlikeAnswers]:
        """As `poll(0)`, less a system call and half of its work, for who is told by `child_socket` and calls nobody to
        `wake` this."""
        now = self._clock()
        self._exchange.take_in(now)
        self._exchange.check(now)
        self._exchange.hand_over(now, is_all=True)
        answers, self._court.answers = self._court.answers, []
        return answers

    def take_soon(self) -> list[Answer | AlikeAnswers]:
        """As `take`, for who has nothing else to do: where the child is about to answer, it is waited for right here.

        Blocks for a millisecond at most. Measured: to be told by an event loop takes longer than a small model does.
        Whether the child still lives is left to `take`.
        """
        host = self._keeper.host
        if host is None or not self._dispatch.ends_soon:
            return []
        host.wait()
        now = self._clock()
        self._exchange.take_in(now)
        self._exchange.hand_over(now, is_all=True)
        answers, self._court.answers = self._court.answers, []
        return answers

    def poll(self, timeout_s: float, waiting_upstream: int = 0) -> list[Answer | AlikeAnswers]:
        """The answers that have come. Blocks until there is one, until `wake`, or up to the timeout.

        Those of AlikeTasks may come as AlikeAnswers.
        Returns early when `readiness` changes; while it is not READY, it is polling that makes further attempts.
        `waiting_upstream`: items that the caller is about to submit; 0 lets an idle model have a micro-batch that is
        neither full nor due.
        """
        deadline = self._clock() + timeout_s
        state = self.readiness.state
        while True:
            left = deadline - self._clock()
            woken = self._turn(0.0 if self._court.answers else left, waiting_upstream)
            if self._court.answers or woken or left <= 0 or self.readiness.state is not state:
                answers, self._court.answers = self._court.answers, []
                return answers

    def wake(self) -> None:
        """Makes `poll` return early. From any thread, also when nobody polls: the next poll returns then."""
        self._waking.wake()

    def close(self, timeout_s: float) -> None:
        """Ends the child: asks and waits up to the timeout, then TERM, then KILL. Tasks in flight get no answer."""
        if self.readiness.state is State.CLOSED:
            return
        self._keeper.close(timeout_s)
        self._court.recall()
        self._waking.close()

    def _turn(self, wait_s: float, waiting_upstream: int) -> bool:
        """Hands over, waits, takes in, hands over again. True: somebody called `wake`."""
        now = self._clock()
        self._exchange.hand_over(now, is_all=not waiting_upstream)
        wait_s = 0.0 if self._court.answers else min(wait_s, self._exchange.next_due() - now, _LONGEST_WAIT_S)
        woken = self._waking.wait(self.child_socket, max(0.0, wait_s))
        now = self._clock()
        # Take in before judging: after a long absence of this thread, what it waits for may have come long ago.
        self._exchange.take_in(now)
        self._exchange.check(now)
        self._exchange.hand_over(now, is_all=not waiting_upstream)
        return woken


def _unavailable(reason: str, detail: str) -> PredictorUnavailable:
    error = PredictorUnavailable(reason)
    if detail:
        error.add_note(detail)
    return error
