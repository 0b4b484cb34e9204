"""The items that are in flight, between their askers and the engine. One thread: the event loop's, which is also the
one that the engine is started and polled in, so that nothing crosses threads on an item's way.

    admit, submit --the loop's turn ends, or all wait--> engine.hand_over
    the child's socket is readable--> engine.take -> reply
"""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import Callable, Sequence, Sized
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import structlog

from stream_infer.engine.engine import Engine
from stream_infer.engine.keeper import State
from stream_infer.engine.task import AlikeAnswers, AlikeTasks, Answer, Task
from stream_infer.http.problems import Problem
from stream_infer.realtime import replies
from stream_infer.realtime.messages import Asker, Reply, problem_reply
from stream_infer.realtime.metrics import UNOBSERVED, DeskObserver
from stream_infer.records import Failure, Payload

_LOG = structlog.get_logger(__name__)
# So often deadlines and the engine's own times are looked at, while something is in flight and while nothing is.
_TICK_S = 0.01
_IDLE_TICK_S = 0.5


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many items, and bytes of them, may be in flight. One item may have more bytes, when it is alone."""

    items: int
    bytes: int


class _Waiting(NamedTuple):
    asker: Asker
    deadline: float
    timeout_s: float
    size: int

    @property
    def came(self) -> float:
        """In the loop's seconds."""
        return self.deadline - self.timeout_s


