"""How many of a job's items had ended when, for a plot of its throughput. Pure.

It is made of the rows of `status` alone, so every replica has the same; what compaction has taken from the topic
before a gateway started is not in it.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple, Self

from stream_infer.jobs.status import JobStatus, State

MOST_POINTS = 120
_FIRST_STEP_S = 1.0


class Point(NamedTuple):
    """So many items had `ended` at `at`, in seconds since the epoch."""

    at: float
    ended: int


class Stretch(NamedTuple):
    """From the point before up to `at`: `rate` items ended a second."""

    at: float
    ended: int
    rate: float


@dataclass(frozen=True, slots=True)
class History:
    """Of one generation. Points are `step` seconds apart at least, but for the last one; there are at most 120.

    `pairs` are their numbers in turns, 2 kB of them and not 14: a gateway has a history of every job that it remembers.
    """

    generation: int
    pairs: array[float]
    step: float = _FIRST_STEP_S

    @classmethod
    def of(cls, generation: int, points: Iterable[Point], step: float = _FIRST_STEP_S) -> Self:
        return cls(generation, array("d", chain.from_iterable(points)), step)

    @property
    def points(self) -> tuple[Point, ...]:
        return tuple(Point(at, int(ended)) for at, ended in zip(self.pairs[::2], self.pairs[1::2], strict=True))

    def stretches(self) -> Iterator[Stretch]:
        """The first one is the beginning, at which nothing has ended in no time."""
        points = self.points
        before = points[0]
        for point in points:
            seconds = point.at - before.at
            rate = max(0, point.ended - before.ended) / seconds if seconds > 0 else 0.0
            yield Stretch(point.at, point.ended, rate)
            before = point


def seen(history: History | None, status: JobStatus) -> History:
    """The history of the job with one more row of it."""
    if history is None or history.generation != status.generation:
        history = History.of(status.generation, (_beginning(status),))
    for point in _points(status):
        history = _with_point(history, point)
    return history


def _beginning(status: JobStatus) -> Point:
    """Of a later generation it is the first row that is seen of it: what had ended before is no work of its own."""
    if status.generation == 1:
        return Point(status.submitted_at, 0)
    return Point(status.rate_since, status.rate_ended)


def _points(status: JobStatus) -> Iterator[Point]:
    """When the row's rate was taken; and when the job was drained, where more had ended until then."""
    yield Point(status.rate_since, status.rate_ended)
    drained_at = status.times.get(State.FINALIZING)
    if drained_at is not None and status.counts.ended > status.rate_ended:
        yield Point(drained_at, status.counts.ended)


def _with_point(history: History, point: Point) -> History:
    last_at, last_ended = history.pairs[-2:]
    if point.at < last_at or (point.at == last_at and point.ended >= last_ended):
        return history
    points, step = history.points, history.step
    if point.at == last_at:
        # Items that had ended were reopened since: none of what they do next is work that was done before.
        return History.of(history.generation, (*points[:-1], point), step)
    if len(points) > 1 and points[-1].at - points[-2].at < step:
        points = points[:-1]
    points += (point,)
    if len(points) > MOST_POINTS:
        points, step = (*points[:-1:2], points[-1]), step * 2
    return History.of(history.generation, points, step)
