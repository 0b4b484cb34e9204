"""Values by size: what a histogram is made of. Plain numbers, since a micro-batch of one item is a lone request."""

from __future__ import annotations

import math
from bisect import bisect_left
from itertools import accumulate


class Distribution:
    """One thread notes values; any thread may look at `buckets` and `total`.

    `bounds` rise. A value that is equal to one counts below it, as Prometheus has it.
    """

    __slots__ = ("_counts", "bounds", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.total = 0.0
        self._counts = [0] * (len(bounds) + 1)

    def note(self, value: float) -> None:
        self._counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    @property
    def count(self) -> int:
        return sum(self._counts)

    def buckets(self) -> list[tuple[float, int]]:
        """Each bound, the last one infinite, and how many values were at most as large."""
        return list(zip((*self.bounds, math.inf), accumulate(self._counts), strict=True))
