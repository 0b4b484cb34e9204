"""The bodies of answers. The OpenAPI document is made from these models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from stream_infer.gateway.webhooks.bodies import WebhookBody
from stream_infer.jobs.log_lines import LogLine, Scalar
from stream_infer.jobs.sources import SOURCES
from stream_infer.jobs.spec import Job
from stream_infer.jobs.status import Cause, JobStatus, Phase, State

if TYPE_CHECKING:  # clients read these bodies too, and need no Kafka for it
    from stream_infer.gateway.board import KnownJob


class Body(BaseModel):
    model_config = ConfigDict(frozen=True)


class JobCounts(Body):
    """Items. `waiting` = enqueued - succeeded - rejected - skipped; `reopened` were dead letters and run again."""

    enqueued: int = 0
    waiting: int = 0
    succeeded: int = 0
    rejected: int = 0
    skipped: int = 0
    reopened: int = 0


class JobLinks(Body):
    """Paths of this gateway. DELETE `self` stops the job."""

    self: str
    results: str
    failures: str
    dlq: str
    logs: str
    events: str = ""
    throughput: str = ""


class JobBody(Body):
    """A job. Times are in seconds since 1970, `rate` in items ended per second.

    `times` has one entry a state entered, such as `running_at`. `is_final`: nothing will change any more.
    `manifest` is the URI of the list of all objects, once the job is final; `results_uri` is where they lie.
    """

    job_id: str
    api_name: str
    kind: Literal["BatchAPI"] = "BatchAPI"
    state: State
    is_final: bool
    phase: Phase | None = None
    cause: Cause | None = None
    generation: int
    counts: JobCounts
    is_enqueued: bool = Field(description="Nothing more will be enqueued: counts.enqueued is the job's size.")
    rate: float
    errors: list[str]
    hindrance: str | None = Field(None, description="What keeps it from going on at present, such as a store away.")
    config: dict[str, Any]
    timeout: float | None = None
    workers: int | None = Field(None, description="The parallelism that it wants.")
    results: dict[str, Any] = Field({}, description="Format, join and filters of its results, where not the default.")
    source: dict[str, Any]
    submitted_at: float
    deadline: float | None = None
    times: dict[str, float]
    first_end_after: float | None = Field(None, description="Seconds from its submission to the first item's end.")
    results_uri: str
    manifest: str | None = None
    objects: int
    bytes: int
    webhook: WebhookBody | None = Field(None, description="Whom its end is told, and what has become of that.")
    links: JobLinks


class JobList(Body):
    """The newest first. Where `has_more`, ask again with `after` = the last job's id."""

    jobs: list[JobBody]
    has_more: bool


class ThroughputPoint(Body):
    """At `at`, in seconds since 1970, so many items had `ended`; from the point before until then `rate` a second."""

    at: float
    ended: int
    rate: float


class Throughput(Body):
    """How the items of the job's present generation have ended, in at most 120 points, the oldest first.

    The first point is the beginning. What the gateway cannot know any more is one long stretch.
    """

    job_id: str
    generation: int
    points: list[ThroughputPoint]


class DryRunBody(Body):
    """What a submission would enqueue. `items` is None where only reading the whole source could tell.

    `preview` has the first items: their value where they are given inline, else where they lie.
    """

    dry_run: Literal[True] = True
    api_name: str
    source: dict[str, Any]
    items: int | None = None
    preview: list[Any] | None = None
    config: dict[str, Any]
    timeout: float | None = None
    workers: int | None = None


class UploadBody(Body):
    """A file that was sent. A job names it by `uri`, in place of a file's address.

    Without a job that names it, it is removed `unused_for` seconds after it was sent; else with the last such job.
    """

    upload_id: str
    uri: str
    bytes: int
    sha256: str
    unused_for: float


class ItemsAccepted(Body):
    """Item n of the request, from 0, blank lines not counted, is called `{request_id}-{n}` from here on."""

    api_name: str
    accepted: int
    request_id: str
    first_item_id: str | None
    last_item_id: str | None
    topic: str


class LogLineBody(Body):
    """What a predictor printed, or an event of a role with its `fields`. `at` is in seconds since 1970."""

    at: float
    source: Literal["predictor", "role"]
    role: str
    who: str
    level: str
    line: str
    fields: dict[str, Scalar]
    item_id: str | None = None


class LogPage(Body):
    """The oldest first. `next`: what to ask for as `after` to read on, at once where `has_more`, else later."""

    lines: list[LogLineBody]
    next: str
    has_more: bool


def job_body(known: KnownJob, results_uri: str, webhook: WebhookBody | None = None) -> JobBody:
    job, status = known.job, known.status
    path = f"/v1/jobs/{job.job_id}"
    counts = status.counts
    return JobBody(
        job_id=job.job_id,
        api_name=job.api,
        state=status.state,
        is_final=status.state.is_final,
        phase=status.phase,
        cause=status.cause,
        generation=status.generation,
        counts=JobCounts(
            enqueued=counts.enqueued,
            waiting=counts.waiting,
            succeeded=counts.succeeded,
            rejected=counts.rejected,
            skipped=counts.skipped,
            reopened=counts.reopened,
        ),
        is_enqueued=status.exhausted,
        rate=status.rate,
        errors=list(status.errors),
        hindrance=status.hindrance,
        config=job.config,
        timeout=job.timeout,
        workers=job.workers,
        results={} if job.results is None else job.results.model_dump(mode="json", exclude_defaults=True),
        source=source_of(job),
        submitted_at=job.submitted_at,
        deadline=status.deadline,
        times={f"{state}_at": at for state, at in status.times.items()},
        first_end_after=_first_end_after(status),
        results_uri=results_uri,
        manifest=status.manifest,
        objects=status.objects,
        bytes=status.bytes,
        webhook=webhook,
        links=JobLinks(
            self=path,
            results=f"{path}/results",
            failures=f"{path}/failures",
            dlq=f"{path}/dlq",
            logs=f"{path}/logs",
            events=f"{path}/events",
            throughput=f"{path}/throughput",
        ),
    )


def _first_end_after(status: JobStatus) -> float | None:
    """Of the first generation: a replay begins with dead letters, and says nothing of how long the job waited."""
    began = status.times.get(State.RUNNING.value)
    return None if began is None or status.generation > 1 else max(0.0, began - status.submitted_at)


def log_line_body(line: LogLine) -> LogLineBody:
    return LogLineBody(
        at=line.at,
        source=line.source,
        role=line.role,
        who=line.who,
        level=line.level,
        line=line.line,
        fields=line.fields,
        item_id=line.item_id,
    )


def source_of(job: Job) -> dict[str, Any]:
    """The job's one source; inline items by where they are kept."""
    if job.submission is not None:
        return {"item_list": {"submission": job.submission}}
    given = job.model_dump(include=set(SOURCES) & set(Job.model_fields), exclude_none=True)
    return {name: value for name, value in given.items() if value is not None}
