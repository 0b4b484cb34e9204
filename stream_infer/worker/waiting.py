"""Items that are held and cannot be worked on yet: not due, or the predictor takes none."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Container, Iterable

from stream_infer.records import Item
from stream_infer.worker.held import SKIPPED, Entry, Partition
from stream_infer.worker.ledger import Ledger


class Waiting:
    """Entries of the ledger that wait. Whoever is let go is judged again from its start."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._timers: list[tuple[float, int]] = []
        self._entries: dict[int, Entry] = {}
        self._for_predictor: dict[int, Entry] = {}

    def until(self, entry: Entry, at: float) -> None:
        """The entry waits until `at`, in seconds since the epoch."""
        self._put(entry)
        heapq.heappush(self._timers, (at, entry.token))

    def for_predictor(self, entry: Entry) -> None:
        """The entry waits for the predictor, but not beyond its deadline."""
        self._put(entry)
        self._for_predictor[entry.token] = entry
        if entry.item is not None and entry.item.deadline is not None:
            heapq.heappush(self._timers, (entry.item.deadline, entry.token))

    def hold(self, entry: Entry, is_skipping: Callable[[Item], bool]) -> None:
        """Somebody has worked on the entry in vain: it waits for the predictor, unless its job has ended meanwhile.

        What was fetched for it is let go.
        """
        item = entry.item
        if item is not None and item.control is None and is_skipping(item):
            self._ledger.finish(entry.token, SKIPPED)
            return
        entry.sent = None
        self._ledger.resize(entry, entry.held_input)
        self.for_predictor(entry)

    def _put(self, entry: Entry) -> None:
        self._entries[entry.token] = entry
        self._ledger.park(entry)

    def due(self, now: float) -> list[Entry]:
        """Lets go of those whose time has come."""
        found: list[Entry] = []
        while self._timers and self._timers[0][0] <= now:
            token = heapq.heappop(self._timers)[1]
            if token in self._entries:
                found.append(self._entries[token])
                self._let_go(token)
        return self._held(found)

    def of_jobs(self, job_ids: Container[str]) -> list[Entry]:
        """Lets go of those of these jobs."""
        found = [entry for entry in self._entries.values() if entry.item is not None and entry.item.job_id in job_ids]
        return self._release(found)

    def those_for_predictor(self) -> list[Entry]:
        """Who waits for the predictor, in the order of their coming. They go on waiting."""
        return list(self._for_predictor.values())

    def release(self, entries: Iterable[Entry]) -> list[Entry]:
        """Lets go of these, as far as they are still held."""
        return self._release([entry for entry in entries if entry.token in self._entries])

    def before(self, partition: Partition, token: int) -> list[Entry]:
        """Lets go of those of the partition that were read before the entry `token`."""
        found = [
            entry
            for entry in self._entries.values()
            if entry.token < token and entry.item is not None and entry.item.message.position[:2] == partition
        ]
        return self._release(found)

    def forget_lost(self) -> None:
        """Drops those that the ledger does not hold any more."""
        for token in [token for token in self._entries if self._ledger.get(token) is None]:
            self._let_go(token)

    def next_time(self) -> float:
        """When `due` will next have something; infinity while nothing is timed."""
        while self._timers and self._timers[0][1] not in self._entries:
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else math.inf

    def _release(self, entries: list[Entry]) -> list[Entry]:
        for entry in entries:
            self._let_go(entry.token)
        return self._held(entries)

    def _let_go(self, token: int) -> None:
        entry = self._entries.pop(token)
        self._for_predictor.pop(token, None)
        self._ledger.unpark(entry)

    def _held(self, entries: list[Entry]) -> list[Entry]:
        return [entry for entry in entries if self._ledger.get(entry.token) is entry]
