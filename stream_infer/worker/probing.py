"""Which held item shows whether the predictor serves again, and when. Pure: time is passed in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from stream_infer.worker.held import Entry


@dataclass(frozen=True, slots=True)
class ProbeTimes:
    """Seconds between two probes, doubling up to the cap."""

    first: float = 1.0
    cap: float = 30.0


class Probing:
    """One probe at a time. Each job has its turn, and of each its items as they are held: neither a bad item nor a job
    whose instance hangs, which takes its time with every one of them, keeps the others from being tried."""

    def __init__(self, times: ProbeTimes = ProbeTimes()) -> None:
        self._times = times
        self._next = 0.0
        self._delay = times.first
        self._tried: dict[str | None, float] = {}
        self.token: int | None = None
        """Of the item that the predictor has been given to find out."""

    def begin(self, now: float) -> None:
        """The first one is due."""
        self.stop()
        self._next, self._delay = now, self._times.first

    def stop(self) -> None:
        self.token = None
        self._tried.clear()

    def ended(self, now: float) -> None:
        """It has been answered, or has not got as far as the predictor."""
        self.token = None
        self._next = now + self._delay
        self._delay = min(self._delay * 2, self._times.cap)

    def is_due(self, now: float) -> bool:
        return self.token is None and now >= self._next

    def choose(self, held: Iterable[Entry], now: float) -> Entry | None:
        """The next one, if there is one that can be tried."""
        able = (entry for entry in held if _can_be_tried(entry, now))
        found = min(able, key=lambda entry: self._tried.get(_job_of(entry), 0.0), default=None)
        if found is not None:
            self.token = found.token
            self._tried[_job_of(found)] = now
        return found


def _can_be_tried(entry: Entry, now: float) -> bool:
    item = entry.item
    return item is not None and item.fault is None and (item.not_before is None or item.not_before <= now)


def _job_of(entry: Entry) -> str | None:
    return None if entry.item is None or entry.jobless else entry.item.job_id
