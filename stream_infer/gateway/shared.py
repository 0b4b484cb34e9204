"""One answer for many who ask the same."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Shared(Generic[T]):
    """What `make` answers, for all who ask while that is under way, and for `lasts_s` seconds from its beginning.

    A failure is told to those who wait, and not kept. One event loop uses it; `clock` never goes back.
    """

    def __init__(
        self, make: Callable[[], Awaitable[T]], lasts_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._make = make
        self._lasts_s = lasts_s
        self._clock = clock
        self._begun = 0.0
        self._answer: asyncio.Future[T] | None = None

    async def get(self) -> T:
        """Raises what `make` does. Who stops waiting takes it from nobody else."""
        if self._answer is None or self._is_over(self._answer):
            self._begun = self._clock()
            self._answer = asyncio.ensure_future(self._make())
            # An error that comes when nobody waits any more is nobody's; taken here, asyncio does not complain of it.
            self._answer.add_done_callback(lambda late: late.cancelled() or late.exception())
        return await asyncio.shield(self._answer)

    def _is_over(self, answer: asyncio.Future[T]) -> bool:
        if not answer.done():
            return False
        has_failed = answer.cancelled() or answer.exception() is not None
        return has_failed or self._clock() - self._begun >= self._lasts_s
