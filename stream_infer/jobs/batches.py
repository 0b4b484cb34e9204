"""A batch of OpenAI's: what a job keeps of being one, and where its answers lie."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from stream_infer.jobs.assembling import FOLDER
from stream_infer.jobs.bounds import Moment
from stream_infer.jobs.manifest import job_folder

OUTPUT = "output"
ERRORS = "errors"


class Batch(BaseModel):
    """What was asked for, in the words of OpenAI's Batch API. `caller`: whose it is, by the name of an API key.

    `requests`: how many there are in the file. `expires_at` in seconds since the epoch.
    """

    model_config = ConfigDict(frozen=True)

    caller: str
    input_file_id: str
    endpoint: str
    completion_window: str
    expires_at: Moment
    metadata: dict[str, str] | None = None
    requests: int = Field(default=0, ge=0)


def answers_name(kind: str) -> str:
    """`kind` is OUTPUT or ERRORS: a line for each request that succeeded, and for each that did not."""
    return f"{kind}.jsonl"


def answers_key(api: str, job_id: str, kind: str) -> str:
    """Below the store's root."""
    return f"{job_folder(api, job_id)}{FOLDER}{answers_name(kind)}"
