"""Every request that clients have for the gateway, one function each, and what its answer is. No I/O."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from pydantic import BaseModel

from stream_infer.clients.call import AsyncOutgoing, Call, Outgoing, Part, Request, as_it_is, nothing, reading
from stream_infer.gateway.api_bodies import ApiBody, ApiList
from stream_infer.gateway.dead_letters.bodies import DeadLetterDetail, DeadLetterList, ReplayBody
from stream_infer.gateway.representations import JobBody, JobList, LogPage, UploadBody
from stream_infer.gateway.sagemaker.request import TransformJobMade
from stream_infer.gateway.webhooks.bodies import DeliveryList, ToldAgain

_ANY: Mapping[str, str] = MappingProxyType({})
_JSON = "application/json"
_LONGEST_LOG_PAGE = 1000
# Until a replay has its turn, is done, and its job shows that, the gateway says nothing for 80 s at most.
_LONGEST_REPLAY_S = 90.0
B = TypeVar("B", bound=BaseModel)


def apis() -> Call[list[ApiBody]]:
    read = reading(ApiList)
    return Call(Request(method="GET", path="/v1/apis", is_repeatable=True), lambda answer: read(answer).apis)


def api(name: str) -> Call[ApiBody]:
    return _get(f"/v1/apis/{part(name)}", ApiBody)


def put_api(name: str, form: Mapping[str, Part]) -> Call[ApiBody]:
    """Deploys an API, or replaces it: parts `definition` and `code`. The same again changes nothing."""
    request = Request(method="PUT", path=f"/v1/apis/{part(name)}", form=form, is_repeatable=True)
    return Call(request, reading(ApiBody))


def patch_api(name: str, patch: Mapping[str, Any]) -> Call[ApiBody]:
    """`patch` is a merge patch (RFC 7396) of the definition. The same again changes nothing."""
    headers = {"Content-Type": "application/merge-patch+json"}
    path = f"/v1/apis/{part(name)}"
    request = Request(method="PATCH", path=path, body=json_of(patch), headers=headers, is_repeatable=True)
    return Call(request, reading(ApiBody))


def delete_api(name: str, *, force: bool) -> Call[None]:
    """`force` stops its jobs, which keep it otherwise."""
    query = "?force=true" if force else ""
    return Call(Request(method="DELETE", path=f"/v1/apis/{part(name)}{query}"), nothing)


def job(job_id: str) -> Call[JobBody]:
    return _get(f"/v1/jobs/{part(job_id)}", JobBody)


def jobs(
    *, api: str | None = None, state: str | None = None, limit: int = 20, after: str | None = None
) -> Call[JobList]:
    """A page of them, the newest first: those behind the job `after`."""
    return _get(f"/v1/jobs?{_query(limit=limit, api=api, state=state, after=after)}", JobList)


def submit(api: str, spec: Mapping[str, Any], idempotency_key: str) -> Call[JobBody]:
    """Sent again after a lost answer it is the same job: the key makes it so."""
    headers = {"Idempotency-Key": idempotency_key}
    return _post(f"/v1/apis/{part(api)}/jobs", spec, JobBody, headers=headers, is_repeatable=True)


def dry_run(api: str, spec: Mapping[str, Any], limit: int) -> Request:
    """What would be enqueued: an item a line, then how many there are."""
    headers = {"Content-Type": _JSON, "Accept": "application/x-ndjson"}
    path = f"/v1/apis/{part(api)}/jobs?dry_run=true&limit={limit}"
    return Request(method="POST", path=path, body=json_of(spec), headers=headers, is_repeatable=True)


def upload(name: str, content: Outgoing | AsyncOutgoing) -> Call[UploadBody]:
    """Sends a file. After a lost answer a second one may lie there, which goes by itself within a day."""
    path = f"/v1/uploads?{urlencode({'name': name}, errors='replace')}"
    headers = {"Content-Type": "application/octet-stream"}
    request = Request(method="POST", path=path, body=content, headers=headers, is_repeatable=True)
    return Call(request, reading(UploadBody))


def remove_upload(upload_id: str) -> Call[None]:
    return Call(Request(method="DELETE", path=f"/v1/uploads/{part(upload_id)}", is_repeatable=True), nothing)


def predict(api: str, item: bytes, content_type: str, timeout_s: float | None = None) -> Call[tuple[bytes, str]]:
    """One item's output and its content type. ItemRejected where the predictor refuses the item."""
    headers = {"Content-Type": content_type} | ({} if timeout_s is None else {"si-timeout": f"{timeout_s:g}"})
    path = f"/v1/apis/{part(api)}/predict"
    request = Request(method="POST", path=path, body=item, headers=headers, patience_s=(timeout_s or 0.0) + 5.0)
    return Call(request, as_it_is)


