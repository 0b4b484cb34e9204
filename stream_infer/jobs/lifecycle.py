"""`(status, event) -> status`: the whole life of a job as a pure function.

validating -> enqueuing -> running -> finalizing -> succeeded | completed_with_failures
any of the first three -> stopping -> finalizing -> stopped | timed_out | failed
any final state -> enqueuing, in the next generation, when dead letters are replayed
"""

from __future__ import annotations

from collections.abc import Iterator

from stream_infer.jobs.bounds import MOST_ITEMS
from stream_infer.jobs.counts import Counts
from stream_infer.jobs.events import (
    Counted,
    EnqueuingStarted,
    Event,
    Exhausted,
    Failed,
    Finalized,
    Hindered,
    HookEnded,
    HookPublished,
    Reopened,
    StopRequested,
    Submitted,
    TimeoutReached,
    Unhindered,
)
from stream_infer.jobs.status import ERRORS_KEPT, Cause, HinderedRole, JobStatus, Phase, State

RATE_WINDOW_S = 1.0


def fold(status: JobStatus | None, event: Event, offset: int) -> JobStatus | None:
    """The status after `event`, which lies at `offset` of the job's progress partition.

    An event at or below the row's own offset was folded before and changes nothing; one of an unknown job, but for
    its submission, neither.
    """
    if status is None:
        return _submit(event, offset) if isinstance(event, Submitted) else None
    if offset <= status.offset:
        return status
    changed = _apply(status, event)
    return _advance(changed, event.at).model_copy(update={"offset": offset})


def deadline_ahead(status: JobStatus) -> float | None:
    """When the job is ended by its timeout, in seconds since the epoch; None: nothing will, or something else does."""
    if status.state.is_final or status.cause is not None or status.phase is Phase.ASSEMBLE:
        return None
    return status.deadline


def is_timed_out(status: JobStatus, now: float) -> bool:
    """Whether the tracker's timer has to say so; `now` in seconds since the epoch."""
    deadline = deadline_ahead(status)
    return deadline is not None and now >= deadline


def _submit(event: Submitted, offset: int) -> JobStatus:
    return JobStatus(
        job_id=event.job_id,
        api=event.api,
        generation=event.generation,
        has_hook=event.has_hook,
        workers=event.workers,
        assemble=event.assemble,
        requests=event.requests,
        traceparent=event.traceparent,
        submitted_at=event.at,
        deadline=None if event.timeout_s is None else event.at + event.timeout_s,
        times={State.VALIDATING: event.at},
        rate_since=event.at,
        offset=offset,
    )


def _apply(status: JobStatus, event: Event) -> JobStatus:
    """Counts add up and a stop stops whatever generation they are of; anything else is said of one generation."""
    match event:
        case Counted():
            return _count(status, event)
        case StopRequested():
            return _end_early(status, Cause.STOP, None)
        case Reopened():
            return _reopen(status, event)
        case _ if event.generation == status.generation:
            return _apply_to_generation(status, event)
        case _:
            return status


def _apply_to_generation(status: JobStatus, event: Event) -> JobStatus:
    match event:
        case Exhausted() if not status.exhausted:
            changed = _relieve(status, HinderedRole.INTAKE).model_copy(update={"exhausted": True})
            return changed if event.error is None else _end_early(changed, Cause.FAILURE, event.error)
        case TimeoutReached():
            return _end_early(status, Cause.TIMEOUT, None) if is_timed_out(status, event.at) else status
        case Failed():
            return _end_early(status, Cause.FAILURE, event.error)
        case Hindered() if not status.state.is_final:
            return status.model_copy(update={"hindrances": {**status.hindrances, event.role: event.reason}})
        case Unhindered():
            return _relieve(status, HinderedRole.WORKER)
        case HookPublished() if status.phase is Phase.HOOK:
            return _relieve(status, HinderedRole.SINK).model_copy(update={"phase": Phase.HOOK_RUNNING})
        case HookEnded() if status.phase in (Phase.HOOK, Phase.HOOK_RUNNING):
            return _end_hook(status, event)
        case Finalized() if status.phase is Phase.ASSEMBLE:
            return _finalize(status, event)
        case EnqueuingStarted() if status.state is State.VALIDATING:
            return _enter(status, State.ENQUEUING, event.at)
        case _:
            return status