class Desk:
    """Made in the event loop. `on_change` is told when the engine's state changes; what it raises, or what an engine
    raises that should raise nothing, is in `fault`, and then the desk stands still. `askers`: whoever might ask."""

    def __init__(
        self,
        engine: Engine,
        bounds: Bounds,
        on_change: Callable[[State], None],
        askers: Sized | None = None,
        observer: DeskObserver = UNOBSERVED,
    ) -> None:
        self._engine = engine
        self._bounds = bounds
        self._on_change = on_change
        self._askers = askers
        self._observer = observer
        self._loop = asyncio.get_running_loop()
        self.fault: asyncio.Future[None] = self._loop.create_future()
        self._tokens = itertools.count(1)
        self._waiting: dict[int, _Waiting] = {}
        self._bytes = 0
        self._submitted: list[tuple[int, Payload]] = []
        self._left: set[int] = set()
        self._turn_is_due = False
        self._is_delivering = False
        self._ticks_fast = False
        self._timer: asyncio.TimerHandle | None = None
        self._watched: socket.socket | None = None
        self._watched_fd: int | None = None
        self._state = State.LOADING
        self._is_closed = False
        self._is_ending = False
        self._is_draining = False
        # Made anew for each: an exception that is raised again keeps the frames of all times.
        self._refusal: Callable[[], Problem] | None = partial(replies.loading, engine.predictor_name)

    @property
    def in_flight(self) -> int:
        """Items that are taken and not answered."""
        return len(self._waiting)

    @property
    def unreadiness(self) -> Problem | None:
        """Why this replica should be asked nothing at the moment; None: it should."""
        if self._is_ending:
            return replies.draining()
        if self._refusal is not None:
            return self._refusal()
        if self._state is State.READY:
            return None
        return replies.unavailable(f"The predictor's process is being replaced: {self._engine.readiness.reason}")

    def start(self) -> None:
        self._engine.start()
        self._turn()
        self._set_timer()

    def admit(self, size: int, timeout_s: float, asker: Asker) -> int:
        """A place for an item of `size` bytes, named by a token; its payload is to be submitted, at once or later.

        Raises Problem: there is no place, or nobody to predict. From here on `asker` gets one reply, unless it leaves.
        """
        if self._is_draining:
            raise replies.draining()
        if self._refusal is not None:
            raise self._refusal()
        if len(self._waiting) >= self._bounds.items:
            raise replies.full(f"{len(self._waiting)} items")
        if self._waiting and self._bytes + size > self._bounds.bytes:
            raise replies.full(f"{self._bytes:,} bytes of items")
        token = next(self._tokens)
        self._waiting[token] = _Waiting(asker, self._loop.time() + timeout_s, timeout_s, size)
        self._bytes += size
        if not self._ticks_fast:
            self._set_timer()
        return token

    def submit(self, token: int, payload: Payload) -> None:
        """The payload of the place; dropped where nobody waits there any more."""
        self._submitted.append((token, payload))
        if self._askers is not None and len(self._waiting) >= len(self._askers):
            # Each of them waits for an answer: nobody is left whose item could join, and nothing is left to do.
            self._guarded(self._serve)
        elif not self._turn_is_due:
            self._turn_is_due = True
            # Behind what else the loop has read in this turn: items that come together share a micro-batch.
            self._loop.call_soon(self._hand_in_soon)

    def resize(self, token: int, size: int) -> None:
        """The item turned out to have `size` bytes. Answers 429 where those have no place."""
        waiting = self._waiting.get(token)
        if waiting is None:
            return
        self._bytes += size - waiting.size
        self._waiting[token] = waiting._replace(size=size)
        if len(self._waiting) > 1 and self._bytes > self._bounds.bytes:
            self.answer(token, problem_reply(replies.full(f"{self._bytes:,} bytes of items")))

    def answer(self, token: int, reply: Reply) -> None:
        """Replies, unless nobody waits any more."""
        waiting = self._waiting.pop(token, None)
        if waiting is not None:
            self._bytes -= waiting.size
            self._observer.answered(reply.status, 1, self._loop.time() - waiting.came)
            waiting.asker.reply(reply)

    def leave(self, token: int) -> None:
        """The asker has gone: it gets no reply, and its item is not begun any more."""
        waiting = self._waiting.pop(token, None)
        if waiting is not None:
            self._bytes -= waiting.size
            self._left.add(token)

    def announce_end(self) -> None:
        """From now on it is unready, and still serves."""
        self._is_ending = True

    def drain(self) -> None:
        """From now on nothing is admitted."""
        self._is_draining = True

    def give_up(self, problem: Problem) -> None:
        """Answers everything in flight with `problem`."""
        reply = problem_reply(problem)
        tokens = list(self._waiting)
        self._engine.disown()
        for token in tokens:
            self.answer(token, reply)

    def close(self, timeout_s: float) -> None:
        """Ends the engine; what is in flight stays unanswered. Blocks for the timeout, and some seconds, at most."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._watch(None)
        self._engine.close(timeout_s)

    def _hand_in_soon(self) -> None:
        if self._turn_is_due:  # or the child has just been heard, and all was handed in with that
            self._guarded(self._hand_in)

    def _turn(self) -> None:
        """The child has said something, or it is time to look."""
        self._guarded(self._take)

    def _guarded(self, act: Callable[[], None]) -> None:
        if self._is_closed or self.fault.done():
            return
        try:
            act()
        except Exception as error:  # noqa: BLE001 - a callback of the event loop: who waits for `fault` is told
            self.fault.set_exception(error)

    def _tick(self) -> None:
        self._timer = None
        self._guarded(self._look)

    def _look(self) -> None:
        self._expire(self._loop.time())
        self._hand_in()
        self._take()
        if self._timer is None:
            self._set_timer()

    def _serve(self) -> None:
        self._hand_in()
        if not self._is_delivering:  # who is answered may have asked again by that
            self._pass_on(self._engine.take_soon())

    def _take(self) -> None:
        self._pass_on(self._engine.take())

    def _pass_on(self, answers: Sequence[Answer | AlikeAnswers]) -> None:
        self._is_delivering = True
        for answer in answers:
            self._deliver(answer)
        self._is_delivering = False
        if self._engine.child_socket is not self._watched:
            self._watch(self._engine.child_socket)
        if self._engine.readiness.state is not self._state:
            self._take_note()

    def _hand_in(self) -> None:
        self._turn_is_due = False
        if self._left:
            self._engine.disown(self._left)
            self._left = set()
        submitted, self._submitted = self._submitted, []
        present = [(token, payload) for token, payload in submitted if token in self._waiting]
        if present:
            self._engine.hand_over(_tasks(present))

    def _deliver(self, answer: Answer | AlikeAnswers) -> None:
        if isinstance(answer, AlikeAnswers):
            self._deliver_alike(answer)
            return
        token, outcome = answer
        if isinstance(outcome, Failure):
            self._deny(token, outcome)
        else:
            self.answer(token, replies.output_reply(*outcome))

    def _deliver_alike(self, answers: AlikeAnswers) -> None:
        tokens, values, content_type = answers
        first: _Waiting | None = None
        gone = 0
        for token, value in zip(tokens, values, strict=True):
            waiting = self._waiting.pop(token, None)
            if waiting is None:
                gone += 1
                continue
            first = first or waiting
            self._bytes -= waiting.size
            waiting.asker.reply(Reply(200, content_type, value))
        if first is not None:
            self._observer.answered(200, len(tokens) - gone, self._loop.time() - first.came)

    def _deny(self, token: int, failure: Failure) -> None:
        # Of what is the client's own to mend the client alone is told.
        say = _LOG.debug if failure.final else _LOG.warning
        say("item_failed", stage=failure.stage.value, error=failure.exception, message=failure.message)
        self.answer(token, replies.failure_reply(failure))

    def _expire(self, now: float) -> None:
        late = [(token, waiting) for token, waiting in self._waiting.items() if waiting.deadline <= now]
        for token, waiting in late:
            self._left.add(token)
            self.answer(token, problem_reply(replies.late(waiting.timeout_s)))

    def _take_note(self) -> None:
        """A process that an item has taken down is replaced while the others wait; one that cannot be is a refusal."""
        readiness = self._engine.readiness
        self._state = readiness.state
        if self._state is State.READY:
            self._refusal = None
        elif self._state is State.UNAVAILABLE:
            self._refusal = partial(replies.unavailable, readiness.reason)
            self.give_up(self._refusal())
        self._on_change(self._state)

    def _watch(self, child: socket.socket | None) -> None:
        """The number is kept beside: a closed socket does not tell it any more."""
        if self._watched_fd is not None:
            self._loop.remove_reader(self._watched_fd)
        self._watched = child
        self._watched_fd = None if child is None else child.fileno()
        if self._watched_fd is not None:
            self._loop.add_reader(self._watched_fd, self._turn)

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._ticks_fast = bool(self._waiting)
        self._timer = self._loop.call_later(_TICK_S if self._ticks_fast else _IDLE_TICK_S, self._tick)


def _tasks(submitted: Sequence[tuple[int, Payload]]) -> Sequence[Task]:
    """In columns where all have one content type, which they nearly always have."""
    content_type = submitted[0][1].content_type
    if len(submitted) == 1 or all(payload.content_type == content_type for _, payload in submitted):
        return AlikeTasks([token for token, _ in submitted], [payload.data for _, payload in submitted], content_type)
    return [Task(token, payload) for token, payload in submitted]
