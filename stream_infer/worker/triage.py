"""What is to be done with an item that is held. A pure function."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol, TypeAlias

from stream_infer.errors import Stage, UndecodableItem
from stream_infer.jobs.status import JobStatus, Phase
from stream_infer.ports import Reference
from stream_infer.records import REFERENCE, Control, Failure, Item, Payload
from stream_infer.references import read_reference, undecodable
from stream_infer.worker.held import NOTHING, SKIPPED, Ended
from stream_infer.worker.retry import RetryPolicy, when_due

DEADLINE_PASSED = "stream_infer.DeadlinePassed"


class Wait(Enum):
    """The item cannot be judged, or not be predicted, yet."""

    FOR_JOB = auto()
    FOR_PREDICTOR = auto()


@dataclass(frozen=True, slots=True)
class WaitUntil:
    """The item is not due before `at`, in seconds since the epoch."""

    at: float


@dataclass(frozen=True, slots=True)
class RunHook:
    """A control record: the job's `on_job_complete` is to run."""

    job_id: str


class Jobs(Protocol):
    """What is known of jobs at this moment."""

    def status(self, job_id: str) -> JobStatus | None: ...

    def is_known(self, job_id: str) -> bool: ...

    def is_skipping(self, item: Item) -> bool: ...


@dataclass(frozen=True, slots=True)
class Moment:
    """When an item is judged: `now` since the epoch, whether every job can be known, whether the predictor serves."""

    now: float
    jobs_are_current: bool
    is_serving: bool


Verdict: TypeAlias = Ended | Wait | WaitUntil | RunHook | Reference | Payload


def triage(item: Item, tier: int | None, jobs: Jobs, policy: RetryPolicy, moment: Moment) -> Verdict:
    """What becomes of `item`, read from the retry tier `tier` or from the items topic (None).

    Its end where that is clear already, or what it waits for, or what its payload needs next. An unknown job may be
    one that the view has not seen yet: the item waits until the view is current, then counts as job-less. While the
    predictor does not serve, nothing is rejected or moved to a tier; only what its job or its time ends does end.
    """
    if item.job_id is not None and not moment.jobs_are_current and not jobs.is_known(item.job_id):
        return Wait.FOR_JOB
    if item.control is not None:
        return _control(item, jobs, moment)
    if jobs.is_skipping(item):
        return SKIPPED
    if item.deadline is not None and item.deadline <= moment.now:
        late = moment.now - item.deadline
        return Failure(Stage.FETCH, DEADLINE_PASSED, f"its deadline passed {late:.1f} s ago", final=True)
    if not moment.is_serving:
        return Wait.FOR_PREDICTOR
    if item.fault is not None:
        return undecodable(item.fault)
    due = when_due(item, tier, policy, moment.now)
    if isinstance(due, float):
        return WaitUntil(due if item.deadline is None else min(due, item.deadline))
    if due is not None:
        return due
    if item.content_type == REFERENCE:
        return _reference(item)
    return item.payload


def _control(item: Item, jobs: Jobs, moment: Moment) -> Verdict:
    """A hook runs once: a record that comes again, or after a stop, finds its job in another phase.

    So does one that comes before the view has seen its job's phase; it is not asked for again, and its job would wait
    for ever.
    """
    status = None if item.job_id is None else jobs.status(item.job_id)
    in_hook = status is not None and status.phase in (Phase.HOOK, Phase.HOOK_RUNNING)
    if item.control == Control.ON_JOB_COMPLETE and in_hook and item.job_id is not None:
        return RunHook(item.job_id) if moment.is_serving else Wait.FOR_PREDICTOR
    return NOTHING if moment.jobs_are_current else Wait.FOR_JOB


def _reference(item: Item) -> Reference | Failure:
    try:
        return read_reference(item.message.value or b"")
    except UndecodableItem as error:
        return undecodable(str(error))
