"""What is said on `{p}.progress`, the tracker's only input: count deltas and events, keyed by the job's id.

A delta is written in the transaction that made it true, so a sum of deltas is never ahead of the records it counts.
`at` is the writer's clock in seconds since the epoch.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from stream_infer.jobs.assembling import Assemble
from stream_infer.jobs.bounds import LONGEST_URI, ApiName, Duration, Generation, JobId, Moment, Reason, Whole, Workers
from stream_infer.jobs.counts import Counts
from stream_infer.jobs.status import HinderedRole


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    job_id: JobId
    at: Moment
    generation: Generation = 1


class Submitted(_Event):
    """By the gateway, in the transaction that writes the job's spec."""

    type: Literal["submitted"] = "submitted"
    api: ApiName
    has_hook: bool = False
    timeout_s: Duration | None = None
    workers: Workers | None = None
    assemble: Assemble | None = None
    requests: str | None = Field(default=None, max_length=LONGEST_URI)
    traceparent: str | None = Field(default=None, max_length=64)


class EnqueuingStarted(_Event):
    """By the intake: it has opened the source."""

    type: Literal["enqueuing_started"] = "enqueuing_started"


class Counted(_Event):
    """By intake, worker and sink: what their transaction changed."""

    type: Literal["counted"] = "counted"
    delta: Counts


class Exhausted(_Event):
    """By the intake, or a replay at its end: nothing more will be enqueued.

    `error` says why the source could not be read to its end.
    """

    type: Literal["exhausted"] = "exhausted"
    error: Reason | None = None


class StopRequested(_Event):
    """By the gateway, for a user."""

    type: Literal["stop_requested"] = "stop_requested"


class TimeoutReached(_Event):
    """By the tracker's own timer, since its table changes in a stream only."""

    type: Literal["timeout_reached"] = "timeout_reached"


class Failed(_Event):
    """By a worker: the job's items are not what its predictor takes, so the rest is skipped."""

    type: Literal["failed"] = "failed"
    error: Reason


class Hindered(_Event):
    """By a worker that holds items of the job and cannot predict, by an intake whose source or a sink whose store is
    away, or the place that the job has its objects assembled at: why. The next thing that their role gets done for the
    job takes it back. An intake says it, too, of a job whose API is not defined: for itself or, once all is published,
    for the workers."""

    type: Literal["hindered"] = "hindered"
    role: HinderedRole = HinderedRole.WORKER
    reason: Reason


class Unhindered(_Event):
    """By a worker that was hindered: its predictor serves again."""

    type: Literal["unhindered"] = "unhindered"


class HookPublished(_Event):
    """By the finalizer, in the transaction that publishes the control record."""

    type: Literal["hook_published"] = "hook_published"


class HookEnded(_Event):
    """By a worker. `error` is set where the hook failed for good."""

    type: Literal["hook_ended"] = "hook_ended"
    error: Reason | None = None


class Reopened(_Event):
    """By a replay, in its first transaction: the job's final state is over, and `generation`, its next one, begins.

    `timeout_s` is the job's timeout, which starts anew.
    """

    type: Literal["reopened"] = "reopened"
    timeout_s: Duration | None = None


class Finalized(_Event):
    """By the finalizer, after `manifest.json` and `_SUCCESS`. `manifest` is its URI.

    `error` says what could not be assembled, for good.
    """

    type: Literal["finalized"] = "finalized"
    manifest: str = Field(max_length=LONGEST_URI)
    objects: Whole
    bytes: Whole
    error: Reason | None = None


Event: TypeAlias = (
    Submitted
    | EnqueuingStarted
    | Counted
    | Exhausted
    | StopRequested
    | TimeoutReached
    | Failed
    | Hindered
    | Unhindered
    | HookPublished
    | HookEnded
    | Reopened
    | Finalized
)

_EVENT: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="type")])


def encode_event(event: Event) -> bytes:
    return event.model_dump_json(exclude_defaults=False, exclude_none=True).encode()


def decode_event(value: bytes) -> Event | None:
    """The event, or None where the bytes are none: a stranger's record must not stop the tracker."""
    try:
        return _EVENT.validate_json(value)
    except ValidationError:
        return None
