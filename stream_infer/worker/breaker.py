"""Tells a broken model from a job of bad items, by the first attempts of late. Pure.

An item that was asked to come again says nothing against its job: a service that the model needs may be away. Nor do
the items of a replay, which were bad before.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from stream_infer.records import Failure


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """Trips when more than `max_ratio` of the last `window` first attempts have failed. 1: never."""

    max_ratio: float
    window: int


class Blame(NamedTuple):
    """A job whose items are not what the predictor takes: `failed` of the `seen` first attempts in the window."""

    job_id: str
    failed: int
    seen: int
    example: Failure


class _Attempt(NamedTuple):
    job_id: str | None
    failure: Failure | None


class Breaker:
    """The window. A job-less item counts with the job None."""

    def __init__(self, policy: BreakerPolicy) -> None:
        self._policy = policy
        self._attempts: deque[_Attempt] = deque(maxlen=policy.window)
        self._failed = 0

    def note(self, job_id: str | None, failure: Failure | None) -> None:
        """One first attempt, and how the predictor failed if it did."""
        attempts = self._attempts
        if len(attempts) == self._policy.window and attempts[0].failure is not None:
            self._failed -= 1
        attempts.append(_Attempt(job_id, failure))
        if failure is not None:
            self._failed += 1

    def note_successes(self, job_id: str | None, count: int) -> None:
        """So many first attempts that succeeded."""
        if count < self._policy.window:
            for _ in range(count):
                self.note(job_id, None)
        else:
            self._attempts.extend([_Attempt(job_id, None)] * self._policy.window)
            self._failed = 0

    @property
    def is_tripped(self) -> bool:
        policy = self._policy
        return len(self._attempts) == policy.window and self._failed > policy.max_ratio * policy.window

    @property
    def failed_ratio(self) -> float:
        """Of a whole window; 0 before there is one."""
        return self._failed / self._policy.window if len(self._attempts) == self._policy.window else 0.0

    @property
    def last_failure(self) -> Failure | None:
        return next((attempt.failure for attempt in reversed(self._attempts) if attempt.failure is not None), None)

    def clear(self) -> None:
        self._attempts.clear()
        self._failed = 0

    def blame(self, max_ratio_of: Callable[[str], float]) -> list[Blame]:
        """The fewest jobs without whose items the window would be well; empty where no job is to blame."""
        seen = Counter(attempt.job_id for attempt in self._attempts)
        failed = Counter(attempt.job_id for attempt in self._attempts if attempt.failure is not None)
        examples = {
            attempt.job_id: attempt.failure
            for attempt in self._attempts
            if attempt.failure is not None and not attempt.failure.retryable
        }
        hard = Counter(
            attempt.job_id
            for attempt in self._attempts
            if attempt.failure is not None and not attempt.failure.retryable
        )
        left_seen, left_failed = len(self._attempts), self._failed
        blamed: list[Blame] = []
        for job_id, bad in hard.most_common():
            if left_failed <= self._policy.max_ratio * left_seen:
                break
            if job_id is None or bad <= max_ratio_of(job_id) * seen[job_id]:
                continue
            blamed.append(Blame(job_id, bad, seen[job_id], examples[job_id]))
            left_seen -= seen[job_id]
            left_failed -= failed[job_id]
        return blamed
