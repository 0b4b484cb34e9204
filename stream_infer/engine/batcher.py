"""Groups tasks into micro-batches. Pure: time is passed in."""

from __future__ import annotations

import math
from collections.abc import Container, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from stream_infer.engine.policy import EnginePolicy
from stream_infer.engine.task import Task, size_of

_Key: TypeAlias = str | tuple[str | None, int] | None


@dataclass(slots=True)
class _Open:
    """`longest`: the length of the longest task, where lengths count."""

    tasks: list[Task]
    size: int
    due: float
    longest: int = 0


class Batcher:
    """Micro-batches that are still being filled, one per scope; with a `length`, one per scope and power of two of
    lengths, so that at most one half is padding.

    Closed ones are the caller's.
    """

    def __init__(self, policy: EnginePolicy) -> None:
        self._policy = policy
        self.max_size = policy.max_batch_size
        self._length = policy.length
        self._open: dict[_Key, _Open] = {}  # in the order in which they were opened

    def __bool__(self) -> bool:
        return bool(self._open)

    def add(self, tasks: Iterable[Task], now: float) -> list[list[Task]]:
        """Takes the tasks; returns the micro-batches that are full by that.

        A task over the byte or cost limit goes alone, and so does a suspect, and a hook: with items it would be taken
        for one.
        """
        max_size, max_bytes = self.max_size, self._policy.max_batch_bytes
        closed: list[list[Task]] = []
        open_, length_of = self._open, self._length
        length = 0
        for task in tasks:
            if task.suspect or task.hook is not None:
                closed.append([task])
                continue
            size = len(task.payload.data)
            key: _Key = task.scope
            if length_of is not None:
                length = length_of(task.payload)
                key = (task.scope, length.bit_length())
            batch = open_.get(key)
            if batch is not None and (batch.size + size > max_bytes or (length and self._is_dear(batch, length))):
                closed.append(open_.pop(key).tasks)
                batch = None
            if batch is None:
                batch = open_[key] = _Open([], 0, now + self._policy.max_wait_s)
            batch.tasks.append(task)
            batch.size += size
            batch.longest = max(batch.longest, length)
            if len(batch.tasks) >= max_size or batch.size >= max_bytes or (length and self._is_dear(batch, 0)):
                closed.append(open_.pop(key).tasks)
        return closed

    def _is_dear(self, batch: _Open, length: int) -> bool:
        """Too dear with one more task of that length; 0: or of any."""
        return (len(batch.tasks) + 1) * max(batch.longest, length) > self._policy.max_batch_cost

    def close_due(self, now: float) -> list[list[Task]]:
        """The micro-batches whose first task has waited for `max_wait_s`."""
        due = [key for key, batch in self._open.items() if batch.due <= now]
        return [self._open.pop(key).tasks for key in due]

    def close_oldest(self) -> list[Task] | None:
        """The micro-batch that was opened first, whatever its size: for a model with nothing to do."""
        for key in self._open:
            return self._open.pop(key).tasks
        return None

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
        for key, batch in list(self._open.items()):
            out = [task for task in batch.tasks if task.token in tokens]
            if out:
                taken += out
                batch.tasks = [task for task in batch.tasks if task.token not in tokens]
                batch.size = size_of(batch.tasks)
                if not batch.tasks:
                    del self._open[key]
        return taken

    def next_deadline(self) -> float:
        """When `close_due` will next have something; infinity while nothing is open."""
        return min((batch.due for batch in self._open.values()), default=math.inf)
