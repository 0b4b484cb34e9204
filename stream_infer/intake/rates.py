"""How fast an API's items end, all its jobs together. Pure: time is passed in."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from stream_infer.jobs.status import JobStatus

_OVER_S = 10.0
_FROM_S = 1.0
_EVERY_S = 0.1


class ApiRate:
    """Of one API, from the rows of its active jobs as they are seen again and again.

    A job's own rate is over the time in which items of it ended. Where jobs take turns in one line the sum of theirs
    says too much: measured, two at 450 a second each showed 650, and had twice as much waiting as they may.
    """

    def __init__(self) -> None:
        self._ended: dict[str, int] = {}
        self._total = 0
        self._seen: deque[tuple[float, int]] = deque()

    def note(self, active: Sequence[JobStatus], now: float) -> float:
        """Items a second, over the last seconds in which there was work; never more than the jobs themselves say."""
        for job in active:
            self._total += max(0, job.counts.ended - self._ended.get(job.job_id, job.counts.ended))
        self._ended = {job.job_id: job.counts.ended for job in active}
        said = sum(job.rate for job in active if job.has_work)
        if not any(job.counts.waiting > 0 for job in active):
            self._seen.clear()
            return said
        measured = self._measured(now)
        return said if measured is None else min(said, measured)

    def _measured(self, now: float) -> float | None:
        """None while that cannot be said: since the last rest, or the first item's end, too little time has passed."""
        seen = self._seen
        while seen and seen[0][0] < now - _OVER_S:
            seen.popleft()
        if seen and seen[0][1] == self._total:
            seen.clear()  # nothing has ended since: it is loading
        if not seen or now - seen[-1][0] >= _EVERY_S:
            seen.append((now, self._total))
        began, first = seen[0]
        return (self._total - first) / (now - began) if now - began >= _FROM_S else None
