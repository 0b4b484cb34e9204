"""What a worker holds: every item it has read and not yet delivered, in the order of each partition.

Items end in any order; only the contiguous prefix that has ended is delivered and committed. The end of a partition
enters as an already ended mark, so that the prefix can reach it: transaction markers take offsets, and without the mark
lag would stay above 0 for ever (measured: 0 with the end's offset, 1 with last+1).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice, takewhile
from typing import TypeAlias

from stream_infer.jobs.events import HookEnded
from stream_infer.records import Failure, Item, Output, Position
from stream_infer.worker.retry import Retried


@dataclass(frozen=True, slots=True)
class Skipped:
    """Its job was stopped, failed or timed out: counted, never dead-lettered."""


@dataclass(frozen=True, slots=True)
class Nothing:
    """A control record that asks for nothing any more, or the end of a partition: no end of an item."""


SKIPPED = Skipped()
NOTHING = Nothing()

Ended: TypeAlias = Output | Failure | Retried | Skipped | HookEnded | Nothing
Partition: TypeAlias = tuple[str, int]


@dataclass(slots=True)
class Entry:
    """One offset on its way. `next_offset` is where the group stands once it is delivered.

    `size` is the payload's in bytes, `jobless` says that nobody submitted the job it names, `tries` counts a hook's.
    `failure` is what the predictor made of it, whatever has been decided about that since. `parked`: nobody works on
    it. `suspect`: a predictor's process has died with it.
    """

    item: Item | None
    next_offset: int
    token: int
    size: int = 0
    jobless: bool = False
    tries: int = 0
    ended: Ended | None = None
    failure: Failure | None = None
    parked: bool = False
    suspect: bool = False


@dataclass(slots=True)
class Prefix:
    """What can be delivered of one partition, and the offset to commit with it."""

    partition: Partition
    entries: list[Entry]

    @property
    def offset(self) -> int:
        return self.entries[-1].next_offset


@dataclass(slots=True)
class Ledger:
    """Per assigned partition, the entries in offset order.

    Tokens are never used twice: an answer for a partition that was revoked, or that was rewound, finds no entry and is
    dropped. That is how outcomes of an earlier assignment end.
    """

    _partitions: dict[Partition, deque[Entry]] = field(default_factory=dict)
    _open: dict[int, Entry] = field(default_factory=dict)
    _next_token: int = 0
    _held: int = 0
    _held_bytes: int = 0
    _parked: int = 0

    def assign(self, partitions: Iterable[Partition]) -> None:
        for partition in partitions:
            self._partitions.setdefault(partition, deque())

    def revoke(self, partitions: Iterable[Partition]) -> None:
        """Forgets the partitions and everything held of them."""
        for partition in partitions:
            for entry in self._partitions.pop(partition, ()):
                self._forget(entry)

    def partitions(self) -> list[Partition]:
        return list(self._partitions)

    def admit(self, partition: Partition, item: Item) -> Entry | None:
        """Begins an item; None where the partition is not ours (any more)."""
        entries = self._partitions.get(partition)
        if entries is None:
            return None
        self._next_token += 1
        message = item.message
        entry = Entry(item, message.offset + 1, self._next_token, len(message.value or b""))
        entries.append(entry)
        self._open[entry.token] = entry
        self._held += 1
        self._held_bytes += entry.size
        return entry

    def mark_end(self, partition: Partition, offset: int) -> None:
        """Everything below `offset` has been read.

        A mark that an entry stands behind already says nothing new, and would set the group back: librdkafka hands out
        an end and records that came after it in one poll.
        """
        entries = self._partitions.get(partition)
        if entries is None or (entries and entries[-1].next_offset >= offset):
            return
        self._held += 1
        entries.append(Entry(None, offset, 0, ended=NOTHING))

    def get(self, token: int) -> Entry | None:
        """The entry that has not ended yet, or None where it is not held any more."""
        return self._open.get(token)

    def position_of(self, token: int) -> Position | None:
        """Where the item of the token lies; None for what is no item, or not held any more."""
        entry = self._open.get(token)
        if entry is None or entry.item is None or entry.item.control is not None:
            return None
        return entry.item.message.position

    def finish(self, token: int, ended: Ended) -> Entry | None:
        """Ends an item; None where it is not held any more."""
        entry = self._open.pop(token, None)
        if entry is not None:
            self.unpark(entry)
            entry.ended = ended
        return entry

    def reopen_failed(self) -> list[Entry]:
        """What the predictor has failed and nothing has been delivered about yet has not ended after all."""
        reopened: list[Entry] = []
        for entries in self._partitions.values():
            for entry in entries:
                if entry.failure is not None and isinstance(entry.ended, Failure | Retried):
                    entry.ended = None
                    self._open[entry.token] = entry
                    reopened.append(entry)
        return reopened

    def park(self, entry: Entry) -> None:
        """Nobody works on the entry until `unpark`."""
        self._parked += not entry.parked
        entry.parked = True

    def unpark(self, entry: Entry) -> None:
        self._parked -= entry.parked
        entry.parked = False

    def waiting_in(self, partition: Partition) -> tuple[int, int]:
        """How many entries of the partition are parked, and their bytes."""
        parked = [entry.size for entry in self._partitions.get(partition, ()) if entry.parked]
        return len(parked), sum(parked)

    def open_tokens(self, partitions: Iterable[Partition]) -> set[int]:
        """The tokens of what has not ended in these partitions."""
        return {
            entry.token
            for partition in partitions
            for entry in self._partitions.get(partition, ())
            if entry.ended is None
        }

    def resize(self, entry: Entry, size: int) -> None:
        """What is held for the entry is now `size` bytes: a payload that was fetched, an output."""
        self._held_bytes += size - entry.size
        entry.size = size

    def prefixes(self, max_entries: int) -> list[Prefix]:
        """The ended prefix of each partition, at most `max_entries` in all."""
        found: list[Prefix] = []
        left = max_entries
        for partition, entries in self._partitions.items():
            prefix = _ended_prefix(entries, left)
            if prefix:
                found.append(Prefix(partition, prefix))
                left -= len(prefix)
            if left <= 0:
                break
        return found

    def delivered(self, prefixes: Iterable[Prefix]) -> None:
        """Lets go of what a transaction has committed."""
        for prefix in prefixes:
            entries = self._partitions[prefix.partition]
            for _ in prefix.entries:
                self._forget(entries.popleft())

    def rewind(self) -> list[Partition]:
        """Forgets every entry of every partition; answers the partitions, to be read again from their place."""
        partitions = list(self._partitions)
        self.revoke(partitions)
        self.assign(partitions)
        return partitions

    def pending(self, partitions: Iterable[Partition] | None = None) -> int:
        """Items that have not ended, of all partitions or of these."""
        if partitions is None:
            return len(self._open)
        return sum(entry.ended is None for partition in partitions for entry in self._partitions.get(partition, ()))

    @property
    def in_work(self) -> int:
        """Items that somebody works on: being fetched, in the engine, or waiting to be known."""
        return len(self._open) - self._parked

    @property
    def has_deliverable(self) -> bool:
        return any(entries and entries[0].ended is not None for entries in self._partitions.values())

    @property
    def held(self) -> int:
        """Entries read and not delivered."""
        return self._held

    @property
    def held_bytes(self) -> int:
        return self._held_bytes

    def _forget(self, entry: Entry) -> None:
        self._held -= 1
        self._held_bytes -= entry.size
        self.unpark(entry)
        self._open.pop(entry.token, None)


def _ended_prefix(entries: deque[Entry], limit: int) -> list[Entry]:
    return list(takewhile(lambda entry: entry.ended is not None, islice(entries, limit)))
