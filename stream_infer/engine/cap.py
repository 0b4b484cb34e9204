"""How large a micro-batch may be after memory ran out. Pure: time is passed in.

Half of what did not fit, for one period; then twice as much with every further one, until all is as it was.
"""

from __future__ import annotations

import math


class BatchCap:
    """The cap on the items of a micro-batch; `full` while memory has not run out. Periods are in seconds."""

    def __init__(self, full: int, period_s: float) -> None:
        self._full = full
        self._period_s = period_s
        self._cap = full
        self._since = -math.inf

    def refit(self, full: int) -> None:
        """Another full size. What memory has taught holds on."""
        is_capped = self._cap < self._full
        self._full = full
        self._cap = min(self._cap, full) if is_capped else full

    def current(self, now: float) -> int:
        """What holds at the moment."""
        if self._cap >= self._full:
            return self._full
        periods = int((now - self._since) / self._period_s)
        if periods >= self._full.bit_length():  # by then even a cap of 1 has grown beyond it
            self._cap = self._full
            return self._full
        return min(self._full, self._cap << max(0, periods))

    def shrink(self, failed: int, now: float) -> None:
        """A micro-batch of `failed` items did not fit. What was larger than the cap when it began raises nothing."""
        self._cap = max(1, min(self.current(now), failed // 2))
        self._since = now

    def pardon(self, whole: int, now: float) -> None:
        """It was one item that did not fit, in whatever company: only half of the first micro-batch stays in doubt."""
        self._cap = max(self.current(now), min(self._full, max(1, whole // 2)))
        self._since = now
