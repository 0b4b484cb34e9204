"""What a worker holds: every item it has read and not yet delivered, in the order of each partition.

Items end in any order; only the contiguous prefix that has ended is delivered and committed. The end of a partition
enters as an already ended mark, so that the prefix can reach it: transaction markers take offsets, and without the mark
lag would stay above 0 for ever (measured: 0 with the end's offset, 1 with last+1).
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice, takewhile

from stream_infer.alike import Alike
from stream_infer.engine.task import AlikeAnswers, Answer
from stream_infer.records import Failure, Item, Output, Position, Run
from stream_infer.worker.held import (
    NOTHING,
    Ended,
    Entry,
    Part,
    Partition,
    Prefix,
    Stretch,
    ended_prefix,
    written_ms,
)
from stream_infer.worker.open_items import OpenItems
from stream_infer.worker.retry import Retried

# Of a partition what is looked at for the oldest record: ends of it, which are none, may stand before that.
_FRONT = 8


@dataclass(slots=True)
class Ledger:
    """Per assigned partition, the entries in offset order.

    Tokens are never used twice: an answer for a partition that was revoked, or that was rewound, finds no entry and is
    dropped. That is how outcomes of an earlier assignment end.
    """

    _partitions: dict[Partition, deque[Part]] = field(default_factory=dict)
    _reached: dict[Partition, int] = field(default_factory=dict)
    _open: OpenItems = field(default_factory=OpenItems)
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
            for part in self._partitions.pop(partition, ()):
                self._forget(part)
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
        self._open.add(begun)
        self._held += len(begun)
        self._held_bytes += sizes
        return begun

    def admit_alike(self, run: Run, alike: Alike) -> Stretch | None:
        """As `admit`, as one."""
        partition = (run.topic, run.partition)
        parts = self._partitions.get(partition)
        if parts is None:
            return None
        stretch = Stretch(run, alike, self._next_token + 1)
        self._next_token += stretch.length
        self._reached[partition] = stretch.next_offset
        parts.append(stretch)
        self._open.add_stretch(stretch)
        self._held += stretch.length
        self._held_bytes += stretch.size
        return stretch

    def _unravel(self, stretch: Stretch) -> None:
        """Makes an entry of each of its items."""
        self._open.close_stretch(stretch)
        entries = stretch.entries()
        self._open.add([entry for entry in entries if entry.ended is None])
        parts = self._partitions[stretch.partition]
        self._replace(stretch.partition, next(at for at, part in enumerate(parts) if part is stretch), entries)

    def cut_stretches(self) -> None:
        """Where a partition's next stretch has ended in part, that part becomes one of its own: a commit is due."""
        for partition, parts in self._partitions.items():
            at = next((at for at, part in enumerate(parts) if not part.has_ended), None)
            if at is None:
                continue
            part = parts[at]
            if isinstance(part, Stretch) and (ended := part.ended_in_front):
                front, rest = part.split(ended)
                self._open.close_stretch(part)
                self._open.add_stretch(rest)
                self._replace(partition, at, [front, rest])

    def _replace(self, partition: Partition, at: int, by: Iterable[Part]) -> None:
        parts = self._partitions[partition]
        self._partitions[partition] = deque([*islice(parts, at), *by, *islice(parts, at + 1, None)])

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
        entry = self._open.entry(token)
        if entry is None and (stretch := self._open.stretch(token)) is not None:
            self._unravel(stretch)
            entry = self._open.entry(token)
        return entry

    def open_of(self, job_ids: Container[str]) -> set[int]:
        """The tokens of these jobs' items, of which some may have ended."""
        return self._open.of_jobs(job_ids)

    def offsets_of(self, tokens: Sequence[int]) -> dict[Partition, list[int]]:
        """Where the items of these tokens lie; what is no item, or not held any more, is left out."""
        return self._open.offsets_of(tokens)

    def jobs_of(self, tokens: Sequence[int]) -> frozenset[str]:
        """The jobs that the items of these tokens name."""
        return self._open.jobs_of(tokens)

    def traceparents_of(self, tokens: Sequence[int]) -> set[str | bytes]:
        """On whose behalf the items of these tokens are there, as they say it."""
        return self._open.traceparents_of(tokens)

    def finish(self, token: int, ended: Ended) -> Entry | None:
        """Ends an item; None where it is not held any more."""
        entry = self.get(token)
        if entry is not None:
            self._open.close(token)
            if entry.parked:
                self.unpark(entry)
            entry.ended = ended
        return entry

    def succeed_alike(self, answers: AlikeAnswers) -> tuple[dict[str | None, int], list[Answer]]:
        """Ends items of stretches with these outputs: how many of each job. And the answers for what is in none."""
        tokens, values, content_type = answers
        ended: dict[str | None, int] = {}
        others: list[Answer] = []
        for at, part, start, end in self._open.spans(tokens):
            mine = values[at : at + end - start]
            size = part.size
            if isinstance(part, Stretch) and part.accept(start, mine, content_type):
                self._held_bytes += part.size - size
                self._open.ended_in_stretch(len(mine))
                ended[part.alike.job_id] = ended.get(part.alike.job_id, 0) + len(mine)
                if part.has_ended:
                    self._open.close_stretch(part)
            else:
                others += [
                    Answer(token, Output(value, content_type))
                    for token, value in zip(tokens[at : at + len(mine)], mine, strict=True)
                ]
        return ended, others

    def reopen_failed(self) -> list[Entry]:
        """What the predictor has failed and nothing has been delivered about yet has not ended after all."""
        reopened: list[Entry] = []
        for entries in self._partitions.values():
            for entry in entries:
                if isinstance(entry, Stretch):
                    continue
                if entry.failure is not None and isinstance(entry.ended, Failure | Retried):
                    entry.ended = None
                    reopened.append(entry)
        self._open.add(reopened)
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
            all_of_it = Prefix(partition, self._partitions[partition])
            return all_of_it.length, all_of_it.size
        return self._parked_in[partition], self._parked_bytes[partition]

    def open_tokens(self, partitions: Iterable[Partition]) -> set[int]:
        """The tokens of what has not ended in these partitions."""
        tokens: set[int] = set()
        for partition in partitions:
            for part in self._partitions.get(partition, ()):
                if isinstance(part, Stretch):
                    tokens.update([part.first + at for at, value in enumerate(part.outputs) if value is None])
                elif part.ended is None:
                    tokens.add(part.token)
        return tokens

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
        found: list[Prefix] = []
        for partition, parts in self._partitions.items():
            if not parts or not parts[0].has_ended:
                continue
            prefix = Prefix(partition, ended_prefix(parts, max_entries, max_bytes, results_only=results_only))
            if self._held_back:
                prefix.parts = list(takewhile(self._is_free, prefix.parts))
            if prefix.parts:
                found.append(prefix)
                max_entries -= prefix.length
                max_bytes -= prefix.size
            if max_entries <= 0 or max_bytes <= 0:
                break
        return found

    def _is_free(self, part: Part) -> bool:
        if isinstance(part, Stretch) or part.item is None:
            return True
        return self._held_back.get(part.item.message.position) is not part

    def begin_delivery(self, prefixes: Iterable[Prefix]) -> None:
        """A transaction has begun to deliver these: until it ends nobody else sees them, and they are held.

        Whose turn it was comes last in the next one.
        """
        for prefix in prefixes:
            parts = self._partitions.pop(prefix.partition)
            self._partitions[prefix.partition] = parts
            for _ in prefix.parts:
                parts.popleft()

    def delivered(self, prefixes: Iterable[Prefix]) -> None:
        """Lets go of what a transaction has committed: what has ended is neither open nor parked."""
        for prefix in prefixes:
            self._held -= prefix.length
            self._held_bytes -= prefix.size

    def deliver_again(self, prefixes: Iterable[Prefix]) -> None:
        """The transaction has come to nothing. Its partitions are still ours."""
        for prefix in prefixes:
            self._partitions[prefix.partition].extendleft(reversed(prefix.parts))

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
        return len(self.open_tokens(partitions))

    @property
    def in_work(self) -> int:
        """Items that somebody works on: being fetched, in the engine, or waiting to be known."""
        return len(self._open) - self._parked

    @property
    def parked(self) -> int:
        """Items that nobody works on: of those that have not ended."""
        return self._parked

    def oldest_ms(self, topic: str) -> int | None:
        """When the oldest record of the topic that is held was written, in ms since the epoch; None where none is.

        What a transaction delivers at the moment is left out. May be called from any thread.
        """
        fronts = [tuple(islice(parts, _FRONT)) for at, parts in tuple(self._partitions.items()) if at[0] == topic]
        written = [at for parts in fronts if (at := written_ms(parts)) is not None]
        return min(written, default=None)

    @property
    def has_deliverable(self) -> bool:
        return any(parts and parts[0].ended_in_front and self._is_free(parts[0]) for parts in self._partitions.values())

    @property
    def held(self) -> int:
        """Entries read and not delivered."""
        return self._held

    @property
    def held_bytes(self) -> int:
        return self._held_bytes

    def _forget(self, part: Part) -> None:
        self._held -= part.length
        self._held_bytes -= part.size
        if isinstance(part, Stretch):
            self._open.close_stretch(part)
            return
        if part.parked:
            self.unpark(part)
        self._open.close(part.token)
