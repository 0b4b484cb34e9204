"""Files and batches in OpenAI's words. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from stream_infer.gateway.board import KnownJob
from stream_infer.gateway.openai.ids import answers_id, batch_created_at
from stream_infer.gateway.openai.lines import LineError
from stream_infer.gateway.openai.records import FailedBatch, FileRecord
from stream_infer.jobs.batches import ERRORS, OUTPUT, Batch, answers_name
from stream_infer.jobs.status import Cause, JobStatus, State


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True)


class OpenAiFile(_Body):
    """A file that was sent, or one with a batch's answers. Times are in whole seconds since 1970."""

    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    expires_at: int | None = None
    filename: str
    purpose: Literal["batch", "batch_output"]
    status: Literal["processed"] = "processed"
    status_details: str | None = None


class OpenAiFileList(_Body):
    object: Literal["list"] = "list"
    data: list[OpenAiFile]
    first_id: str | None = None
    last_id: str | None = None
    has_more: bool


class OpenAiFileDeleted(_Body):
    id: str
    object: Literal["file"] = "file"
    deleted: Literal[True] = True


class RequestCounts(_Body):
    total: int
    completed: int
    failed: int


class BatchErrors(_Body):
    object: Literal["list"] = "list"
    data: list[LineError]


class OpenAiBatch(_Body):
    """A batch, which is a job of that id. Times are in whole seconds since 1970."""

    id: str
    object: Literal["batch"] = "batch"
    endpoint: str
    model: str | None = None
    errors: BatchErrors | None = None
    input_file_id: str
    completion_window: str
    status: Literal[
        "validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled"
    ]
    output_file_id: str | None = None
    error_file_id: str | None = None
    created_at: int
    in_progress_at: int | None = None
    expires_at: int
    finalizing_at: int | None = None
    completed_at: int | None = None
    failed_at: int | None = None
    expired_at: int | None = None
    cancelling_at: int | None = None
    cancelled_at: int | None = None
    request_counts: RequestCounts
    metadata: dict[str, str] | None = None


class OpenAiBatchList(_Body):
    object: Literal["list"] = "list"
    data: list[OpenAiBatch]
    first_id: str | None = None
    last_id: str | None = None
    has_more: bool


class OpenAiErrorBody(_Body):
    message: str
    type: str
    param: str | None = None
    code: str | None = None


class OpenAiError(_Body):
    error: OpenAiErrorBody


class Answers(NamedTuple):
    """A file of a batch's answers: where it lies, and since when, in seconds since the epoch."""

    id: str
    job_id: str
    api: str
    kind: str
    created_at: float


def sent_file_body(record: FileRecord) -> OpenAiFile:
    return OpenAiFile(
        id=record.id,
        bytes=record.bytes,
        created_at=record.created_at,
        expires_at=record.expires_at,
        filename=record.filename,
        purpose="batch",
    )


def answers_body(answers: Answers, size: int) -> OpenAiFile:
    return OpenAiFile(
        id=answers.id,
        bytes=size,
        created_at=int(answers.created_at),
        filename=f"{answers.job_id}_{answers_name(answers.kind)}",
        purpose="batch_output",
    )


def answers_of(known: KnownJob) -> list[Answers]:
    """The files that a batch has left; none before its end."""
    job, status = known.job, known.status
    if job.batch is None or not status.state.is_final:
        return []
    counts = status.counts
    # Of a batch that ended early some were not even enqueued.
    is_left = status.ends_early is not None and job.batch.requests > counts.succeeded + counts.rejected
    # A predictor that says nothing of an item (None) leaves no line: what is stored are results and dead letters.
    has = {OUTPUT: counts.sunk > counts.rejected + counts.reopened, ERRORS: counts.rejected > 0 or is_left}
    at = status.times.get(status.state.value, status.submitted_at)
    return [
        Answers(answers_id(job.job_id, kind), job.job_id, job.api, kind, at)
        for kind, is_there in has.items()
        if is_there
    ]