def _count(status: JobStatus, event: Counted) -> JobStatus:
    counts = status.counts + event.delta
    # What was ended and is reopened counts for no rate, neither now nor when it ends again.
    rate_ended = max(-MOST_ITEMS, status.rate_ended + min(0, event.delta.ended))
    update: dict[str, object] = {"counts": counts, "rate_ended": rate_ended}
    elapsed = event.at - status.rate_since
    if event.delta.ended > 0 and elapsed >= RATE_WINDOW_S:
        update |= {
            "rate": (counts.ended - status.rate_ended) / elapsed,
            "rate_since": event.at,
            "rate_ended": counts.ended,
        }
    return _relieve(status, *_got_done(event.delta)).model_copy(update=update)


def _got_done(delta: Counts) -> Iterator[HinderedRole]:
    """The roles whose work for the job `delta` shows."""
    if delta.enqueued > 0:
        yield HinderedRole.INTAKE
    if delta.ended > 0:
        yield HinderedRole.WORKER
    if delta.sunk > 0:
        yield HinderedRole.SINK


def _relieve(status: JobStatus, *roles: HinderedRole) -> JobStatus:
    if not any(role in status.hindrances for role in roles):
        return status
    left = {role: reason for role, reason in status.hindrances.items() if role not in roles}
    return status.model_copy(update={"hindrances": left})


def _end_early(status: JobStatus, cause: Cause, error: str | None) -> JobStatus:
    """The first cause wins. Once assembly has begun nothing is left to end.

    Whoever enqueues may be at it, an intake or a replay: it has to say that this was all before the job is drained. A
    replay that is dead is spoken for by a gateway (gateway/dead_letters/abandoned.py).
    """
    if status.state.is_final or status.cause is not None or status.phase is Phase.ASSEMBLE:
        return status
    return _with_error(status.model_copy(update={"cause": cause}), error)


def _reopen(status: JobStatus, event: Reopened) -> JobStatus:
    """The next generation of a job that was final; said again it changes nothing.

    The reasons of an earlier early end stay, since they still say why items are missing; a hook runs anew.
    """
    if not status.state.is_final or event.generation != status.generation + 1:
        return status
    earlier = status.ends_early
    reopened = status.model_copy(
        update={
            "generation": event.generation,
            "cause": None,
            "earlier": earlier,
            "exhausted": False,
            "errors": status.errors if earlier else (),
            "hook_failed": False,
            "deadline": None if event.timeout_s is None else event.at + event.timeout_s,
            "times": {State.VALIDATING.value: status.times.get(State.VALIDATING.value, status.submitted_at)},
            "rate": 0.0,
            "rate_since": event.at,
            "rate_ended": status.counts.ended,
        }
    )
    return _enter(reopened, State.ENQUEUING, event.at)


def _end_hook(status: JobStatus, event: HookEnded) -> JobStatus:
    changed = status.model_copy(update={"phase": Phase.ASSEMBLE, "hook_failed": event.error is not None})
    return _with_error(changed, event.error)


def _finalize(status: JobStatus, event: Finalized) -> JobStatus:
    if status.ends_early is not None:
        state = State(status.ends_early.value)
    elif status.counts.rejected or status.hook_failed or event.error is not None:
        state = State.COMPLETED_WITH_FAILURES
    else:
        state = State.SUCCEEDED
    update: dict[str, object] = {
        "phase": None,
        "cause": status.ends_early,
        "hindrances": {},
        "manifest": event.manifest,
        "objects": event.objects,
        "bytes": event.bytes,
    }
    return _enter(_with_error(status.model_copy(update=update), event.error), state, event.at)


def _advance(status: JobStatus, at: float) -> JobStatus:
    """Moves on as far as the facts allow: one event may open several doors."""
    if status.state.is_final:
        return status
    if status.state is State.FINALIZING:
        in_hook = status.phase in (Phase.HOOK, Phase.HOOK_RUNNING)
        return status.model_copy(update={"phase": Phase.ASSEMBLE}) if in_hook and status.cause else status
    if status.cause is not None and status.state is not State.STOPPING:
        status = _enter(status, State.STOPPING, at)
    if status.state is State.VALIDATING and status.counts.enqueued:
        status = _enter(status, State.ENQUEUING, at)
    if status.state is State.ENQUEUING and status.counts.ended:
        status = _enter(status, State.RUNNING, at)
    if status.is_drained:
        phase = Phase.HOOK if status.has_hook and status.ends_early is None else Phase.ASSEMBLE
        status = _enter(status, State.FINALIZING, at).model_copy(update={"phase": phase})
    return status


def _enter(status: JobStatus, state: State, at: float) -> JobStatus:
    return status.model_copy(update={"state": state, "times": {**status.times, state.value: at}})


def _with_error(status: JobStatus, error: str | None) -> JobStatus:
    if error is None:
        return status
    return status.model_copy(update={"errors": (*status.errors, error)[:ERRORS_KEPT]})
