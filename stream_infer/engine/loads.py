"""Instances that could not be made for their jobs: the fault is the job's, not its items'. Pure: time is passed in.

    a constructor raises, or takes the process down    after a delay another attempt; the last one fails the job
    it is not done within `load_timeout_s`             fails the job: each further one would keep all others waiting
    memory runs out                                    at once again, in a process that has no other job's instance;
                                                       the third time fails the job
    somebody else kills the process                    at once again like that; from the third time on as a crash

Meanwhile the job's items go back without a call, and other jobs' are predicted. A hook's attempts are its caller's: the
failure of one that is to have no further one is `final`.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace

from stream_infer.engine.isolation import (
    DEATHS_ALONE,
    Call,
    Died,
    Ending,
    Exhausted,
    OutOfMemory,
    PredictorCrashed,
    PredictorTimedOut,
    Raised,
    Verdict,
)
from stream_infer.engine.policy import EnginePolicy
from stream_infer.engine.task import Answer
from stream_infer.errors import ItemError, Stage
from stream_infer.predictors.finding import full_name
from stream_infer.records import Failure


@dataclass(frozen=True, slots=True)
class _Failed:
    """`attempts` have failed, the last one with `failure`; the next one is not to begin before `until`."""

    attempts: int
    until: float
    failure: Failure


class Loads:
    """The jobs whose instance could not be made. The job None is that of items without one, which nobody can fail."""

    def __init__(self, policy: EnginePolicy) -> None:
        self._most = policy.load_attempts
        self._delays = policy.load_delays_s
        self._failed: dict[str | None, _Failed] = {}
        self._deaths: Counter[str | None] = Counter()

    def judge(self, call: Call, ending: Ending, now: float) -> Verdict | None:
        """What to do about the tasks of a call that ended while its job's instance was made. None: it was not."""
        if call.loading_since is None:
            return None
        match ending:
            case Raised() if ending.failure.of_job:
                failure = self._fail(call, ending.failure, now)
            case Died(timed_out=True):
                failure = self._fail(call, _died(call, ending, PredictorTimedOut), now, most=1)
            case Died(killed=False):
                failure = self._fail(call, _died(call, ending, PredictorCrashed), now)
            case Died() | Exhausted():
                self._deaths[call.job_id] += 1
                deaths = self._deaths[call.job_id]
                if deaths < DEATHS_ALONE:
                    return Verdict(
                        [], [call.tasks], call.suspect, True, call.miscounted, call.whole, deaths=call.deaths
                    )
                if isinstance(ending, Exhausted):
                    failure = self._fail(call, _full(call, ending, deaths), now, most=1)
                else:  # it may have been for others' sake that the kernel was short of memory
                    failure = self._fail(call, _died(call, ending, PredictorCrashed), now)
            case _:
                return None
        return Verdict([Answer(task.token, failure) for task in call.tasks])

    def refusal(self, call: Call, now: float) -> Failure | None:
        """Why the call is not to be made now. A hook is: its caller counts its attempts."""
        if not self._failed or call.is_hook:
            return None
        failed = self._failed.get(call.job_id)
        return None if failed is None or now >= failed.until else _refusal(failed, now)

    def succeed(self, call: Call) -> None:
        """The call's job has its instance."""
        self.forget(call.job_id)

    def forget(self, job_id: str | None) -> None:
        self._failed.pop(job_id, None)
        self._deaths.pop(job_id, None)

    def forget_all(self) -> None:
        """Something that all may need was away: no attempt so far counts."""
        self._failed.clear()
        self._deaths.clear()

    def _fail(self, call: Call, failure: Failure, now: float, most: int | None = None) -> Failure:
        """Counts an attempt, of which there are `most`; what the call's items are answered with."""
        assert call.loading_since is not None
        if call.is_hook:
            return replace(failure, final=most == 1)
        job_id, before = call.job_id, self._failed.get(call.job_id)
        if before is not None and call.loading_since < before.until:  # it was in the child when that one failed
            return _refusal(before, now)
        attempts = 1 + (0 if before is None else before.attempts)
        # Nobody's attempts at what belongs to no job are counted, so the next one is soon.
        place = 0 if job_id is None else min(attempts, len(self._delays)) - 1
        wait = max(self._delays[place], failure.retry_after or 0.0)
        if job_id is None:  # its items have attempts of their own, and a breaker
            failed = _Failed(attempts, now + wait, replace(failure, final=False, of_job=False))
        elif attempts >= (most or self._most):
            times = f" ({attempts} times)" if attempts > 1 else ""
            ended = replace(failure, message=failure.message + times, retryable=False, final=True, retry_after=None)
            failed = _Failed(attempts, math.inf, ended)
        else:
            failed = _Failed(attempts, now + wait, replace(failure, retryable=True, final=False))
        self._failed[job_id] = failed
        return _until(failed, now)


def _until(failed: _Failed, now: float) -> Failure:
    """Its items' failure, which says when they may come again."""
    if not failed.failure.retryable:
        return failed.failure
    return replace(failed.failure, retry_after=max(0.0, failed.until - now))


def _refusal(failed: _Failed, now: float) -> Failure:
    """That of items which come before the next attempt: also where they belong to no job, this one was not theirs."""
    if failed.failure.final:
        return failed.failure
    return _until(replace(failed, failure=replace(failed.failure, retryable=True, of_job=True)), now)


def _died(call: Call, ending: Died, kind: type[ItemError]) -> Failure:
    return _of_job(call, kind, f"the predictor's process {ending.how} while it made its instance", ending.stderr)


def _full(call: Call, ending: Exhausted, deaths: int) -> Failure:
    message = f"{ending.failure.message} while it made its instance, {deaths} times"
    return _of_job(call, OutOfMemory, message, ending.failure.stacktrace)


def _of_job(call: Call, kind: type[ItemError], message: str, stack: str) -> Failure:
    whose = "what belongs to no job" if call.job_id is None else f"job {call.job_id}"
    return Failure(
        Stage.PREDICT, full_name(kind), f"{whose} cannot be served: {message}", stack, final=True, of_job=True
    )
