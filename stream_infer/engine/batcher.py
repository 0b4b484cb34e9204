"""Groups tasks into micro-batches. Pure: time is passed in."""

from __future__ import annotations

import math
from collections.abc import Container, Iterable
from dataclasses import dataclass

from stream_infer.engine.policy import EnginePolicy
from stream_infer.engine.task import Task, size_of


@dataclass(slots=True)
class _Open:
    tasks: list[Task]
    size: int
    due: float


class Batcher:
    """Micro-batches that are still being filled, one per scope. Closed ones are the caller's."""

    def __init__(self, policy: EnginePolicy) -> None:
        self._policy = policy
        self.max_size = policy.max_batch_size
        self._open: dict[str | None, _Open] = {}  # in the order in which they were opened

    def __bool__(self) -> bool:
        return bool(self._open)

    def add(self, tasks: Iterable[Task], now: float) -> list[list[Task]]:
        """Takes the tasks; returns the micro-batches that are full by that.

        A task over the byte limit goes alone, and so does a suspect, and a hook: with items it would be taken for one.
        """
        max_size, max_bytes = self.max_size, self._policy.max_batch_bytes
        closed: list[list[Task]] = []
        open_ = self._open
        for task in tasks:
            if task.suspect or task.hook is not None:
                closed.append([task])
                continue
            size = len(task.payload.data)
            batch = open_.get(task.scope)
            if batch is not None and batch.size + size > max_bytes:
                closed.append(open_.pop(task.scope).tasks)
                batch = None
            if batch is None:
                batch = open_[task.scope] = _Open([], 0, now + self._policy.max_wait_s)
            batch.tasks.append(task)
            batch.size += size
            if len(batch.tasks) >= max_size or batch.size >= max_bytes:
                closed.append(open_.pop(task.scope).tasks)
        return closed

    def close_due(self, now: float) -> list[list[Task]]:
        """The micro-batches whose first task has waited for `max_wait_s`."""
        due = [scope for scope, batch in self._open.items() if batch.due <= now]
        return [self._open.pop(scope).tasks for scope in due]

    def close_oldest(self) -> list[Task] | None:
        """The micro-batch that was opened first, whatever its size: for a model with nothing to do."""
        scope = next(iter(self._open), None)
        batch = self._open.pop(scope, None)
        return batch.tasks if batch else None

    def close_all(self) -> list[list[Task]]:
        """All of them, oldest first: nothing that comes later joins."""
        batches = [batch.tasks for batch in self._open.values()]
        self._open.clear()
        return batches

    def withdraw(self, tokens: Container[int] | None) -> list[Task]:
        """Takes out the tasks with these tokens; None: all."""
        if tokens is None:
            return [task for batch in self.close_all() for task in batch]
        taken: list[Task] = []
        for scope, batch in list(self._open.items()):
            out = [task for task in batch.tasks if task.token in tokens]
            if out:
                taken += out
                batch.tasks = [task for task in batch.tasks if task.token not in tokens]
                batch.size = size_of(batch.tasks)
                if not batch.tasks:
                    del self._open[scope]
        return taken

    def next_deadline(self) -> float:
        """When `close_due` will next have something; infinity while nothing is open."""
        return min((batch.due for batch in self._open.values()), default=math.inf)
