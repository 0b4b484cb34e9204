"""What is held of items: each as an entry, or those in a row that are alike as one stretch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from stream_infer.alike import Alike
from stream_infer.headers import read_item, size_of_headers
from stream_infer.jobs.events import HookEnded
from stream_infer.records import JSON, Failure, Item, Output, Payload, Run
from stream_infer.shaping.shaping import Shaping
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


# Bytes of a value below which two new tuples are more than they spare; of key and headers that any record has room for.
_WORTH_IT = 512
_LARGEST_BURDEN = 64 * 1024


class Entry:
    """One offset on its way. `next_offset` is where the group stands once it is delivered.

    `size` is what is held of it in bytes, without key and headers, `jobless` says that nobody submitted the job it
    names, `tries` counts a hook's. `failure` is what the predictor made of it, whatever has been decided about that
    since. `failed_at`: when it failed, in seconds since the epoch. `parked`: nobody works on it. `suspect`: a
    predictor's process has died with it. `shaping`: what is done to its input and output; `sent`: what its reference
    led to, where that is to be joined with its output.

    No dataclass: what nearly no entry has is the class's until it is set (measured: half the time to make one).
    """

    length = 1
    jobless: bool = False
    shaping: Shaping | None = None
    sent: Payload | None = None
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

    @property
    def held_input(self) -> int:
        """Bytes that are held of what was sent: for its output, for a retry, for a dead letter."""
        message = 0 if self.item is None else len(self.item.message.value or b"")
        return message if self.sent is None else message + len(self.sent.data)

    def let_go_of_payload(self) -> int:
        """It has succeeded: how many bytes of the record's value are still held.

        What cannot carry a result beside its key ends as a dead letter after all, and that takes the value.
        """
        self.sent = None
        if self.item is None or self.item.message.value is None:
            return 0
        message, held = self.item.message, len(self.item.message.value)
        if held < _WORTH_IT or len(message.key or b"") + size_of_headers(message.headers) > _LARGEST_BURDEN:
            return held
        self.item = self.item._replace(message=message._replace(value=None))
        return 0

    @property
    def has_ended(self) -> bool:
        return self.ended is not None

    @property
    def ended_in_front(self) -> int:
        """How many items, from the first on, have ended."""
        return 0 if self.ended is None else 1


# Of an output of a stretch: with its key and its headers far below what a record may carry.
_LARGEST_ALIKE = 64 * 1024


class Stretch:
    """Items in a row that are alike, in the ledger as one: no object is made of each unless one of them stands out.

    Their tokens are `first` and those behind it. `outputs`, of one content type, are None where one has not ended yet:
    `left` so many. `size` as in an entry.
    """

    __slots__ = ("alike", "content_type", "first", "left", "outputs", "run", "size")

    def __init__(self, run: Run, alike: Alike, first: int) -> None:
        self.run = run
        self.alike = alike
        self.first = first
        self.outputs: list[bytes | None] = [None] * len(run.offsets)
        self.content_type = JSON
        self.left = len(run.offsets)
        self.size = sum([len(value or b"") for value in run.values])

    @property
    def length(self) -> int:
        return len(self.outputs)

    @property
    def has_ended(self) -> bool:
        return not self.left

    @property
    def ended_in_front(self) -> int:
        """How many items, from the first on, have ended."""
        return self.outputs.index(None) if self.left else self.length

    @property
    def partition(self) -> Partition:
        return self.run.topic, self.run.partition

    @property
    def next_offset(self) -> int:
        return self.run.offsets[-1] + 1

    def accept(self, start: int, values: Sequence[bytes], content_type: str) -> bool:
        """Takes outputs for the items from `start` on; False: they are not alike, or too large to go unseen."""
        is_other = content_type != self.content_type and self.left < self.length
        if is_other or max(map(len, values)) > _LARGEST_ALIKE:
            return False
        self.content_type = content_type
        self.outputs[start : start + len(values)] = values
        self.left -= len(values)
        before = sum([len(value or b"") for value in self.run.values[start : start + len(values)]])
        self.size += sum(map(len, values)) - before
        self.run.values[start : start + len(values)] = [None] * len(values)
        return True

    def split(self, at: int) -> tuple[Stretch, Stretch]:
        """Its first `at` items, and the others: each a stretch of its own."""
        return self._slice(0, at), self._slice(at, self.length)

    def _slice(self, start: int, end: int) -> Stretch:
        alike = Alike(self.alike.content_type, self.alike.job_id, self.alike.own[start:end])
        part = Stretch(self.run.slice(start, end), alike, self.first + start)
        part.outputs = self.outputs[start:end]
        part.content_type = self.content_type
        part.left = part.outputs.count(None)
        part.size += sum([len(value) for value in part.outputs if value is not None])
        return part

    def entries(self) -> list[Entry]:
        """Each item as one of its own."""
        made: list[Entry] = []
        for at, message in enumerate(self.run.messages()):
            entry = Entry(read_item(message), message.offset + 1, self.first + at, len(message.value or b""))
            value = self.outputs[at]
            if value is not None:
                entry.ended, entry.size = Output(value, self.content_type), len(value)
            made.append(entry)
        return made


Part: TypeAlias = Entry | Stretch


@dataclass(slots=True)
class Prefix:
    """What can be delivered of one partition, and the offset to commit with it."""

    partition: Partition
    parts: Sequence[Part]

    @property
    def offset(self) -> int:
        return self.parts[-1].next_offset

    @property
    def length(self) -> int:
        """Of how many items and marks."""
        return sum([part.length for part in self.parts])

    @property
    def size(self) -> int:
        return sum([part.size for part in self.parts])


def written_ms(parts: Iterable[Part]) -> int | None:
    """When the first record among them was written; None where there are only marks."""
    for part in parts:
        if isinstance(part, Stretch):
            return part.run.timestamps_ms[0]
        if part.item is not None:
            return part.item.message.timestamp_ms
    return None


def ended_prefix(parts: Iterable[Part], max_entries: int, max_bytes: float, *, results_only: bool) -> list[Part]:
    """A stretch is taken whole, though it may be longer than what is left."""
    prefix: list[Part] = []
    for part in parts:
        if max_entries <= 0 or max_bytes <= 0 or not part.has_ended:
            break
        if results_only and isinstance(part, Entry) and not isinstance(part.ended, Output | Nothing):
            break
        prefix.append(part)
        max_entries -= part.length
        max_bytes -= part.size
    return prefix
