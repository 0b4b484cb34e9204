"""What a worker holds: every item it has read and not yet delivered, in the order of each partition.

Items end in any order; only the contiguous prefix that has ended is delivered and committed. The end of a partition
enters as an already ended mark, so that the prefix can reach it: transaction markers take offsets, and without the mark
lag would stay above 0 for ever (measured: 0 with the end's offset, 1 with last+1).
"""

from __future__ import annotations

import math
from collections import Counter, deque
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


class Entry:
    """One offset on its way. `next_offset` is where the group stands once it is delivered.

    `size` is what is held of it in bytes, without key and headers, `jobless` says that nobody submitted the job it
    names, `tries` counts a hook's. `failure` is what the predictor made of it, whatever has been decided about that
    since. `failed_at`: when it failed, in seconds since the epoch. `parked`: nobody works on it. `suspect`: a
    predictor's process has died with it.

    No dataclass: what nearly no entry has is the class's until it is set (measured: half the time to make one).
    """

    jobless: bool = False
    tries: int = 0
    ended: Ended | None = None
    failure: Failure | None = None
    failed_at: float | None = None
    parked: bool = False
    suspect: bool = False

    def __init__(self, item: Item | None, next_offset: int, token: int, size: int = 0) -> None:
        self.item = item
        self.next_offset = next_offset
        self.token = token
        self.size = size


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
    _reached: dict[Partition, int] = field(default_factory=dict)
    _open: dict[int, Entry] = field(default_factory=dict)
    _next_token: int = 0
    _held: int = 0
    _held_bytes: int = 0
    _parked: int = 0
    _parked_in: Counter[Partition] = field(default_factory=Counter)
    _parked_bytes: Counter[Partition] = field(default_factory=Counter)
    _held_back: dict[Position, Entry] = field(default_factory=dict)

    def assign(self, partitions: Iterable[Partition]) -> None:
        for partition in partitions:
            self._partitions.setdefault(partition, deque())

    def revoke(self, partitions: Iterable[Partition]) -> None:
        """Forgets the partitions and everything held of them."""
        for partition in partitions:
            self._reached.pop(partition, None)
            for entry in self._partitions.pop(partition, ()):
                self._forget(entry)
        if self._held_back:
            self.let_go([at for at in self._held_back if at[:2] not in self._partitions])

    def partitions(self) -> list[Partition]:
        return list(self._partitions)

    def admit(self, partition: Partition, items: Iterable[Item]) -> list[Entry]:
        """Begins items that were read one after the other; none where the partition is not ours (any more)."""
        entries = self._partitions.get(partition)
        if entries is None:
            return []
        begun: list[Entry] = []
        first, sizes = self._next_token + 1, 0
        for token, item in enumerate(items, first):
            _, _, offset, _, value, _, _ = item[0]
            size = 0 if value is None else len(value)
            sizes += size
            begun.append(Entry(item, offset + 1, token, size))
        if begun:
            self._reached[partition] = begun[-1].next_offset
        self._next_token += len(begun)
        entries.extend(begun)
        self._open.update(zip(range(first, first + len(begun)), begun, strict=True))
        self._held += len(begun)
        self._held_bytes += sizes
        return begun

    def mark_end(self, partition: Partition, offset: int) -> None:
        """Everything below `offset` has been read.

        A mark that an item stands behind already says nothing new, and would set the group back: librdkafka hands out
        an end and records that came after it in one poll.
        """
        entries = self._partitions.get(partition)
        if entries is None or self._reached.get(partition, -1) >= offset:
            return
        self._reached[partition] = offset
        self._held += 1
        mark = Entry(None, offset, 0)
        mark.ended = NOTHING
        entries.append(mark)

    def get(self, token: int) -> Entry | None:
        """The entry that has not ended yet, or None where it is not held any more."""
        return self._open.get(token)

    def offsets_of(self, tokens: Iterable[int]) -> dict[Partition, list[int]]:
        """Where the items of these tokens lie; what is no item, or not held any more, is left out."""
        offsets: dict[Partition, list[int]] = {}
        for token in tokens:
            entry = self._open.get(token)
            item = None if entry is None else entry.item
            if item is not None and item.control is None:
                message = item.message
                offsets.setdefault(message[:2], []).append(message.offset)
        return offsets

    def finish(self, token: int, ended: Ended) -> Entry | None:
        """Ends an item; None where it is not held any more."""
        entry = self._open.pop(token, None)
        if entry is not None:
            if entry.parked:
                self.unpark(entry)
            entry.ended = ended
        return entry

    def succeed(self, done: Iterable[tuple[Entry, Output]]) -> None:
        """Ends items that are open with outputs, which are held from now on in place of their payloads."""
        opened = self._open
        grown = 0
        for entry, output in done:
            del opened[entry.token]
            if entry.parked:
                self.unpark(entry)
            entry.ended = output
            value = output.value
            if value is not None:
                size = len(value)
                grown += size - entry.size
                entry.size = size
        self._held_bytes += grown

    def reopen_failed(self) -> list[Entry]:
        """What the predictor has failed and nothing has been delivered about yet has not ended after all."""
        reopened: list[Entry] = []
        for entries in self._partitions.values():
            for entry in entries:
                if entry.failure is not None and isinstance(entry.ended, Failure | Retried):
                    entry.ended = None
                    self._open[entry.token] = entry
                    reopened.append(entry)
        self.let_go([at for at, entry in self._held_back.items() if entry.ended is None])
        return reopened

    def park(self, entry: Entry) -> None:
        """Nobody works on the entry until `unpark`."""
        if not entry.parked:
            entry.parked = True
            self._count_parked(entry, 1, entry.size)

    def unpark(self, entry: Entry) -> None:
        if entry.parked:
            entry.parked = False
            self._count_parked(entry, -1, -entry.size)

    def _count_parked(self, entry: Entry, entries: int, size: int) -> None:
        self._parked += entries
        if entry.item is not None:
            partition = entry.item.message.position[:2]
            self._parked_in[partition] += entries
            self._parked_bytes[partition] += size

    def hold_back(self, entries: Iterable[Entry]) -> None:
        """These have ended, and neither they nor what is behind them can be delivered until `let_go`."""
        for entry in entries:
            if entry.item is not None:
                self._held_back[entry.item.message.position] = entry

    def let_go(self, positions: Iterable[Position]) -> None:
        for position in positions:
            self._held_back.pop(position, None)

    def is_held_back(self, partitions: Iterable[Partition]) -> bool:
        """Whether something of one of these partitions is."""
        return bool(self._held_back) and not {at[:2] for at in self._held_back}.isdisjoint(partitions)

    @property
    def is_waiting(self) -> bool:
        """Something is parked, or held back."""
        return self._parked > 0 or bool(self._held_back)

    def waiting_in(self, partition: Partition) -> tuple[int, int]:
        """How many entries of the partition are parked, or stand behind one that is held back, and their bytes."""
        if self.is_held_back([partition]):
            sizes = [entry.size for entry in self._partitions[partition]]
            return len(sizes), sum(sizes)
        return self._parked_in[partition], self._parked_bytes[partition]

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
        more = size - entry.size
        self._held_bytes += more
        if entry.parked:
            self._count_parked(entry, 0, more)
        entry.size = size

    def prefixes(self, max_entries: int, max_bytes: float = math.inf, *, results_only: bool = False) -> list[Prefix]:
        """The ended prefix of each partition, at most `max_entries` in all; the last of them may pass `max_bytes`.

        `results_only`: as far as nothing but outputs and marks stands in it.
        """
        kinds = (Output, Nothing) if results_only else (object,)
        found: list[Prefix] = []
        for partition, entries in self._partitions.items():
            if not entries or entries[0].ended is None:
                continue
            prefix, size = _ended_prefix(entries, max_entries, max_bytes, kinds)
            if self._held_back:
                prefix = list(takewhile(self._is_free, prefix))
            if prefix:
                found.append(Prefix(partition, prefix))
                max_entries -= len(prefix)
                max_bytes -= size
            if max_entries <= 0 or max_bytes <= 0:
                break
        return found

    def _is_free(self, entry: Entry) -> bool:
        return entry.item is None or self._held_back.get(entry.item.message.position) is not entry

    def begin_delivery(self, prefixes: Iterable[Prefix]) -> None:
        """A transaction has begun to deliver these: until it ends nobody else sees them, and they are held.

        Whose turn it was comes last in the next one.
        """
        for prefix in prefixes:
            entries = self._partitions.pop(prefix.partition)
            self._partitions[prefix.partition] = entries
            for _ in prefix.entries:
                entries.popleft()

    def delivered(self, prefixes: Iterable[Prefix]) -> None:
        """Lets go of what a transaction has committed: what has ended is neither open nor parked."""
        for prefix in prefixes:
            self._held -= len(prefix.entries)
            self._held_bytes -= sum([entry.size for entry in prefix.entries])

    def deliver_again(self, prefixes: Iterable[Prefix]) -> None:
        """The transaction has come to nothing. Its partitions are still ours."""
        for prefix in prefixes:
            self._partitions[prefix.partition].extendleft(reversed(prefix.entries))

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
        heads = (entries[0] for entries in self._partitions.values() if entries and entries[0].ended is not None)
        return any(self._is_free(entry) for entry in heads)

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
        if entry.parked:
            self.unpark(entry)
        self._open.pop(entry.token, None)


def _ended_prefix(
    entries: deque[Entry], max_entries: int, max_bytes: float, kinds: tuple[type, ...]
) -> tuple[list[Entry], int]:
    prefix: list[Entry] = []
    size = 0
    for entry in islice(entries, max_entries):
        if entry.ended is None or size >= max_bytes or not isinstance(entry.ended, kinds):
            break
        prefix.append(entry)
        size += entry.size
    return prefix, size
