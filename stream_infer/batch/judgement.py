"""What follows from a failure: another attempt, the file's end, or the run's. Pure; time is passed in."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from stream_infer.errors import Stage
from stream_infer.records import Failure
from stream_infer.settings import BreakerSettings, RetrySettings


@dataclass(frozen=True, slots=True)
class Attempts:
    """How often a file is tried, and how long it waits in between. Attempts count from 1, times are seconds."""

    most: int
    delays: tuple[float, ...]
    longest_wait: float

    @classmethod
    def of(cls, retry: RetrySettings) -> Attempts:
        return cls(retry.max_attempts, tuple(retry.delays), retry.max_wait)

    def delay_after(self, attempt: int, failure: Failure) -> float | None:
        """None: the file has failed. Only what calls itself retryable is tried again within a run."""
        if not failure.retryable or attempt >= self.most:
            return None
        own = self.delays[min(attempt, len(self.delays)) - 1]
        wish = 0.0 if failure.retry_after is None else failure.retry_after
        return max(own, min(wish, self.longest_wait))


class Alarm:
    """Rings when the predictor itself, and no longer single files, is what fails: more than `max_ratio` of the last
    `window` files."""

    def __init__(self, breaker: BreakerSettings) -> None:
        self._most = breaker.max_ratio * breaker.window
        self._is_on = breaker.max_ratio < 1
        self._last: deque[bool] = deque(maxlen=breaker.window)
        self._failed = 0

    def note(self, failure: Failure | None) -> None:
        is_its_own = failure is not None and failure.stage is Stage.PREDICT
        if len(self._last) == self._last.maxlen:
            self._failed -= self._last[0]
        self._last.append(is_its_own)
        self._failed += is_its_own

    @property
    def rings(self) -> bool:
        return self._is_on and len(self._last) == self._last.maxlen and self._failed > self._most

    def __str__(self) -> str:
        return f"{self._failed} of the last {len(self._last)} files failed in the predictor"