def batch_body(known: KnownJob, batch: Batch) -> OpenAiBatch:
    """`batch` is the job's own."""
    job, status = known.job, known.status
    files = {answers.kind: answers.id for answers in answers_of(known)}
    state = batch_state(status)
    return OpenAiBatch(
        id=job.job_id,
        endpoint=batch.endpoint,
        model=job.api,
        errors=_errors(status) if state == "failed" else None,
        input_file_id=batch.input_file_id,
        completion_window=batch.completion_window,
        status=state,
        output_file_id=files.get(OUTPUT),
        error_file_id=files.get(ERRORS),
        # By it batches are listed; its job is submitted a moment later, at times in the next second.
        created_at=batch_created_at(job.job_id) or int(job.submitted_at),
        expires_at=int(batch.expires_at),
        request_counts=RequestCounts(
            total=batch.requests, completed=max(0, status.counts.succeeded), failed=max(0, status.counts.rejected)
        ),
        metadata=batch.metadata,
        **_times(status),
    )


def failed_batch_body(failed: FailedBatch) -> OpenAiBatch:
    """One whose file is not valid: no job was made of it."""
    batch, at = failed.batch, int(failed.created_at)
    return OpenAiBatch(
        id=failed.id,
        endpoint=batch.endpoint,
        errors=BatchErrors(data=list(failed.errors)),
        input_file_id=batch.input_file_id,
        completion_window=batch.completion_window,
        status="failed",
        created_at=at,
        failed_at=at,
        expires_at=int(batch.expires_at),
        request_counts=RequestCounts(total=0, completed=0, failed=0),
        metadata=batch.metadata,
    )


def batch_state(status: JobStatus) -> Any:
    """One of OpenAI's. While a batch ends since it was cancelled it is cancelling, for any other reason finalizing."""
    match status.state:
        case State.VALIDATING:
            return "validating"
        case State.ENQUEUING | State.RUNNING:
            return "in_progress"
        case State.STOPPING | State.FINALIZING:
            return "cancelling" if status.cause is Cause.STOP else "finalizing"
        case State.STOPPED:
            return "cancelled"
        case State.TIMED_OUT:
            return "expired"
        case State.FAILED:
            return "failed"
        case State.SUCCEEDED | State.COMPLETED_WITH_FAILURES:
            return "completed"


def _times(status: JobStatus) -> dict[str, int]:
    times = {State(name): at for name, at in status.times.items()}
    ended = "cancelling_at" if status.cause is Cause.STOP else "finalizing_at"
    named = [
        ("in_progress_at", times.get(State.ENQUEUING)),
        (ended, times.get(State.STOPPING)),
        ("finalizing_at", times.get(State.FINALIZING)),
        ("completed_at", times.get(State.SUCCEEDED, times.get(State.COMPLETED_WITH_FAILURES))),
        ("failed_at", times.get(State.FAILED)),
        ("expired_at", times.get(State.TIMED_OUT)),
        ("cancelled_at", times.get(State.STOPPED)),
    ]
    return {name: int(at) for name, at in named if at is not None}


def _errors(status: JobStatus) -> BatchErrors:
    return BatchErrors(data=[LineError(code="batch_failed", message=error) for error in status.errors])


_TYPES = {401: "invalid_request_error", 403: "permission_error", 429: "requests"}
_CODES = {"no-key": "invalid_api_key", "rate-limited": "rate_limit_exceeded"}


def openai_error(document: Mapping[str, Any]) -> tuple[int, OpenAiError]:
    """A problem document as OpenAI's clients read errors, and its status. What is not valid is 400 there."""
    status = 400 if document["status"] == 422 else int(document["status"])
    slug = str(document.get("type", "")).rpartition(":")[2]
    errors = document.get("errors") or [{}]
    param = str(errors[0].get("pointer") or "").lstrip("/").replace("/", ".") or None
    error = OpenAiErrorBody(
        message=str(document.get("detail") or document.get("title")),
        type="server_error" if status >= 500 else _TYPES.get(status, "invalid_request_error"),
        param=param,
        code=_CODES.get(slug, slug.replace("-", "_")) or None,
    )
    return status, OpenAiError(error=error)
