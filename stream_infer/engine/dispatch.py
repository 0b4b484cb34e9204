"""Which call the child gets next, and since when it has been at the one it has. Pure: time is passed in.

    waiting, suspects --take--> handed (in the child, in this order) --finish--> answered or judged

The child works on calls in the order in which they were handed, so only the first of them has a running clock.
"""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Container, Sequence
from dataclasses import dataclass, replace

from stream_infer.engine.isolation import Call, Verdict
from stream_infer.engine.policy import EnginePolicy
from stream_infer.engine.task import AlikeTasks, Task

# Whoever kills an idle child from outside may hit one that is just getting a call, but hardly three times the same.
_LOST_TOO_OFTEN = 3
# The child is to have work for so long, since the parent may be busy meanwhile; in at most so many calls.
_BUSY_S = 0.02
_DEEPEST = 12
_MOMENT_S = 0.0005
_SHORTEST_S = 1e-6
_WEIGHT = 0.2


@dataclass(slots=True)
class _Handed:
    """`begun`: it may be to blame for whatever happens."""

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
        self._seconds = _BUSY_S
        self._clock = math.inf  # when the first handed call entered the state it is in

    @property
    def depth(self) -> int:
        """How many calls may be in the child: the policy's number, or so many short ones that it does not run dry."""
        return max(self._policy.pipeline_depth, min(_DEEPEST, int(_BUSY_S / self._seconds)))

    def took(self, seconds: float) -> None:
        """A call has taken the child so long."""
        self._seconds += (max(seconds, _SHORTEST_S) - self._seconds) * _WEIGHT

    @property
    def ends_soon(self) -> bool:
        """The child is at a call, and they take it less than a moment."""
        return self._seconds < _MOMENT_S and bool(self._handed)

    @property
    def waits(self) -> bool:
        """There is a call that is not in the child."""
        return bool(self._waiting or self._suspects)

    @property
    def idle(self) -> bool:
        """Nothing waits and the child has nothing to do."""
        return not (self._waiting or self._suspects or self._handed)

    @property
    def has_place(self) -> bool:
        """What is next, or would be, may be handed to the child now."""
        if not self._handed:
            return True
        queue = self._suspects or self._waiting
        if self._first().call.alone or (queue and queue[0].alone):
            return False
        return len(self._handed) < self.depth

    @property
    def waits_since(self) -> float:
        """When what is next was added; infinity while nothing waits."""
        queue = self._suspects or self._waiting
        return queue[0].since if queue else math.inf

    def add(self, tasks: Sequence[Task], now: float = -math.inf) -> None:
        """Takes a micro-batch. A suspect is one of its own."""
        suspect = not isinstance(tasks, AlikeTasks) and tasks[0].suspect
        (self._suspects if suspect else self._waiting).append(Call(next(self._ids), tasks, suspect, since=now))

    def add_before(self, tasks: Sequence[Task]) -> None:
        """Takes a micro-batch that was due before all that waits."""
        self._waiting.appendleft(Call(next(self._ids), tasks))

    def take(self, now: float, cap: float = math.inf) -> Call | None:
        """The call to be handed to the child now, or None: it has enough, or what is next must be alone.

        What has more than `cap` tasks is handed in parts.
        """
        call = self._next(cap)
        if call is not None:
            if not self._handed:
                self._clock = now
            self._handed[call.id] = _Handed(call)
        return call

    def _next(self, cap: float) -> Call | None:
        queue = self._suspects or self._waiting
        if not queue or not self.has_place:
            return None
        call = queue.popleft()
        if len(call.tasks) > cap:
            queue.appendleft(replace(call, id=next(self._ids), tasks=call.tasks[int(cap) :]))
            call.tasks = call.tasks[: int(cap)]
        return call

    def refuse(self, call: Call) -> None:
        """The call that was taken last is not handed to the child after all: it is answered already."""
        del self._handed[call.id]
        if not self._handed:
            self._clock = math.inf

    def begin(self, call_id: int, now: float) -> None:
        """The child has announced that it prepares the call, or predicts it: from here on it is a suspect.

        What needs no preparation begins where the call before it ended, and is marked in memory instead of announced.
        """
        handed = self._handed[call_id]
        handed.begun, handed.call.loading_since = True, None
        if handed is self._first():
            self._clock = now

    def load(self, call_id: int, now: float) -> None:
        """The child has announced that it makes an instance for the call's job, which may take as long as loading."""
        self.begin(call_id, now)
        self._handed[call_id].call.loading_since = now

    def finish(self, call_id: int, now: float) -> Call:
        """The call has been answered, well or badly. KeyError: it is not in the child."""
        call = self._handed.pop(call_id).call
        self._clock = now if self._handed else math.inf
        return call

    def again(self, verdict: Verdict) -> None:
        """Calls anew, before all others, what is not answered."""
        queue = self._suspects if verdict.suspect else self._waiting
        calls = [
            Call(
                next(self._ids), tasks, verdict.suspect, verdict.solo, verdict.miscounted, verdict.whole, verdict.deaths
            )
            for tasks in verdict.again
        ]
        queue.extendleft(reversed(calls))

    def in_child(self) -> list[Call]:
        """The calls that have been handed over, in their order."""
        return [handed.call for handed in self._handed.values()]

    def withdraw(self, tokens: Container[int] | None) -> list[Task]:
        """Takes out the tasks with these tokens (None: all) that are not in the child. Suspects say that they are."""
        taken: list[Task] = []
        for queue in (self._suspects, self._waiting):
            calls = list(queue)
            queue.clear()
            for call in calls:
                out = [task for task in call.tasks if tokens is None or task.token in tokens]
                taken += [task._replace(suspect=True) for task in out] if call.suspect else out
                if out:
                    gone = {task.token for task in out}
                    call.tasks = [task for task in call.tasks if task.token not in gone]
                if call.tasks:
                    queue.append(call)
        return taken

    def overrun(self, now: float) -> Call | None:
        """The call whose deadline has passed, if it has."""
        return self._first().call if self._handed and now >= self.next_deadline() else None

    def next_deadline(self) -> float:
        """When the call in the child will have overrun; infinity while there is none."""
        return self._clock + self.timeout_of(self._first().call) if self._handed else math.inf

    def timeout_of(self, call: Call) -> float:
        """How long the call may take, in seconds, for what it is at."""
        if call.loading_since is not None:
            return self._policy.load_timeout_s
        return self._policy.call_timeout_s if not call.is_hook else self._policy.hook_timeout_s

    def running(self) -> Call | None:
        """The call that the child is at, or will be at next."""
        return self._first().call if self._handed else None

    def call(self, call_id: int) -> Call:
        """The call in the child of that id. KeyError: there is none."""
        return self._handed[call_id].call

    def handed(self) -> list[int]:
        """The ids of the calls in the child."""
        return list(self._handed)

    def lose(self, only: Call | None, begun: int = 0) -> Sequence[Call]:
        """The child is gone. Returns the calls that may have killed it; the others wait again, in their order.

        Those are the ones it had begun, as it announced or, with the id `begun`, marked; `only` this one, where it is
        known. A call that a child was lost with three times before it could say that it begins is one of them, or the
        children would go on being lost with it.
        """
        lost = list(self._handed.values())
        suspects = [handed.call for handed in lost if handed.begun or handed.call.id == begun]
        blamed = [call for call in suspects if only is None or call is only]
        if lost and not blamed:
            first = lost[0].call
            first.lost += 1
            if first.lost >= _LOST_TOO_OFTEN:
                blamed = [first]
        self._wait_again([handed.call for handed in lost if handed.call not in blamed])
        return blamed

    def recall(self) -> None:
        """The child is gone, and no call is to blame: all wait again, in their order."""
        self._wait_again([handed.call for handed in self._handed.values()])

    def _wait_again(self, calls: Sequence[Call]) -> None:
        for call in reversed(calls):
            call.loading_since = None
            (self._suspects if call.suspect else self._waiting).appendleft(call)
        self._handed.clear()
        self._clock = math.inf

    def _first(self) -> _Handed:
        return next(iter(self._handed.values()))
