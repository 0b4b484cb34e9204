"""The answers to a batch's requests, as OpenAI's Batch API has them: `output.jsonl` and `errors.jsonl`, a line each.

    {"id", "custom_id", "response": {"status_code": 200, "request_id", "body": the output}, "error": null}
    {"id", "custom_id", "response": null, "error": {"code", "message"}}

A request of a batch that ended early and that nobody has run is told, too; where the file of requests is gone, which
alone knows those, a last line without a `custom_id` says that. In the order of the requests; nothing is held but a
line.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import orjson

from stream_infer.headers import item_id_of, ordinal_of
from stream_infer.jobs.status import Cause
from stream_infer.records import JSON
from stream_infer.sink.assembled import output_of

_SKIPPED = {
    Cause.STOP: ("batch_cancelled", "The batch was cancelled before this request was run."),
    Cause.TIMEOUT: ("batch_expired", "The completion window was over before this request was run."),
    Cause.FAILURE: ("batch_failed", "The batch failed before this request was run: its `errors` say why."),
}


class _Outcome(NamedTuple):
    """How a request ended: its line of results or errors, and what that says."""

    ordinal: int
    line: bytes
    value: dict[str, Any]


def output_lines(lines: Iterable[bytes], job_id: str, referenced: Callable[[str], bytes | None]) -> Iterator[bytes]:
    """Of results, in their order. `referenced`: see `assembled.Wanted`."""
    for outcome in _outcomes(lines, job_id):
        response = {
            "status_code": 200,
            "request_id": item_id_of(job_id, outcome.ordinal),
            "body": _body(outcome, referenced),
        }
        yield _line(job_id, outcome.ordinal, outcome.value.get("custom_id"), response, None)


def error_lines(lines: Iterable[bytes], job_id: str) -> Iterator[bytes]:
    """Of errors, in their order."""
    for outcome in _outcomes(lines, job_id):
        yield _error_line(outcome, job_id)


def errors_of_early_end(
    lines: Iterable[bytes], custom_ids: Iterable[str | None], job_id: str, cause: Cause
) -> Iterator[bytes]:
    """Of results and errors, merged by ordinal, the errors; and between them the requests that have neither.

    `custom_ids` are those of all requests, in the order of the file. Raises what reading either does.
    """
    outcomes = _outcomes(lines, job_id)
    following = next(outcomes, None)
    code, message = _SKIPPED[cause]
    for ordinal, custom_id in enumerate(custom_ids):
        if following is None or following.ordinal != ordinal:
            yield _line(job_id, ordinal, custom_id, None, {"code": code, "message": message})
            continue
        if "error" in following.value:
            yield _error_line(following, job_id)
        following = next(outcomes, None)
    # Where the ids broke off.
    while following is not None:
        if "error" in following.value:
            yield _error_line(following, job_id)
        following = next(outcomes, None)


def untold_lines(faults: Iterable[str], job_id: str) -> Iterator[bytes]:
    """A line for each reason why not every request can be told."""
    for fault in faults:
        yield _written(job_id, None, None, {"code": "requests_unreadable", "message": fault})


def _outcomes(lines: Iterable[bytes], job_id: str) -> Iterator[_Outcome]:
    """Without what is of no request. One that ended twice, since somebody sent it again, counts once."""
    last = -1
    for line in lines:
        try:
            value = orjson.loads(line)
            ordinal = ordinal_of(job_id, value["item_id"])
        except (orjson.JSONDecodeError, LookupError, TypeError, AttributeError):
            continue
        if ordinal is not None and ordinal != last:
            last = ordinal
            yield _Outcome(ordinal, line, value)


def _body(outcome: _Outcome, referenced: Callable[[str], bytes | None]) -> Any:
    """JSON as the predictor gave it; what is no JSON as base64 with its type; a payload that is gone by its address."""
    data, kind = output_of(outcome.line, outcome.value, referenced)
    if data is None:
        return outcome.value["output"]
    plain = kind.partition(";")[0].strip().lower()
    if plain == JSON or plain.endswith("+json"):
        try:
            orjson.loads(data)
        except orjson.JSONDecodeError:
            pass
        else:
            return orjson.Fragment(data.replace(b"\n", b" ").replace(b"\r", b" "))
    return {"base64": b64encode(data).decode(), "content_type": kind}


def _error_line(outcome: _Outcome, job_id: str) -> bytes:
    said = outcome.value.get("error") or {}
    stage, exception = str(said.get("stage") or "predict"), str(said.get("exception") or "")
    message = ": ".join(part for part in (exception.rpartition(".")[2], str(said.get("message") or "")) if part)
    error = {"code": f"{stage.replace('-', '_')}_failed", "message": message}
    return _line(job_id, outcome.ordinal, outcome.value.get("custom_id"), None, error)


def _line(job_id: str, ordinal: int, custom_id: Any, response: Any, error: Any) -> bytes:
    return _written(item_id_of(job_id, ordinal), custom_id, response, error)


def _written(named: str, custom_id: Any, response: Any, error: Any) -> bytes:
    line = {
        "id": f"batch_req_{named.removeprefix('batch_')}",
        "custom_id": custom_id,
        "response": response,
        "error": error,
    }
    return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)
