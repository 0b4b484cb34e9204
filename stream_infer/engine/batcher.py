"""Groups tasks into micro-batches. Pure: time is passed in."""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from stream_infer.engine.policy import EnginePolicy
from stream_infer.engine.task import AlikeTasks, Scope, Task, size_of

_Key: TypeAlias = Scope | tuple[Scope | None, int] | None


@dataclass(slots=True)
class _Open:
    """`longest`: the length of the longest task, where lengths count."""

    tasks: list[Task] | AlikeTasks
    size: int
    due: float
    longest: int = 0


class Batcher:
    """Micro-batches that are still being filled, one per scope; with a `length`, one per scope and power of two of
    lengths, so that at most one half is padding.

    Closed ones are the caller's. What has no scope leaves in the order in which it came, in whichever form: results of
    what overtook others cannot be committed, and a rebalance has them made twice.
    """

    def __init__(self, policy: EnginePolicy) -> None:
        self._policy = policy
        self.max_size = policy.max_batch_size
        self._length = policy.length
        self._open: dict[_Key, _Open] = {}  # in the order in which they were opened

    def __bool__(self) -> bool:
        return bool(self._open)

    def add(self, tasks: Iterable[Task], now: float) -> list[Sequence[Task]]:
        """Takes the tasks; returns the micro-batches that are full by that.

        A task over the byte or cost limit goes alone, and so does a suspect, and a hook: with items it would be taken
        for one.
        """
        max_size, max_bytes = self.max_size, self._policy.max_batch_bytes
        closed: list[Sequence[Task]] = []
        open_, length_of = self._open, self._length
        length = 0
        for task in tasks:
            if task.suspect or task.hook is not None:
                closed.append([task])
                continue
            size = len(task.payload.data)
            key: _Key
            key = scope = task.scope
            most = max_size if scope is None else scope.limit(max_size)
            if length_of is not None:
                length = length_of(task.payload)
                key = (scope, length.bit_length())
            batch = open_.get(key)
            if batch is not None and (batch.size + size > max_bytes or (length and self._is_dear(batch, length))):
                closed.append(open_.pop(key).tasks)
                batch = None
            if batch is None:
                batch = open_[key] = _Open([], 0, now + self._policy.max_wait_s)
            if isinstance(batch.tasks, AlikeTasks):
                batch.tasks = list(batch.tasks)
            batch.tasks.append(task)
            batch.size += size
            batch.longest = max(batch.longest, length)
            if len(batch.tasks) >= most or batch.size >= max_bytes or (length and self._is_dear(batch, 0)):
                closed.append(open_.pop(key).tasks)
        return closed

    def add_alike(self, tasks: AlikeTasks, now: float) -> list[Sequence[Task]]:
        """As `add`, many at a time, whose columns are the batcher's own from now on."""
        if self._length is not None:
            return self.add(tasks, now)
        closed: list[Sequence[Task]] = []
        left = len(tasks)
        while left > 0:
            batch = self._open.get(None)
            room = max(1, self.max_size - (0 if batch is None else len(batch.tasks)))
            part = tasks if left <= room else tasks[:room]
            size = size_of(part)
            if (0 if batch is None else batch.size) + size > self._policy.max_batch_bytes:
                return closed + self.add(tasks, now)
            if batch is not None and not _are_alike(batch.tasks, part):
                closed += self.add(part, now)
            else:
                closed += self._join(batch, part, size, now)
            left -= room
            if left > 0:
                tasks = tasks[room:]
        return closed

    def _join(self, batch: _Open | None, part: AlikeTasks, size: int, now: float) -> list[Sequence[Task]]:
        if batch is None:
            batch = self._open[None] = _Open(part, size, now + self._policy.max_wait_s)
        else:
            assert isinstance(batch.tasks, AlikeTasks)
            batch.tasks.tokens.extend(part.tokens)
            batch.tasks.payloads.extend(part.payloads)
            batch.size += size
        if len(batch.tasks) >= self.max_size or batch.size >= self._policy.max_batch_bytes:
            return [self._open.pop(None).tasks]
        return []

    def _is_dear(self, batch: _Open, length: int) -> bool:
        """Too dear with one more task of that length; 0: or of any."""
        return (len(batch.tasks) + 1) * max(batch.longest, length) > self._policy.max_batch_cost

    def close_due(self, now: float) -> Sequence[Task] | None:
        """The micro-batch whose first task has waited longest, if that is `max_wait_s` or more."""
        return self._open.pop(next(iter(self._open))).tasks if self.next_deadline() <= now else None

    def close_oldest(self) -> Sequence[Task] | None:
        """The micro-batch that was opened first, whatever its size: for a model with nothing to do.

        Not one that is a part of its job: it has a size of its own, and is to be whole where its items come in time.
        """
        for key in self._open:
            if not isinstance(key, Scope) or key.part is None:
                return self._open.pop(key).tasks
        return None

    def close_all(self) -> list[Sequence[Task]]:
        """All of them, oldest first: nothing that comes later joins."""
        batches: list[Sequence[Task]] = [batch.tasks for batch in self._open.values()]
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
                if isinstance(batch.tasks, AlikeTasks):
                    batch.tasks = batch.tasks.without(tokens)
                else:
                    batch.tasks = [task for task in batch.tasks if task.token not in tokens]
                batch.size = size_of(batch.tasks)
                if not batch.tasks:
                    del self._open[key]
        return taken

    def next_deadline(self) -> float:
        """When `close_due` will next have something; infinity while nothing is open."""
        for batch in self._open.values():
            return batch.due  # all may wait for the same time
        return math.inf


def _are_alike(tasks: Sequence[Task], others: AlikeTasks) -> bool:
    return isinstance(tasks, AlikeTasks) and tasks.content_type == others.content_type
