"""A submission, from the request's body to the records that make it a job. No I/O."""

from __future__ import annotations

import hashlib
import secrets
from typing import Any

from stream_infer.gateway.output_policy import check_assembly
from stream_infer.gateway.source_policy import check_source, placed_sources
from stream_infer.gateway.validation import validate
from stream_infer.http.json_text import MalformedJson, parse_json, to_json
from stream_infer.http.problems import FieldError, Problem, ProblemKind
from stream_infer.jobs.batches import Batch
from stream_infer.jobs.events import Submitted, encode_event
from stream_infer.jobs.results import results_of
from stream_infer.jobs.spec import Job, JobSpec, KeptWebhook, encode_job
from stream_infer.ports import Formats
from stream_infer.records import OutgoingRecord
from stream_infer.results import objection_to
from stream_infer.settings import MIB, ApiSettings, LimitSettings, Settings
from stream_infer.topics import Topics

LARGEST_JOB_RECORD = 2 * MIB
_ID_CHARACTERS = 24


def new_job_id() -> str:
    return secrets.token_hex(_ID_CHARACTERS // 2)


def job_id_of(caller: str, idempotency_key: str) -> str:
    """The same for every replica, so that none needs to ask another."""
    return _digest(b"job\0", caller.encode(), b"\0", idempotency_key.encode(errors="surrogateescape"))[:_ID_CHARACTERS]


def request_hash(api: str, body: bytes) -> str:
    """Of what was asked, byte for byte: two requests under one Idempotency-Key have to agree in it."""
    return _digest(api.encode(), b"\0", body)


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"".join(parts)).hexdigest()


def read_spec(value: Any, settings: Settings, api: ApiSettings) -> JobSpec:
    """The spec of a job of `api` in a body's JSON, within the limits, with a source that is allowed; else a Problem."""
    if not isinstance(value, dict):
        given = type(value).__name__
        raise Problem(ProblemKind.INVALID_REQUEST, f'A job is a JSON object such as {{"item_list": …}}; got {given}.')
    spec = validate(JobSpec, value)
    _check_workers(spec, api)
    if spec.item_list is not None and len(spec.item_list.items) > settings.limits.inline_items:
        raise _too_large(
            "/item_list/items",
            f"{len(spec.item_list.items)} items; limits.inline_items is {settings.limits.inline_items}. "
            "Submit a jsonl file instead",
        )
    check_source(spec, settings.fetch)
    check_assembly(spec, results_of(api.results, spec.results), settings.sink.allowed_outputs)
    return spec


def check_format(spec: JobSpec, api: ApiSettings, formats: Formats) -> None:
    """Raises a Problem where the job's results could not be read here. `formats` are those beside lines of JSON."""
    results = results_of(api.results, spec.results)
    detail = None if results is None else objection_to(results.format, formats)
    if detail is not None:
        raise _refused(ProblemKind.INVALID_REQUEST, "/results/format", detail)


def _check_workers(spec: JobSpec, api: ApiSettings) -> None:
    if spec.workers is None or spec.workers <= api.workers.max:
        return
    detail = (
        f"the job wants {spec.workers} workers, and workers.max of API {api.name!r} is {api.workers.max}. "
        "Ask for no more than that, or raise workers.max in stream-infer.yaml"
    )
    raise _refused(ProblemKind.INVALID_REQUEST, "/workers", detail)


def inline_lines(spec: JobSpec, limits: LimitSettings) -> list[bytes]:
    """The inline items, one JSON text each; a Problem names the one that is too large or cannot be written."""
    items = spec.item_list.items if spec.item_list is not None else []
    lines = []
    for number, item in enumerate(items):
        line = to_json(item)
        pointer = f"/item_list/items/{number}"
        if len(line) > limits.payload_bytes:
            raise _too_large(
                pointer,
                f"{len(line)} bytes; limits.payload_bytes is {limits.payload_bytes}. "
                "Put it into a file and submit a reference",
            )
        _check_readable(pointer, line)
        lines.append(line)
    return lines


def _check_readable(pointer: str, line: bytes) -> None:
    """A number like 1e400 is JSON and reads as Infinity, which is not."""
    if b"Infinity" not in line and b"NaN" not in line:
        return
    try:
        parse_json(line)
    except MalformedJson:
        detail = "a number is too large for a 64-bit float"
        error = FieldError(pointer=pointer, detail=detail)
        raise Problem(ProblemKind.INVALID_REQUEST, f"{pointer}: {detail}", errors=[error]) from None


def job_of(
    spec: JobSpec,
    *,
    job_id: str,
    api: ApiSettings,
    at: float,
    digest: str,
    words: dict[str, Any] | None = None,
    webhook: KeptWebhook | None = None,
    batch: Batch | None = None,
) -> Job:
    """What `{p}.jobs` keeps, but for where the inline items lie; `at` in seconds since the epoch."""
    wish = spec.wished_batch_size
    inline = None if spec.item_list is None else len(spec.item_list.items)
    return Job(
        job_id=job_id,
        api=api.name,
        submitted_at=at,
        config=spec.config,
        timeout=spec.timeout,
        breaker=spec.breaker,
        workers=spec.workers,
        results=results_of(api.results, spec.results),
        batch_size=api.batch_size_of(wish) if api.predictor.is_job_scoped else wish,
        items=inline if batch is None else batch.requests,
        assemble=spec.assemble,
        webhook=webhook,
        words=words,
        batch=batch,
        request_hash=digest,
        **placed_sources(spec),
    )


def submission_records(job: Job, api: ApiSettings, topics: Topics) -> list[OutgoingRecord]:
    """The spec and its event: committed together, so that no job is ever without its row."""
    value = encode_job(job)
    if len(value) > LARGEST_JOB_RECORD:
        raise _too_large("", f"the spec without its items has {len(value)} bytes; {LARGEST_JOB_RECORD} is the most")
    key = job.job_id.encode()
    submitted = Submitted(
        job_id=job.job_id,
        at=job.submitted_at,
        api=job.api,
        has_hook=api.predictor.on_job_complete,
        timeout_s=job.timeout,
        workers=job.workers,
        assemble=job.assemble,
        requests=None if job.batch is None else job.file_uri,
        traceparent=job.traceparent,
    )
    return [
        OutgoingRecord(topics.jobs, key, value),
        OutgoingRecord(topics.progress, key, encode_event(submitted)),
    ]


def _too_large(pointer: str, detail: str) -> Problem:
    return _refused(ProblemKind.TOO_LARGE, pointer, detail)


def _refused(kind: ProblemKind, pointer: str, detail: str) -> Problem:
    where = f"{pointer}: " if pointer else ""
    return Problem(kind, f"{where}{detail}", errors=[FieldError(pointer=pointer, detail=detail)])
