"""Names of jobs in the orders that lists are asked for in, kept while jobs come and go: a page costs what is on it."""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

ListName: TypeAlias = tuple[str, ...]
Place: TypeAlias = tuple[float | str, str]
"""What a list is sorted by, and the job's id; those of one list are of one kind."""

# Of what is walked that much is taken at a time: jobs come meanwhile, on another thread.
_PIECE = 64
# Beyond so many changes it costs less to sort a list, or to go through it, once.
_FEW = 16


class JobLists:
    """Any thread may ask and change. What changes while a list is walked is seen or not; nothing is seen twice."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._orders: dict[ListName, _Order] = {}
        self._placed: dict[str, Mapping[ListName, Place]] = {}

    def put(self, job_id: str, placed: Callable[[], Mapping[ListName, Place]]) -> None:
        """Where the job stands from now on, in each of its lists. `placed` is asked while no other one changes that."""
        with self._lock:
            before, now = self._placed.get(job_id, {}), placed()
            if before == now:
                return
            for name, place in before.items():
                if now.get(name) != place:
                    self._remove(name, place)
            for name, place in now.items():
                if before.get(name) != place:
                    self._orders.setdefault(name, _Order()).add(place)
            if now:
                self._placed[job_id] = now
            else:
                del self._placed[job_id]

    def walk(self, name: ListName, after: Place | None = None, *, is_up: bool = True) -> Iterator[Place]:
        """The places of a list that come behind `after`, from the least on or from the greatest down."""
        while True:
            with self._lock:
                order = self._orders.get(name)
                piece = [] if order is None else order.piece(after, is_up=is_up)
            if not piece:
                return
            yield from piece
            after = piece[-1]

    def settle(self, name: ListName) -> None:
        """So that who walks it first finds it sorted."""
        with self._lock:
            if name in self._orders:
                self._orders[name].settled()

    def _remove(self, name: ListName, place: Place) -> None:
        order = self._orders[name]
        order.remove(place)
        if not order:
            del self._orders[name]


class _Order:
    """Places, sorted when they are looked at: at a gateway's start they come by the hundred thousand, in any order.

    What is newest comes at the end, where it moves nothing.
    """

    __slots__ = ("_gone", "_new", "_sorted")

    def __init__(self) -> None:
        self._sorted: list[Place] = []
        self._new: set[Place] = set()
        self._gone: set[Place] = set()

    def __len__(self) -> int:
        return len(self._sorted) + len(self._new) - len(self._gone)

    def add(self, place: Place) -> None:
        if place in self._gone:
            self._gone.discard(place)
        else:
            self._new.add(place)

    def remove(self, place: Place) -> None:
        if place in self._new:
            self._new.discard(place)
        else:
            self._gone.add(place)

    def piece(self, after: Place | None, *, is_up: bool) -> list[Place]:
        places = self.settled()
        if is_up:
            first = 0 if after is None else bisect_right(places, after)
            return places[first : first + _PIECE]
        end = len(places) if after is None else bisect_left(places, after)
        return places[max(0, end - _PIECE) : end][::-1]

    def settled(self) -> list[Place]:
        if len(self._gone) > _FEW:
            self._sorted = [place for place in self._sorted if place not in self._gone]
        else:
            for place in self._gone:
                del self._sorted[bisect_left(self._sorted, place)]
        self._gone.clear()
        if len(self._new) > max(_FEW, len(self._sorted) // 8):
            self._sorted += self._new
            self._sorted.sort()
        else:
            for place in self._new:
                insort(self._sorted, place)
        self._new.clear()
        return self._sorted
