"""Many lines in little memory: their bytes one behind the other, and three numbers for each."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import le
from typing import overload

# A line without an ordinal comes behind all that have one; an ordinal has 18 digits at most (headers.py).
_NO_ORDINAL = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Line:
    """One record as it will stand in an object. `ordinal` is its item's place in the job's source, where known."""

    offset: int
    ordinal: int | None
    data: bytes


class PackedLines(Sequence[Line]):
    """Lines of one partition. Measured with lines of 156 bytes: 188 each, where objects of their own took 317."""

    __slots__ = ("_data", "_ends", "_offsets", "_ordinals")

    def __init__(self, lines: Iterable[Line] = ()) -> None:
        self._data = bytearray()
        self._ends = array("q")
        self._offsets = array("q")
        self._ordinals = array("q")
        for line in lines:
            self.append(line)

    def append(self, line: Line) -> None:
        self._data += line.data
        self._ends.append(len(self._data))
        self._offsets.append(line.offset)
        self._ordinals.append(_NO_ORDINAL if line.ordinal is None else line.ordinal)

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, at: int) -> Line: ...
    @overload
    def __getitem__(self, at: slice) -> PackedLines: ...
    def __getitem__(self, at: int | slice) -> Line | PackedLines:
        if isinstance(at, slice):
            return self._taken(range(*at.indices(len(self))))
        number = range(len(self))[at]
        start = self._ends[number - 1] if number else 0
        ordinal = self._ordinals[number]
        data = bytes(self._data[start : self._ends[number]])
        return Line(self._offsets[number], None if ordinal == _NO_ORDINAL else ordinal, data)

    @property
    def body(self) -> bytes:
        """All lines, one behind the other."""
        return bytes(self._data)

    @property
    def offsets(self) -> tuple[int, int]:
        """The lowest and the highest; there is at least one line."""
        return min(self._offsets), max(self._offsets)

    @property
    def ordinals(self) -> tuple[int | None, int | None]:
        """The lowest and the highest of those that have one."""
        known = [min(self._ordinals), max((one for one in self._ordinals if one != _NO_ORDINAL), default=_NO_ORDINAL)]
        first, last = (None if one == _NO_ORDINAL else one for one in known)
        return first, last

    def in_order(self) -> PackedLines:
        """By ordinal, those without one last, and by offset where that is the same."""
        if _is_ascending(self._offsets) and _is_ascending(self._ordinals):
            return self
        by_offset = sorted(range(len(self)), key=self._offsets.__getitem__)
        return self._taken(sorted(by_offset, key=self._ordinals.__getitem__))

    def _taken(self, places: Iterable[int]) -> PackedLines:
        taken = PackedLines()
        with memoryview(self._data) as data:
            for at in places:
                taken._data += data[self._ends[at - 1] if at else 0 : self._ends[at]]
                taken._ends.append(len(taken._data))
                taken._offsets.append(self._offsets[at])
                taken._ordinals.append(self._ordinals[at])
        return taken

    def split(self, max_bytes: int) -> Iterator[PackedLines]:
        """Runs of lines of at most `max_bytes` together; a line that is larger stands alone."""
        if len(self._data) <= max_bytes:
            yield self
            return
        start = begin = 0
        for number, end in enumerate(self._ends):
            before = self._ends[number - 1] if number else 0
            if number > start and end - begin > max_bytes:
                yield self[start:number]
                start, begin = number, before
        yield self[start:]


def _is_ascending(numbers: array[int]) -> bool:
    return all(map(le, numbers, islice(numbers, 1, None)))
