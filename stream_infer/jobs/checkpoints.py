"""How far a job's source has been published: written in the transaction that publishes the items."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from stream_infer.jobs.bounds import JobId, Moment, Whole


class Checkpoint(BaseModel):
    """`cursor` resumes the source behind the last item published; `enqueued` is the ordinal of the next one.

    `submitted_at` is the job's: a client may choose the id of a job again that is forgotten. None: of an older version.
    """

    model_config = ConfigDict(frozen=True)

    job_id: JobId
    cursor: str | None = None
    enqueued: Whole = 0
    exhausted: bool = False
    submitted_at: Moment | None = None


def encode_checkpoint(checkpoint: Checkpoint) -> bytes:
    return checkpoint.model_dump_json().encode()


def decode_checkpoint(value: bytes) -> Checkpoint:
    return Checkpoint.model_validate_json(value)
