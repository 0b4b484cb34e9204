"""Outcomes come as the model has them, and are written in the order in which the files were taken. Pure."""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter
from typing import NamedTuple


class Line(NamedTuple):
    """What becomes of one file: its line, of the results or of the errors. `size`: bytes of its payload."""

    is_error: bool
    data: bytes


class Order:
    """Holds what has come too early. Ordinals count from 0, and each comes once."""

    def __init__(self) -> None:
        self._held: dict[int, Line] = {}
        self._next = 0
        self.held_bytes = 0

    @property
    def written(self) -> int:
        """How many have been handed on."""
        return self._next

    def put(self, ordinal: int, line: Line) -> None:
        self._held[ordinal] = line
        self.held_bytes += len(line.data)

    def take(self) -> list[Line]:
        """What can be written now."""
        ready: list[Line] = []
        while (line := self._held.pop(self._next, None)) is not None:
            ready.append(line)
            self._next += 1
            self.held_bytes -= len(line.data)
        return ready


def in_stretches(lines: list[Line]) -> list[tuple[bool, list[bytes]]]:
    """The lines, in their order, those of one file that follow each other together; True: of the errors."""
    return [(is_error, [line.data for line in group]) for is_error, group in groupby(lines, itemgetter(0))]
