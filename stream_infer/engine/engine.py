"""Items in, answers out: the batcher, the isolation of bad items and the child process behind one object.

    submit -> Batcher -> Dispatch -> Host ~~socket~~ child -> answers, or `judge` -> Dispatch again

All of it runs in the thread that calls `poll`; only `wake` may be called from another one.
"""

from __future__ import annotations

import contextlib
import logging
import select
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from stream_infer.engine.batcher import Batcher
from stream_infer.engine.dispatch import Dispatch
from stream_infer.engine.isolation import Call, Died, Ending, Miscounted, Raised, judge
from stream_infer.engine.keeper import Death, Keeper, Readiness, State
from stream_infer.engine.policy import EnginePolicy
from stream_infer.engine.stderr import write_to_stderr
from stream_infer.engine.task import Answer, Task
from stream_infer.engine.wire import ToChild, ToParent, read_failure, read_rejected
from stream_infer.errors import PredictorUnavailable
from stream_infer.predictors.spec import PredictorSpec
from stream_infer.records import Output, Payload

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
    ) -> None:
        self._clock = clock
        self._batcher = Batcher(policy)
        self._dispatch = Dispatch(policy)
        self._keeper = Keeper(spec, policy, on_line)
        self._answers: list[Answer] = []
        # Sockets: once closed, their objects write to nobody, where a number might be somebody else's by then.
        self._woken, self._waker = socket.socketpair()
        self._woken.setblocking(False)
        self._waker.setblocking(False)
        self.in_flight = 0
        """Tasks that are not answered yet."""
        self.in_flight_bytes = 0
        """Their payloads' bytes."""

    @property
    def readiness(self) -> Readiness:
        return self._keeper.readiness

    @property
    def predictor_name(self) -> str:
        """The class's full name, or what the spec calls it until it is loaded."""
        return self._keeper.predictor_name

    def start(self) -> None:
        """Starts loading the predictor; must not block. Tasks may be submitted at once."""
        self._keeper.start(self._clock())

    def wait_ready(self, timeout_s: float) -> None:
        """Blocks until the predictor is loaded and warm.

        Raises PredictorUnavailable at its first failure to be, with the child's traceback or last lines as a note;
        whoever goes on to poll gets further attempts, at growing intervals.
        """
        deadline = self._clock() + timeout_s
        while (state := self.readiness.state) is not State.READY:
            if state is State.UNAVAILABLE:
                raise _unavailable(self.readiness.reason, self.readiness.detail)
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
        self.in_flight += len(tasks)
        self.in_flight_bytes += _size_of(tasks)
        full = self._batcher.add(tasks, now)
        if full:
            for batch in full:
                self._dispatch.add(batch)
            self._hand_over(now)

    def complete_job(self, token: int, job_id: str, config: Mapping[str, Any]) -> None:
        """Calls the predictor's `on_job_complete`, if it has one, once all that was submitted before is answered.

        Answered like a task, with Output(None) or a Failure.
        """
        for batch in self._batcher.close_all():
            self._dispatch.add(batch)
        hook = Task(token, Payload(orjson.dumps(dict(config))), None, job_id)
        self.in_flight += 1
        self.in_flight_bytes += len(hook.payload.data)
        self._dispatch.add([hook])

    def poll(self, timeout_s: float, waiting_upstream: int = 0) -> list[Answer]:
        """The answers that have come. Blocks until there is one, until `wake`, or up to the timeout.

        `waiting_upstream`: items that the caller is about to submit; 0 lets an idle model have a micro-batch that is
        neither full nor due.
        """
        deadline = self._clock() + timeout_s
        while True:
            left = deadline - self._clock()
            woken = self._turn(0.0 if self._answers else left, waiting_upstream)
            if self._answers or woken or left <= 0:
                answers, self._answers = self._answers, []
                return answers

    def wake(self) -> None:
        """Makes `poll` return early. From any thread, also when nobody polls: the next poll returns then."""
        with contextlib.suppress(OSError):  # it is awake already, or closed
            self._waker.send(b"w")

    def close(self, timeout_s: float) -> None:
        """Ends the child: asks and waits up to the timeout, then TERM, then KILL. Tasks in flight get no answer."""
        if self.readiness.state is State.CLOSED:
            return
        self._keeper.close(timeout_s)
        self._woken.close()
        self._waker.close()

    def _turn(self, wait_s: float, waiting_upstream: int) -> bool:
        """Hands over, waits, takes in, hands over again. True: somebody called `wake`."""
        now = self._clock()
        self._close_batches(now, waiting_upstream)
        self._hand_over(now)
        due = min(self._batcher.next_deadline(), self._dispatch.next_deadline(), self._keeper.next_event())
        woken = self._wait(max(0.0, min(wait_s, due - now, _LONGEST_WAIT_S)))
        now = self._clock()
        # Take in before judging: after a long absence of this thread, what it waits for may have come long ago.
        self._take_in(now)
        self._check(now)
        self._close_batches(now, waiting_upstream)
        self._hand_over(now)
        return woken

    def _wait(self, timeout_s: float) -> bool:
        poller = select.poll()
        poller.register(self._woken, select.POLLIN)
        host = self._keeper.host
        if host:
            poller.register(host.sock, select.POLLIN | (select.POLLOUT if host.has_unsent else 0))
        ready = {fd for fd, _ in poller.poll(timeout_s * 1000)}
        if host and host.has_unsent:
            host.flush()
        if self._woken.fileno() not in ready:
            return False
        self._woken.recv(4096)
        return True

    def _close_batches(self, now: float, waiting_upstream: int) -> None:
        if not self._batcher:
            return
        for batch in self._batcher.close_due(now):
            self._dispatch.add(batch)
        if self._keeper.ready and self._dispatch.idle and not waiting_upstream:
            oldest = self._batcher.close_oldest()
            if oldest:
                self._dispatch.add(oldest)

    def _hand_over(self, now: float) -> None:
        host = self._keeper.host
        if host is None or not self._keeper.ready:
            return
        while (call := self._dispatch.take(now)) is not None:
            host.send(_message_for(call))

    def _take_in(self, now: float) -> None:
        host = self._keeper.host
        for message in self._keeper.receive(now):
            try:
                self._take_in_one(message, now)
            except (KeyError, ValueError, TypeError) as error:
                assert host
                host.fault = f"sent a message that makes no sense ({type(error).__name__}: {error})"
                return

    def _take_in_one(self, message: tuple[Any, ...], now: float) -> None:
        kind, call_id, *rest = message
        if kind in (ToParent.PREPARES, ToParent.BEGINS):
            self._dispatch.begin(call_id, now)
            return
        call = self._dispatch.finish(call_id, now)
        match kind:
            case ToParent.DONE:
                self._answer(call, *rest)
            case ToParent.RAISED:
                failure, rejected = rest
                self._judge(call, Raised(read_failure(failure), read_rejected(rejected)))
            case ToParent.MISCOUNTED:
                returned, rejected = rest
                log.warning("predictor %s returned %s; finding out for which", self.predictor_name, returned)
                self._judge(call, Miscounted(self.predictor_name, returned, read_rejected(rejected)))
            case _:
                raise ValueError(f"kind {kind!r}")
        self._keeper.prove()

    def _answer(
        self, call: Call, values: list[bytes | None], types: str | list[str], rejected: dict[int, tuple[Any, ...]]
    ) -> None:
        self._settle(call.tasks)
        if isinstance(types, str):
            pairs = zip(call.tasks, values, strict=True)
            answers = [Answer(task.token, Output(value, types)) for task, value in pairs]
        else:
            triples = zip(call.tasks, values, types, strict=True)
            answers = [Answer(task.token, Output(value, kind)) for task, value, kind in triples]
        for index, failure in rejected.items():
            answers[index] = Answer(answers[index].token, read_failure(failure))
        self._answers += answers

    def _check(self, now: float) -> None:
        death = self._keeper.check(now)
        overrun = None
        if death is None and self._keeper.ready and (overrun := self._dispatch.overrun(now)):
            limit = self._dispatch.timeout_of(overrun)
            death = self._keeper.kill(f"hung for {limit:g} s, its deadline for one call", now)
        if death:
            self._bury(death, overrun, now)

    def _bury(self, death: Death, overrun: Call | None, now: float) -> None:
        blamed = self._dispatch.lose(overrun)
        ending = Died(death.how, death.stderr, timed_out=overrun is not None)
        for call in reversed(blamed):  # each goes to the front
            self._judge(call, ending)
        self._keeper.replace(death, now, to_blame=len(blamed))

    def _judge(self, call: Call, ending: Ending) -> None:
        verdict = judge(call, ending)
        self._dispatch.again(verdict)
        self._answers += verdict.answers
        open_tasks = {task.token for tasks in verdict.again for task in tasks}
        self._settle([task for task in call.tasks if task.token not in open_tasks])

    def _settle(self, tasks: Sequence[Task]) -> None:
        self.in_flight -= len(tasks)
        self.in_flight_bytes -= _size_of(tasks)


def _size_of(tasks: Sequence[Task]) -> int:
    return sum([len(task.payload.data) for task in tasks])


def _message_for(call: Call) -> tuple[Any, ...]:
    """The CALL or HOOK message: the content types as one string where all are alike, which they nearly always are."""
    tasks = call.tasks
    first = tasks[0]
    if first.hook is not None:
        return (ToChild.HOOK.value, call.id, first.hook, first.payload.data)
    payloads = [task.payload for task in tasks]
    types = [payload.content_type for payload in payloads]
    alike = types[0] if types.count(types[0]) == len(types) else types
    return (ToChild.CALL.value, call.id, alike, [payload.data for payload in payloads])


def _unavailable(reason: str, detail: str) -> PredictorUnavailable:
    error = PredictorUnavailable(reason)
    if detail:
        error.add_note(detail)
    return error
