"""The realtime replicas of one API: which are ready, and which is asked next. No effects."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass

_MEASURED = 100


@dataclass(slots=True)
class Replica:
    """`outstanding`: requests that it has and has not answered. `asked` is the number of its last one.

    Not ready until it has said so; `reason` says what it said, or why it did not.
    """

    url: str
    is_ready: bool = False
    reason: str = "it was not asked yet"
    outstanding: int = 0
    asked: int = 0

    def note(self, fault: str | None) -> bool:
        """What looking at it has found; None: it is ready. True: that is news."""
        was_ready, self.is_ready = self.is_ready, fault is None
        self.reason = fault or ""
        return was_ready is not self.is_ready


class Replicas:
    """`max_in_flight` is what one of them takes at a time."""

    def __init__(self, urls: Sequence[str], max_in_flight: int) -> None:
        self.all = [Replica(url) for url in urls]
        self._most = max_in_flight * len(self.all)
        self._numbers = itertools.count(1)
        self._took: deque[float] = deque(maxlen=_MEASURED)

    def are_of(self, urls: Sequence[str], max_in_flight: int) -> bool:
        """Whether others would be made of these."""
        return [replica.url for replica in self.all] == list(urls) and self._most == max_in_flight * len(self.all)

    @property
    def are_full(self) -> bool:
        """As much is outstanding as all of them together would take."""
        return sum(replica.outstanding for replica in self.all) >= self._most

    def took(self, seconds: float) -> None:
        """An answer has taken so long, from when it was asked for to when it was read."""
        self._took.append(seconds)

    @property
    def mean_s(self) -> float | None:
        """Of the last answers; None before there is one."""
        return sum(self._took) / len(self._took) if self._took else None

    def choose(self, tried: Collection[str]) -> Replica | None:
        """The ready one with the least outstanding requests, of several the one that was asked longest ago."""
        ready = [replica for replica in self.all if replica.is_ready and replica.url not in tried]
        if not ready:
            return None
        chosen = min(ready, key=lambda replica: (replica.outstanding, replica.asked))
        chosen.asked = next(self._numbers)
        return chosen

    def faults(self) -> list[str]:
        """Why those that are not ready are not."""
        return [f"{replica.url}: {replica.reason}" for replica in self.all if not replica.is_ready]
