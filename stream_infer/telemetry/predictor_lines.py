"""To which jobs a line that the predictor printed belongs."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection
from typing import Protocol

# A line and the word of the call in which it was printed come by two ways, read by two threads; either may be late by
# what the worker's loop does between two looks, such as a commit.
_APART_S = 0.1
_HELD_LINES = 200


class LineLog(Protocol):
    """What of a JobLog is needed here."""

    def line(self, job_ids: Collection[str], text: str) -> None: ...


class PredictorLines:
    """For `Engine(on_line=…)`: each line goes to `echo`, and to the logs of the jobs whose items are in the child.

    A line printed within 0.1 s of the change from one job to another may stand with both. Lines of a predictor that
    loads, or has had nothing to do for longer, belong to no job.
    """

    def __init__(self, log: LineLog, echo: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._echo = echo
        self._clock = clock
        # Replaced as one by the loop's thread, read by the pump's: the jobs, and when those before them left.
        self._state: tuple[frozenset[str], dict[str, float]] = (frozenset(), {})
        self._early: deque[tuple[float, str]] = deque(maxlen=_HELD_LINES)

    def now_in_child(self, jobs: frozenset[str]) -> None:
        """Called in the loop's thread whenever a call begins or ends; free of charge where nothing changes."""
        before, left = self._state
        if jobs == before:
            return
        now = self._clock()
        recent = {job: at for job, at in left.items() if now - at < _APART_S and job not in jobs}
        self._state = (jobs, recent | dict.fromkeys(before - jobs, now))
        while jobs and self._early:
            at, line = self._early.popleft()
            if now - at < _APART_S:
                self._log.line(jobs, line)

    def __call__(self, line: str) -> None:
        """In the thread that reads the child's output."""
        self._echo(line)
        jobs, left = self._state
        now = self._clock()
        jobs |= {job for job, at in left.items() if now - at < _APART_S}
        if jobs:
            self._log.line(jobs, line)
        else:
            self._early.append((now, line))
