"""The one truth about a job, as `{p}.status` holds it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from stream_infer.jobs.assembling import Assemble
from stream_infer.jobs.bounds import LONGEST_URI, MOST_ITEMS, ApiName, Generation, JobId, Moment, Reason, Whole, Workers
from stream_infer.jobs.counts import Counts

ERRORS_KEPT = 20


class State(StrEnum):
    VALIDATING = "validating"
    ENQUEUING = "enqueuing"
    RUNNING = "running"
    STOPPING = "stopping"
    FINALIZING = "finalizing"
    SUCCEEDED = "succeeded"
    COMPLETED_WITH_FAILURES = "completed_with_failures"
    STOPPED = "stopped"
    TIMED_OUT = "timed_out"
    FAILED = "failed"

    @property
    def is_final(self) -> bool:
        return self in FINAL_STATES


FINAL_STATES = frozenset({State.SUCCEEDED, State.COMPLETED_WITH_FAILURES, State.STOPPED, State.TIMED_OUT, State.FAILED})


class Phase(StrEnum):
    """The steps of `finalizing`, in order. Each can be run again."""

    HOOK = "hook"
    HOOK_RUNNING = "hook_running"
    ASSEMBLE = "assemble"


class Cause(StrEnum):
    """Why a job ends before its items have; the value is the final state."""

    STOP = "stopped"
    TIMEOUT = "timed_out"
    FAILURE = "failed"


class HinderedRole(StrEnum):
    """The roles that something outside may keep from going on with a job, in an item's order."""

    INTAKE = "intake"
    WORKER = "worker"
    SINK = "sink"


class JobStatus(BaseModel):
    """One row. `offset` is the last progress offset folded into it: what makes the fold idempotent.

    Times are seconds since the epoch, one per state entered. `rate` is items ended per second, over the last full
    second or longer in which items ended. `hindrances` say why a role gets nothing done for it at present.
    `earlier` is how a generation before this one ended early: what it skipped is gone, so this one ends like it.
    `workers` is the parallelism that its owner wants; `assemble` what the finalizer is to assemble, or `requests` the
    URI of the file whose answers it is to; `traceparent` on whose behalf.
    """

    model_config = ConfigDict(frozen=True)

    job_id: JobId
    api: ApiName
    state: State = State.VALIDATING
    phase: Phase | None = None
    cause: Cause | None = None
    earlier: Cause | None = None
    generation: Generation = 1
    counts: Counts = Counts()
    exhausted: bool = False
    errors: tuple[Reason, ...] = Field((), max_length=ERRORS_KEPT)
    hindrances: dict[HinderedRole, Reason] = Field(default_factory=dict)
    has_hook: bool = False
    hook_failed: bool = False
    workers: Workers | None = None
    assemble: Assemble | None = None
    requests: str | None = Field(None, max_length=LONGEST_URI)
    traceparent: str | None = Field(default=None, max_length=64)
    submitted_at: Moment = 0.0
    deadline: FiniteFloat | None = None
    times: dict[Annotated[str, Field(max_length=40)], Moment] = Field(default_factory=dict, max_length=len(State))
    rate: float = Field(0.0, ge=-4 * MOST_ITEMS, le=4 * MOST_ITEMS)
    rate_since: Moment = 0.0
    rate_ended: int = Field(0, ge=-4 * MOST_ITEMS, le=4 * MOST_ITEMS)
    manifest: str | None = Field(None, max_length=LONGEST_URI)
    objects: Whole = 0
    bytes: Whole = 0
    offset: int = Field(-1, ge=-1, le=2**63 - 1)

    @property
    def is_drained(self) -> bool:
        """Every item that will ever be enqueued has ended, and every record of it lies in the store.

        More may have ended than were enqueued: whoever copies a dead letter back by hand makes its item end twice.
        """
        counts = self.counts
        return self.exhausted and counts.waiting <= 0 and counts.written == counts.sunk

    @property
    def has_work(self) -> bool:
        """Whether items of it wait for a worker, or may yet be published."""
        return not self.state.is_final and not (self.exhausted and self.counts.waiting <= 0)

    @property
    def hindrance(self) -> str | None:
        """What keeps it from going on, in words; None where nothing does."""
        return "; ".join(self.hindrances[role] for role in HinderedRole if role in self.hindrances) or None

    @property
    def ends_early(self) -> Cause | None:
        """Why not every item of the job has run, in this generation or an earlier one."""
        return self.cause or self.earlier

    @property
    def is_skipping(self) -> bool:
        """Its items that have not begun are to be skipped: it is ending, or has ended otherwise than by itself."""
        return self.cause is not None

    def skips(self, generation: int) -> bool:
        """Whether an item of `generation` is to be skipped: one of a later generation was replayed since this row."""
        return self.is_skipping and generation <= self.generation


def encode_status(status: JobStatus) -> bytes:
    return status.model_dump_json(exclude_defaults=True).encode()


def decode_status(value: bytes) -> JobStatus:
    return JobStatus.model_validate_json(value)
