"""A job in Cortex's words, both ways. Pure. Its batches are counted from our items: so many make one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final

from stream_infer.gateway.board import KnownJob
from stream_infer.http.problems import FieldError, Problem, ProblemKind
from stream_infer.jobs.spec import Job
from stream_infer.jobs.status import Cause, JobStatus, State
from stream_infer.settings import ApiSettings

KIND: Final = "BatchAPI"
REFUSED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "sqs_dead_letter_queue": "failed items are not sent to SQS; they are kept as the job's dead letters, which "
        "`stream-infer dlq` and GET /v1/jobs/{job_id}/dlq list, and can be run again: leave it out",
        "batches": "is from before Cortex 0.18; give the items under item_list.items, and item_list.batch_size",
        "parallelism": "is from before Cortex 0.18; write workers",
        "batches_per_worker": "is from before Cortex 0.18; write workers",
    }
)
_ENDED = {
    State.SUCCEEDED: "succeeded",
    State.COMPLETED_WITH_FAILURES: "completed_with_failures",
    State.STOPPED: "stopped",
    State.TIMED_OUT: "timed_out",
}
_ENDING = {Cause.STOP: "stopped", Cause.TIMEOUT: "timed_out"}


def spec_of(submission: Any, most_workers: int) -> Any:
    """What a submission of Cortex's asks for, in the words of a job's spec. null stands for nothing, as with Cortex.

    A job of Cortex's has workers of its own; one of ours gets as many of its API's as there may be. Raises Problem for
    what has no counterpart.
    """
    if not isinstance(submission, dict):
        return submission
    given = {name: value for name, value in submission.items() if value is not None}
    errors = [FieldError(pointer=f"/{name}", detail=REFUSED[name]) for name in given if name in REFUSED]
    if errors:
        detail = "; ".join(f"{error.pointer}: {error.detail}" for error in errors)
        raise Problem(ProblemKind.INVALID_REQUEST, f"{detail}.", errors=errors)
    if isinstance(given.get("workers"), int):
        given["workers"] = min(given["workers"], most_workers)
    for name in ("item_list", "file_path_lister", "delimited_files"):
        source = given.get(name)
        if isinstance(source, dict):
            given[name] = {key: value for key, value in source.items() if value is not None}
    return given


def batch_size(api: ApiSettings, job: Job) -> int:
    """Items that make a batch of the job."""
    return api.batch_size_of(job.batch_size)


def job_body(api: ApiSettings, job: Job) -> dict[str, Any]:
    """What a submission is answered with. `sqs_url` has no counterpart."""
    return {
        "job_id": job.job_id,
        "api_name": job.api,
        "kind": KIND,
        "workers": job.workers or 1,
        "config": job.config,
        "api_id": api.version,
        "sqs_url": None,
        "timeout": None if job.timeout is None else int(job.timeout),
        "sqs_dead_letter_queue": None,
        "created_time": _time(job.submitted_at),
    }


def job_status_body(api: ApiSettings, known: KnownJob, endpoint: str, now: float) -> dict[str, Any]:
    """What GET ?jobID= is answered with. Worker counts are nobody's to tell here and are left out."""
    job, status = known.job, known.status
    size, counts = batch_size(api, job), status.counts
    metrics = {
        "succeeded": _batches(counts.succeeded, size),
        "failed": _batches(counts.rejected, size),
        "avg_time_per_batch": _seconds_per_batch(status, size, now),
    }
    of_job = {
        **job_body(api, job),
        "status": status_code(status),
        "total_batch_count": _batches(_size(job, status), size),
        "batches_in_queue": _batches(counts.waiting, size),
        "batch_metrics": metrics,
        "start_time": _time(job.submitted_at),
    }
    if status.state.is_final:
        of_job["end_time"] = _time(max(status.times.values(), default=job.submitted_at))
    spec = {
        "name": api.name,
        "kind": KIND,
        "id": api.version,
        "predictor": {"type": "python", "path": api.predictor.shown_as},
    }
    return {"job_status": of_job, "endpoint": endpoint, "api_spec": spec}


def status_code(status: JobStatus) -> str:
    """One of Cortex's. A job that is ending is what it ends as; one that failed before an item ended could not be
    enqueued, or its predictor not be made."""
    if status.state in _ENDED:
        return _ENDED[status.state]
    if status.cause in _ENDING:
        return _ENDING[status.cause]
    if status.cause is Cause.FAILURE or status.state is State.FAILED:
        return "worker_error" if status.counts.ended else "enqueue_failed"
    is_enqueued = status.exhausted and status.state is State.ENQUEUING
    return "enqueuing" if status.state in (State.VALIDATING, State.ENQUEUING) and not is_enqueued else "running"


def error_body(document: Mapping[str, Any]) -> dict[str, Any]:
    """A problem document as Cortex's clients read errors: `message`, and `error` for those that look there."""
    message = str(document.get("detail") or document.get("title"))
    kind = str(document.get("type", "")).rpartition(":")[2].replace("-", "_")
    return {"kind": kind, "error": message, "message": message}


def _size(job: Job, status: JobStatus) -> int:
    """How many items it has, as far as that is known."""
    return status.counts.enqueued if status.exhausted or job.items is None else job.items


def _batches(items: int, size: int) -> int:
    return max(0, -(-items // size))


def _seconds_per_batch(status: JobStatus, size: int, now: float) -> float | None:
    """From the first outcome on; None before there is one."""
    began = status.times.get(State.RUNNING)
    batches = _batches(status.counts.succeeded + status.counts.rejected, size)
    if began is None or not batches:
        return None
    ended = max(status.times.values()) if status.state.is_final else now
    return round(max(0.0, ended - began) / batches, 6)


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")
