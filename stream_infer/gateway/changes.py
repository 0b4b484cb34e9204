"""Which jobs have changed since a follower has looked last. Of the event loop's thread alone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Changes:
    """Those of one job, or of all for None; however often one changes, it is held once."""

    def __init__(self, job_id: str | None = None) -> None:
        self._job_id = job_id
        self._changed: dict[str, None] = {}
        self._woken = asyncio.Event()

    def mark(self, job_id: str) -> None:
        if self._job_id in (None, job_id):
            self._changed[job_id] = None
            self._woken.set()

    async def take(self, timeout_s: float) -> list[str]:
        """The ids of those that have changed, in the order of their first change; waits at most so long for one."""
        try:
            await asyncio.wait_for(self._woken.wait(), timeout_s)
        except TimeoutError:
            return []
        self._woken.clear()
        taken, self._changed = list(self._changed), {}
        return taken


class Followers:
    """All who want to be told."""

    def __init__(self) -> None:
        self._following: set[Changes] = set()

    @contextmanager
    def following(self, job_id: str | None = None) -> Iterator[Changes]:
        changes = Changes(job_id)
        self._following.add(changes)
        try:
            yield changes
        finally:
            self._following.discard(changes)

    def mark(self, job_id: str) -> None:
        for changes in self._following:
            changes.mark(job_id)
