"""To which jobs a line that the predictor printed belongs, and how much of it the worker's own output bears."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Collection
from typing import NamedTuple, Protocol

from structlog.contextvars import bound_contextvars

from stream_infer.telemetry.line_budget import LineBudget, LinePolicy

# A line and the word of the call in which it was printed come by two ways, read by two threads; either may be late by
# what the worker's loop does between two looks, such as a commit.
_APART_S = 0.1
# The thread that reads lines may have to wait for its turn: where no other job has begun, a late line is still theirs.
_IDLE_S = 2.0
_HELD_LINES = 200
_PREDICTOR = "predictor"
_POLICY = LinePolicy()


class LineLog(Protocol):
    """What of a JobLog is needed here."""

    def line(self, job_ids: Collection[str], text: str) -> None: ...


class BoundedEcho:
    """Passes lines on to `echo`, as many as a job's log would take; what is dropped is told once a second, before the
    next line that is not. Safe to share between threads: a child that is replaced may still speak.

    A line that `echo` cannot write is dropped: a full disk, or an output that somebody has closed, ends nothing.
    """

    def __init__(
        self,
        echo: Callable[[str], None],
        policy: LinePolicy = _POLICY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._echo = echo
        self._budget = LineBudget(policy)
        self._clock = clock
        self._lock = threading.Lock()

    def __call__(self, line: str) -> None:
        with self._lock:
            now = self._clock()
            if self._budget.take(_PREDICTOR, now):
                self._say_dropped(now, at_once=False)
                self._write(line)

    def close(self) -> None:
        """Tells what was dropped last."""
        with self._lock:
            self._say_dropped(self._clock(), at_once=True)

    def _say_dropped(self, now: float, *, at_once: bool) -> None:
        for lines in self._budget.take_dropped(now, at_once=at_once).values():
            self._write(f"… {lines} {'line' if lines == 1 else 'lines'} of the predictor dropped")

    def _write(self, line: str) -> None:
        with contextlib.suppress(OSError, ValueError):  # ValueError: a closed file
            self._echo(line)


class _Early(NamedTuple):
    """A line that was read while nothing was in the child, and the jobs that have it already."""

    at: float
    line: str
    told: frozenset[str]


class PredictorLines:
    """For `Engine(on_line=…)`: each line goes to `echo`, and to the logs of the jobs whose items are in the child.

    A line printed within 0.1 s of the change from one job to another may stand with both. Lines of a predictor that
    loads, or has had nothing to do for 2 s, belong to no job.
    """

    def __init__(self, log: LineLog, echo: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._echo = echo
        self._clock = clock
        # Replaced as one by the loop's thread, read by the pump's: the jobs, and when those before them left.
        self._state: tuple[frozenset[str], dict[str, float]] = (frozenset(), {})
        self._early: deque[_Early] = deque(maxlen=_HELD_LINES)

    def now_in_child(self, jobs: frozenset[str]) -> None:
        """Called in the loop's thread whenever a call begins or ends; free of charge where nothing changes."""
        before, left = self._state
        if jobs == before:
            return
        now = self._clock()
        recent = {job: at for job, at in left.items() if now - at < _APART_S and job not in jobs}
        self._state = (jobs, recent | dict.fromkeys(before - jobs, now))
        while jobs and self._early:
            early = self._early.popleft()
            if now - early.at < _APART_S and jobs - early.told:
                self._log.line(jobs - early.told, early.line)

    def __call__(self, line: str) -> None:
        """In the thread that reads the child's output."""
        in_child, left = self._state
        now, within_s = self._clock(), _APART_S if in_child else _IDLE_S
        jobs = in_child | {job for job, at in left.items() if now - at < within_s}
        with bound_contextvars(job_ids=sorted(jobs)):  # not `job_id`: these lines come to the jobs' logs by themselves
            self._echo(line)
        if jobs:
            self._log.line(jobs, line)
        if not in_child:
            self._early.append(_Early(now, line, jobs))
