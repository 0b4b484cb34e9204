"""Which call the child gets next, and since when it has been at the one it has. Pure: time is passed in.

    waiting, suspects --take--> handed (in the child, in this order) --finish--> answered or judged

The child works on calls in the order in which they were handed, so only the first of them has a running clock.
"""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from stream_infer.engine.isolation import Call, Verdict
from stream_infer.engine.policy import EnginePolicy
from stream_infer.engine.task import Task


@dataclass(slots=True)
class _Handed:
    call: Call
    begun: bool = False


class Dispatch:
    """The calls that are not answered yet, in the child or waiting for it."""

    def __init__(self, policy: EnginePolicy) -> None:
        self._policy = policy
        self._ids = itertools.count(1)
        self._waiting: deque[Call] = deque()
        self._suspects: deque[Call] = deque()
        self._handed: dict[int, _Handed] = {}
        self._clock = math.inf  # when the first handed call entered the state it is in

    @property
    def idle(self) -> bool:
        """Nothing waits and the child has nothing to do."""
        return not (self._waiting or self._suspects or self._handed)

    def add(self, tasks: list[Task]) -> None:
        self._waiting.append(Call(next(self._ids), tasks))

    def take(self, now: float) -> Call | None:
        """The call to be handed to the child now, or None: it has enough, or what is next must be alone."""
        call = self._next()
        if call is not None:
            if not self._handed:
                self._clock = now
            self._handed[call.id] = _Handed(call)
        return call

    def _next(self) -> Call | None:
        queue = self._suspects or self._waiting
        if not queue or (self._handed and (queue[0].alone or self._first().call.alone)):
            return None
        return queue.popleft() if len(self._handed) < self._policy.pipeline_depth else None

    def begin(self, call_id: int, now: float) -> None:
        """The child has announced that it prepares the call, or predicts it: from here on it is a suspect."""
        handed = self._handed[call_id]
        handed.begun = True
        if handed is self._first():
            self._clock = now

    def finish(self, call_id: int, now: float) -> Call:
        """The call has been answered, well or badly; it is the caller's. KeyError: it is not in the child."""
        call = self._handed.pop(call_id).call
        self._clock = now if self._handed else math.inf
        return call

    def again(self, verdict: Verdict) -> None:
        """Calls anew, before all others, what is not answered."""
        queue = self._suspects if verdict.suspect else self._waiting
        calls = [Call(next(self._ids), tasks, verdict.suspect, verdict.miscounted) for tasks in verdict.again]
        queue.extendleft(reversed(calls))

    def overrun(self, now: float) -> Call | None:
        """The call whose deadline has passed, if it has."""
        return self._first().call if self._handed and now >= self.next_deadline() else None

    def next_deadline(self) -> float:
        """When the call in the child will have overrun; infinity while there is none."""
        return self._clock + self.timeout_of(self._first().call) if self._handed else math.inf

    def timeout_of(self, call: Call) -> float:
        """How long the call may take, in seconds."""
        return self._policy.call_timeout_s if call.tasks[0].hook is None else self._policy.hook_timeout_s

    def lose(self, overrun: Call | None) -> Sequence[Call]:
        """The child is gone. Returns the calls that may have killed it; the others wait again, in their order.

        Those are the ones it had begun; for a timeout only the one that overran.
        """
        lost = list(self._handed.values())
        self._handed.clear()
        self._clock = math.inf
        blamed = [handed.call for handed in lost if handed.begun and (overrun is None or handed.call is overrun)]
        for handed in reversed(lost):
            if handed.call not in blamed:
                (self._suspects if handed.call.suspect else self._waiting).appendleft(handed.call)
        return blamed

    def _first(self) -> _Handed:
        return next(iter(self._handed.values()))
