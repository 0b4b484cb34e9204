"""What of a replay goes into one transaction. No I/O of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, TypeVar

from stream_infer.dead_letters import DeadLetter
from stream_infer.records import OutgoingRecord
from stream_infer.settings import MIB

T = TypeVar("T")

# Bounds what a chunk holds, and a transaction's length: it has to commit well within transaction.timeout.ms.
CHUNK_BYTES: Final = 8 * MIB


@dataclass(frozen=True, slots=True)
class Revived:
    """The item that `letter` was, as `record`; `size` in bytes."""

    letter: DeadLetter
    record: OutgoingRecord
    size: int


def in_chunks(revived: Iterable[Revived], most_items: int) -> Iterator[list[Revived]]:
    """Of at most `most_items` items and 8 MiB, or of one; a chunk is read when it is asked for."""
    chunk: list[Revived] = []
    size = 0
    for one in revived:
        if chunk and (len(chunk) >= most_items or size + one.size > CHUNK_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(one)
        size += one.size
    if chunk:
        yield chunk


def with_last(items: Iterable[T]) -> Iterator[tuple[T, bool]]:
    """Each with whether it is the last; reads one ahead."""
    held: list[T] = []
    for item in items:
        if held:
            yield held.pop(), False
        held.append(item)
    if held:
        yield held.pop(), True
