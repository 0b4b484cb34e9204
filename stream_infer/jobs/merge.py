"""Many sorted objects as one stream of lines, opening each as late as possible. No I/O of its own."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence

import orjson

from stream_infer.headers import ordinal_of
from stream_infer.jobs.manifest import ManifestRecord

_LAST = float("inf")


def merge_objects(
    records: Sequence[ManifestRecord], lines_of: Callable[[ManifestRecord], Iterable[bytes]]
) -> Iterator[bytes]:
    """The lines of all objects in the order of their items' ordinals; `lines_of` begins to read an object.

    Each object is sorted, so an object is read only once its first ordinal is due, and let go after its last line: a
    job of any size is held as that many objects as overlap, about one per partition.
    """
    waiting = [(_first(record), number, record) for number, record in enumerate(records)]
    heapq.heapify(waiting)
    # Entries: (ordinal, number of the object, line, the object's rest). The number is unique, so no bytes are compared.
    open_objects: list[tuple[float, int, bytes, Iterator[tuple[float, bytes]]]] = []
    while waiting or open_objects:
        if waiting and (not open_objects or waiting[0][0] <= open_objects[0][0]):
            _, number, record = heapq.heappop(waiting)
            _push(open_objects, number, numbered_lines(lines_of(record), record.job_id))
            continue
        _, number, line, rest = heapq.heappop(open_objects)
        yield line
        _push(open_objects, number, rest)


def numbered_lines(lines: Iterable[bytes], job_id: str) -> Iterator[tuple[float, bytes]]:
    """Each line with its item's ordinal; a line without one goes last."""
    for line in lines:
        if line.strip():
            yield _ordinal(line, job_id), line if line.endswith(b"\n") else line + b"\n"


def blocks(lines: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Lines in blocks of at least `size` bytes, but for the last."""
    held: list[bytes] = []
    length = 0
    for line in lines:
        held.append(line)
        length += len(line)
        if length >= size:
            yield b"".join(held)
            held, length = [], 0
    if held:
        yield b"".join(held)


def _push(
    heap: list[tuple[float, int, bytes, Iterator[tuple[float, bytes]]]],
    number: int,
    rest: Iterator[tuple[float, bytes]],
) -> None:
    following = next(rest, None)
    if following is not None:
        heapq.heappush(heap, (following[0], number, following[1], rest))


def _first(record: ManifestRecord) -> float:
    return _LAST if record.first_ordinal is None else record.first_ordinal


def _ordinal(line: bytes, job_id: str) -> float:
    try:
        item_id = orjson.loads(line).get("item_id")
    except (orjson.JSONDecodeError, AttributeError):
        return _LAST
    ordinal = ordinal_of(job_id, item_id) if isinstance(item_id, str) else None
    return _LAST if ordinal is None else ordinal