def transform(api: str, body: Mapping[str, Any]) -> Call[TransformJobMade]:
    """`body` is a CreateTransformJob. Sent again it is the same job: its name makes it so."""
    return _post(f"/v1/apis/{part(api)}/transform-jobs", body, TransformJobMade, is_repeatable=True)


def stop(job_id: str) -> Call[JobBody]:
    request = Request(method="DELETE", path=f"/v1/jobs/{part(job_id)}", is_repeatable=True)
    return Call(request, reading(JobBody))


def results(job_id: str) -> Request:
    """One result a line."""
    return _lines(f"/v1/jobs/{part(job_id)}/results")


def links(job_id: str, seconds: int) -> Request:
    """One address a line, good for so many seconds. Conflict where the store has none."""
    return _lines(f"/v1/jobs/{part(job_id)}/results?links=true&expires={seconds}")


def failures(job_id: str) -> Request:
    """One failed item a line."""
    return _lines(f"/v1/jobs/{part(job_id)}/failures")


def logs(job_id: str, after: str | None) -> Call[LogPage]:
    """Up to 1000 lines, those behind the page whose `next` is `after`."""
    return _get(f"/v1/jobs/{part(job_id)}/logs?{_query(limit=_LONGEST_LOG_PAGE, after=after)}", LogPage)


def follow_logs(job_id: str, after: str | None) -> Request:
    """The lines of a stream of server-sent events, which ends with the job."""
    return _lines(f"/v1/jobs/{part(job_id)}/logs?{_query(follow='true', after=after)}")


def dead_letters(owner: str, *, limit: int = 100, query: Mapping[str, str] = _ANY) -> Call[DeadLetterList]:
    """Those of `owner`: apis/NAME or jobs/ID. `query` may have stage, exception, message and replayed."""
    return _get(f"/v1/{_owner(owner)}/dlq?{urlencode({'limit': limit, **query})}", DeadLetterList)


def dead_letter(owner: str, ref: str) -> Call[DeadLetterDetail]:
    return _get(f"/v1/{_owner(owner)}/dlq/{part(ref)}", DeadLetterDetail)


def exported(owner: str, query: Mapping[str, str]) -> Request:
    """One dead letter a line, with its payload; `query` may have payload=base64, too."""
    return _lines(f"/v1/{_owner(owner)}/dlq/export?{urlencode(query)}")


def replay(owner: str, wanted: Mapping[str, Any]) -> Call[ReplayBody]:
    """`wanted` is a ReplayRequest's JSON. Sent again it goes on where it was."""
    path = f"/v1/{_owner(owner)}/dlq/replay"
    return _post(path, wanted, ReplayBody, is_repeatable=True, patience_s=_LONGEST_REPLAY_S)


def webhooks(query: Mapping[str, str]) -> Call[DeliveryList]:
    """`query` may have limit, job_id, api and state."""
    return _get(f"/v1/webhooks?{urlencode(query)}", DeliveryList)


def tell_again(wanted: Mapping[str, Any]) -> Call[ToldAgain]:
    """`wanted` is a TellAgain's JSON."""
    return _post("/v1/webhooks/replay", wanted, ToldAgain)


def _owner(name: str) -> str:
    """Of dead letters: apis/NAME or jobs/ID."""
    kind, _, named = name.partition("/")
    return f"{kind}/{part(named)}"


def part(text: str) -> str:
    """A segment of a path."""
    return quote(text, safe="")


def json_of(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, allow_nan=False).encode()


def _get(path: str, model: type[B]) -> Call[B]:
    return Call(Request(method="GET", path=path, is_repeatable=True), reading(model))


def _post(
    path: str,
    body: Mapping[str, Any],
    model: type[B],
    *,
    headers: Mapping[str, str] = _ANY,
    is_repeatable: bool = False,
    patience_s: float = 0.0,
) -> Call[B]:
    sent = {"Content-Type": _JSON, **headers}
    request = Request(
        method="POST",
        path=path,
        body=json_of(body),
        headers=sent,
        is_repeatable=is_repeatable,
        patience_s=patience_s,
    )
    return Call(request, reading(model))


def _lines(path: str) -> Request:
    return Request(method="GET", path=path, is_repeatable=True)


def _query(**given: object) -> str:
    return urlencode({name: value for name, value in given.items() if value is not None})
