"""Waiting for what takes its time: a job's end, an API that is being prepared."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from stream_infer.clients import calls
from stream_infer.clients.call import Call
from stream_infer.clients.errors import WaitTimeout
from stream_infer.clients.steps import Pause, Steps, ask
from stream_infer.errors import ServiceUnavailable
from stream_infer.gateway.representations import JobBody

T = TypeVar("T")
PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Pace:
    """Looks come `first_s` apart at the beginning and `longest_s` in the end, each pause half as long again."""

    first_s: float = 0.1
    longest_s: float = 1.0

    def after(self, pause_s: float) -> float:
        return min(self.longest_s, pause_s * 1.5)


class Absence:
    """Of a gateway. For less than a minute it is waited for: what it tells of goes on without it."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._since: float | None = None

    def is_long(self) -> bool:
        """It was not there once more."""
        self._since = self._now() if self._since is None else self._since
        return self._now() - self._since > PATIENCE_S

    def end(self) -> None:
        self._since = None


def until(
    look: Call[T],
    is_there: Callable[[T], bool],
    *,
    timeout_s: float | None,
    what: str,
    seen: Callable[[T], None] = lambda _found: None,
    pace: Pace = Pace(),
    now: Callable[[], float] = time.monotonic,
) -> Steps[T]:
    """What `look` finds once that `is_there`; `seen` is told of each finding.

    A gateway that is away is waited for, as `Absence` says. Raises WaitTimeout, which says `what` was waited for, or
    what `look` raises.
    """
    began, pause_s = now(), pace.first_s
    absence = Absence(now)
    while True:
        try:
            found = yield from ask(look)
        except ServiceUnavailable:
            if absence.is_long():
                raise
        else:
            absence.end()
            seen(found)
            if is_there(found):
                return found
        left_s = float("inf") if timeout_s is None else began + timeout_s - now()
        if left_s <= 0:
            raise WaitTimeout(f"{what} within {timeout_s:g} s; it goes on")
        yield Pause(min(pause_s, left_s))
        pause_s = pace.after(pause_s)


def job_ended(job_id: str, *, timeout_s: float | None, seen: Callable[[JobBody], None]) -> Steps[JobBody]:
    """The job in its final state. Raises as `until` does."""
    what = f"job {job_id} has not ended"
    return until(calls.job(job_id), lambda job: job.is_final, timeout_s=timeout_s, what=what, seen=seen)
