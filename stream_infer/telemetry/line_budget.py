"""How many lines a job may have published, and how many of it were not. No I/O; time is passed in."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LinePolicy:
    """Lines a second and at once, for each job; what was dropped is said once every `say_every` seconds."""

    per_second: float = 200.0
    burst: float = 1000.0
    say_every: float = 1.0


@dataclass(slots=True)
class _Bucket:
    left: float
    at: float


class LineBudget:
    """One bucket a job; a job that has been quiet long enough to have a full one is forgotten.

    `now` in seconds of a clock that never goes back. Not thread-safe.
    """

    def __init__(self, policy: LinePolicy = LinePolicy()) -> None:
        self._policy = policy
        self._buckets: dict[str, _Bucket] = {}
        self._dropped: Counter[str] = Counter()
        self._said_at = float("-inf")

    def take(self, job_id: str, now: float) -> bool:
        """Whether the job may have a line; one that may not is counted as dropped."""
        bucket = self._buckets.setdefault(job_id, _Bucket(self._policy.burst, now))
        bucket.left, bucket.at = self._refilled(bucket, now), now
        if bucket.left < 1:
            self._dropped[job_id] += 1
            return False
        bucket.left -= 1
        return True

    def drop(self, job_id: str, lines: int = 1) -> None:
        """Counts lines that were lost on their way."""
        self._dropped[job_id] += lines

    def take_dropped(self, now: float, *, at_once: bool = False) -> dict[str, int]:
        """The lines dropped since they were last taken, by job; none before they are due."""
        if not at_once and now - self._said_at < self._policy.say_every:
            return {}
        self._said_at = now
        dropped, self._dropped = self._dropped, Counter()
        full = self._policy.burst
        self._buckets = {job: one for job, one in self._buckets.items() if self._refilled(one, now) < full}
        return dict(dropped)

    def _refilled(self, bucket: _Bucket, now: float) -> float:
        return min(self._policy.burst, bucket.left + (now - bucket.at) * self._policy.per_second)
