"""What a user asks for when submitting a job, and what `{p}.jobs` keeps of it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from stream_infer.jobs.bounds import ApiName, Duration, JobId, Moment


class _Spec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ItemList(_Spec):
    """Items given in the request itself. `batch_size` is Cortex's word, read and not needed here."""

    items: list[Any] = Field(min_length=1)
    batch_size: int | None = Field(default=None, ge=1)


class JsonlFile(_Spec):
    """A file with one JSON value a line: file:///path or s3://bucket/key."""

    uri: str


class Directory(_Spec):
    """Every file below `path` that matches one of `includes` and none of `excludes` (globs, relative to it)."""

    path: str
    includes: list[str] = Field(default_factory=list)
    excludes: list[str] = Field(default_factory=list)


SOURCES = ("item_list", "jsonl", "directory")


class BreakerSpec(_Spec):
    """The job fails when more than `max_ratio` of its items fail in the predictor; 1 lets every one of them end."""

    max_ratio: float = Field(gt=0, le=1)


class JobSpec(_Spec):
    """A job as it is submitted: exactly one source. `timeout` in seconds, from the submission on."""

    item_list: ItemList | None = None
    jsonl: JsonlFile | None = None
    directory: Directory | None = None
    config: dict[str, Any] = Field(default_factory=dict)
    timeout: Duration | None = None
    breaker: BreakerSpec | None = None

    @model_validator(mode="after")
    def _one_source(self) -> JobSpec:
        given = [name for name in SOURCES if getattr(self, name) is not None]
        if len(given) != 1:
            got = " and ".join(given) or "none"
            raise ValueError(f"a job has exactly one source of {', '.join(SOURCES)}; this one has {got}")
        return self


class Job(_Spec):
    """What `{p}.jobs` keeps. Inline items lie in the store as JSONL under `submission`, the spec without them."""

    job_id: JobId
    api: ApiName
    submitted_at: Moment
    config: dict[str, Any] = Field(default_factory=dict)
    timeout: Duration | None = None
    breaker: BreakerSpec | None = None
    submission: str | None = None
    jsonl: JsonlFile | None = None
    directory: Directory | None = None
    request_hash: str | None = None


def encode_job(job: Job) -> bytes:
    return job.model_dump_json(exclude_none=True).encode()


def decode_job(value: bytes) -> Job:
    return Job.model_validate_json(value)
