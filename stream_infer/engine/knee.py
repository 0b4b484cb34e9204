"""Finds how many items a call of the predictor should have: beyond the knee more of them only wait for each other.

Pure: what a call takes is asked of the caller.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

# Of the best rate that was seen, what is good enough: half the batch for a twentieth of the rate is a bargain.
_GOOD = 0.95
# So many doublings that brought no more than that are enough.
_TRIES = 2


class TooMany(Exception):
    """A call of that size cannot be made; the message says why, behind "8 items "."""


class NoMemory(TooMany):
    """A call of that size does not fit."""

    def __init__(self) -> None:
        super().__init__("do not fit into memory")


@dataclass(frozen=True, slots=True)
class Measured:
    """A call of `size` items took so many seconds."""

    size: int
    seconds: float

    @property
    def rate(self) -> float:
        """Items a second."""
        return self.size / self.seconds


@dataclass(frozen=True, slots=True)
class Knee:
    """`why` there is nothing larger among the `measured`, in words."""

    size: int
    measured: tuple[Measured, ...]
    why: str

    def __str__(self) -> str:
        rates = ", ".join(f"{one.size}: {one.rate:,.3g}/s" for one in self.measured)
        return f"{self.size} item{'' if self.size == 1 else 's'} a call ({rates}; {self.why})"


def find_knee(measure: Callable[[int], float], most: int, longest_s: float, is_over: Callable[[], bool]) -> Knee:
    """Doubles the size from 1 to `most` while that makes more items a second.

    `measure` a size: the seconds of a call; raises TooMany. No call is to take more than `longest_s`. `is_over`: there
    is no time for another size. Raises TooMany where not even one item can be served.
    """
    measured: list[Measured] = []
    size, why = 1, f"{most} are the most"
    while size <= most:
        try:
            measured.append(Measured(size, max(measure(size), 1e-9)))
        except TooMany as error:
            if not measured:
                raise
            why = f"{size} {error}"
            break
        if not _gains(measured):
            why = "more make it no faster"
            break
        if 2 * measured[-1].seconds > longest_s:
            why = f"{2 * size} might take more than {longest_s:g} s"
            break
        if is_over():
            why = "there was no time for more"
            break
        size *= 2
    best = max(one.rate for one in measured)
    return Knee(next(one.size for one in measured if one.rate >= _GOOD * best), tuple(measured), why)


def _gains(measured: list[Measured]) -> bool:
    """Whether one of the last doublings was worth it."""
    before, last = measured[:-_TRIES], measured[-_TRIES:]
    if not before:
        return True
    return max(one.rate for one in last) * _GOOD > max(one.rate for one in before)
