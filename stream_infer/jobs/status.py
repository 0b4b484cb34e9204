"""The one truth about a job, as `{p}.status` holds it."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from stream_infer.jobs.counts import Counts


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


class JobStatus(BaseModel):
    """One row. `offset` is the last progress offset folded into it: what makes the fold idempotent.

    Times are seconds since the epoch, one per state entered. `rate` is items ended per second, over the last full
    second or longer in which items ended. `hindrance` says why none of its items can be predicted at present.
    `earlier` is how a generation before this one ended early: what it skipped is gone, so this one ends like it.
    """

    model_config = ConfigDict(frozen=True)

    job_id: str
    api: str
    state: State = State.VALIDATING
    phase: Phase | None = None
    cause: Cause | None = None
    earlier: Cause | None = None
    generation: int = 1
    counts: Counts = Counts()
    exhausted: bool = False
    errors: tuple[str, ...] = ()
    hindrance: str | None = None
    has_hook: bool = False
    hook_failed: bool = False
    submitted_at: float = 0.0
    deadline: float | None = None
    times: dict[str, float] = Field(default_factory=dict)
    rate: float = 0.0
    rate_since: float = 0.0
    rate_ended: int = 0
    manifest: str | None = None
    objects: int = 0
    bytes: int = 0
    offset: int = -1

    @property
    def is_drained(self) -> bool:
        """Every item that will ever be enqueued has ended, and every record of it lies in the store.

        More may have ended than were enqueued: whoever copies a dead letter back by hand makes its item end twice.
        """
        counts = self.counts
        return self.exhausted and counts.waiting <= 0 and counts.written == counts.sunk

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
