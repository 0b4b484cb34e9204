"""What a user asks for when submitting a job, and what `{p}.jobs` keeps of it."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Field, model_validator

from stream_infer.jobs.assembling import Assemble
from stream_infer.jobs.batches import Batch
from stream_infer.jobs.bounds import ApiName, Duration, JobId, Moment, Workers
from stream_infer.jobs.sources import SOURCES, ItemList, PlacedSources, SpecPart
from stream_infer.results import Results
from stream_infer.trace_context import TraceContext, read_context
from stream_infer.webhooks import WebhookEvent, WebhookSecret, WebhookUrl


class BreakerSpec(SpecPart):
    """The job fails when more than `max_ratio` of its items fail in the predictor; 1 lets every one of them end."""

    max_ratio: float = Field(gt=0, le=1)


class WebhookSpec(SpecPart):
    """Where the job's end is told; "https://…" is short for {"url": "https://…"}. `events`: of these alone.

    `secret`: what is signed with in place of the configuration's secrets, for receivers that share it with nobody else.
    """

    url: WebhookUrl
    events: list[WebhookEvent] | None = Field(default=None, min_length=1)
    secret: WebhookSecret | None = Field(default=None, repr=False)


def _whole(webhook: Any) -> Any:
    return {"url": webhook} if isinstance(webhook, str) else webhook


CONFIGURED: Literal["configured"] = "configured"
KeptWebhook: TypeAlias = WebhookSpec | Literal["configured"]
"""Where the configuration said, when the job was submitted, that its end is told, where to is looked up at that end: so
a place that has moved is found, and nobody hears of jobs from before there was one."""


class JobSpec(PlacedSources):
    """A job as it is submitted: exactly one source. `timeout` in seconds, from the submission on.

    `workers`: the parallelism wanted, for a supervisor that scales the API's workers; without it their lag decides.
    `results`: what it says of them counts before what its API says. `assemble`: an object of results for each object of
    the source. `webhook`: where its end is told, in place of where the configuration says.
    `batch_size`: at most so many items a call, of this job alone, where the predictor has an instance for each job; a
    source may name it in its stead.
    """

    item_list: ItemList | None = None
    config: dict[str, Any] = Field(default_factory=dict)
    timeout: Duration | None = None
    breaker: BreakerSpec | None = None
    workers: Workers | None = None
    results: Results | None = None
    assemble: Assemble | None = None
    webhook: Annotated[WebhookSpec, BeforeValidator(_whole, json_schema_input_type=WebhookSpec | str)] | None = None
    batch_size: int | None = Field(default=None, ge=1)

    @property
    def wished_batch_size(self) -> int | None:
        """The job's own, or its source's."""
        sources = (getattr(self, name) for name in SOURCES)
        wishes = (getattr(source, "batch_size", None) for source in sources)
        return self.batch_size or next((wish for wish in wishes if wish is not None), None)

    @model_validator(mode="after")
    def _one_source(self) -> JobSpec:
        given = [name for name in SOURCES if getattr(self, name) is not None]
        if len(given) != 1:
            got = " and ".join(given) or "none"
            raise ValueError(f"a job has exactly one source of {', '.join(SOURCES)}; this one has {got}")
        return self


class Job(PlacedSources):
    """What `{p}.jobs` keeps. Inline items lie in the store as JSONL under `submission`, the spec without them.

    `results` is all that holds for the job, the API's settings included; None: nothing out of the ordinary. `words` is
    what was asked for in those of another system, for whoever asks for the job in them again, and `batch` likewise in
    OpenAI's. `items`: how many there are, where that is known. `traceparent` and `tracestate` are the submission's, and
    each item's.
    """

    job_id: JobId
    api: ApiName
    submitted_at: Moment
    config: dict[str, Any] = Field(default_factory=dict)
    timeout: Duration | None = None
    breaker: BreakerSpec | None = None
    workers: Workers | None = None
    results: Results | None = None
    assemble: Assemble | None = None
    webhook: KeptWebhook | None = None
    words: dict[str, Any] | None = None
    batch: Batch | None = None
    batch_size: int | None = Field(default=None, ge=1)
    items: int | None = Field(default=None, ge=0)
    submission: str | None = None
    request_hash: str | None = None
    traceparent: str | None = Field(default=None, max_length=64)
    tracestate: str | None = Field(default=None, max_length=512)

    @property
    def trace(self) -> TraceContext | None:
        """On whose behalf its items are published."""
        return read_context(self.traceparent, self.tracestate)


def encode_job(job: Job) -> bytes:
    return job.model_dump_json(exclude_none=True).encode()


def decode_job(value: bytes) -> Job:
    return Job.model_validate_json(value)
