"""The gateway from outside: one method a request. A problem document becomes an error of ours, with its exit code."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, TypeVar
from urllib.parse import quote, urlencode

import urllib3
from pydantic import BaseModel, ValidationError
from urllib3.exceptions import HTTPError, LocationParseError

from stream_infer.errors import ServiceUnavailable, StreamInferError, UsageError
from stream_infer.gateway.api_bodies import ApiBody, ApiList
from stream_infer.gateway.letter_bodies import DeadLetterDetail, DeadLetterList, ReplayBody
from stream_infer.gateway.representations import JobBody, JobList, LogPage, UploadBody
from stream_infer.gateway.sagemaker_request import TransformJobMade
from stream_infer.gateway.webhook_bodies import DeliveryList, ToldAgain

CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 60.0
_STREAM_BYTES = 64 * 1024
_ANY: Mapping[str, str] = MappingProxyType({})
B = TypeVar("B", bound=BaseModel)
_UNKNOWN_JOB = "urn:stream-infer:problem:unknown-job"
_ITEM_REJECTED = "urn:stream-infer:problem:item-rejected"


class UnknownJob(UsageError):
    """The gateway knows no job of that name."""


class GatewayClient:
    """Talks to the gateway at `url`, with the API key `key`, where it asks for one.

    Every method raises UsageError (what was asked for is wrong or not there), ServiceUnavailable (no gateway there,
    or it cannot reach what it needs) or StreamInferError (the gateway failed).
    """

    def __init__(self, url: str, key: str | None = None, *, read_timeout_s: float = READ_TIMEOUT_S) -> None:
        self._url = url.rstrip("/")
        self.url = self._url
        timeout = urllib3.Timeout(connect=min(CONNECT_TIMEOUT_S, read_timeout_s), read=read_timeout_s)
        credentials = {} if key is None else {"Authorization": f"Bearer {key}"}
        self._credentials: Mapping[str, str] = MappingProxyType(credentials)
        self._pool = urllib3.PoolManager(retries=False, timeout=timeout)
        if not self._url.startswith(("http://", "https://")):
            raise UsageError(f"--gateway {url} is no address: write http://HOST:PORT")

    def apis(self) -> list[ApiBody]:
        return self._get("/v1/apis", ApiList).apis

    def job(self, job_id: str) -> JobBody:
        return self._get(f"/v1/jobs/{_part(job_id)}", JobBody)

    def jobs(self, *, api: str | None = None, limit: int = 20) -> JobList:
        query = {"limit": str(limit)} | ({} if api is None else {"api": api})
        return self._get(f"/v1/jobs?{urlencode(query)}", JobList)

    def submit(self, api: str, spec: Mapping[str, Any], idempotency_key: str) -> JobBody:
        """Sends it again, once, where the answer got lost: the key makes that the same job."""
        path = f"/v1/apis/{_part(api)}/jobs"
        headers = {"Idempotency-Key": idempotency_key}
        try:
            return self._send(path, spec, JobBody, headers)
        except ServiceUnavailable:
            return self._send(path, spec, JobBody, headers)

    def dry_run(self, api: str, spec: Mapping[str, Any], limit: int) -> Iterator[bytes]:
        """What would be enqueued: an item a line, then how many there are."""
        body = json.dumps(spec, allow_nan=False).encode()
        headers = {"Content-Type": "application/json", "Accept": "application/x-ndjson"}
        return self._lines(f"/v1/apis/{_part(api)}/jobs?dry_run=true&limit={limit}", "POST", body, headers)

    def upload(self, path: Path) -> UploadBody:
        """Sends the file, in constant memory."""
        try:
            with path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
                name = urlencode({"name": path.name}, errors="replace")
                return self._read(self._request("POST", f"/v1/uploads?{name}", file, headers), UploadBody)
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error.strerror}") from error

    def remove_upload(self, upload_id: str) -> None:
        self._request("DELETE", f"/v1/uploads/{_part(upload_id)}").drain_conn()

    def predict(self, api: str, item: bytes, content_type: str, timeout_s: float | None) -> tuple[bytes, str]:
        """One item's output and its content type. StreamInferError too where the item is rejected."""
        headers = {"Content-Type": content_type} | ({} if timeout_s is None else {"si-timeout": f"{timeout_s:g}"})
        patience_s = max(READ_TIMEOUT_S, (timeout_s or 0.0) + 5.0)
        response = self._request("POST", f"/v1/apis/{_part(api)}/predict", item, headers, patience_s)
        try:
            return response.data, response.headers.get("Content-Type", "")
        except HTTPError as error:
            raise ServiceUnavailable(f"the gateway's answer broke off: {_reason(error)}") from error

    def transform(self, api: str, body: Mapping[str, Any]) -> TransformJobMade:
        """`body` is a CreateTransformJob. Sent again, once, where the answer got lost: its name makes it the same."""
        path = f"/v1/apis/{_part(api)}/transform-jobs"
        try:
            return self._send(path, body, TransformJobMade, {})
        except ServiceUnavailable:
            return self._send(path, body, TransformJobMade, {})

    def stop(self, job_id: str) -> JobBody:
        return self._read(self._request("DELETE", f"/v1/jobs/{_part(job_id)}"), JobBody)

    def results(self, job_id: str) -> Iterator[bytes]:
        """One result a line, its line end included."""
        return self._lines(f"/v1/jobs/{_part(job_id)}/results")

    def links(self, job_id: str, seconds: int) -> Iterator[bytes]:
        """One address a line, good for so many seconds. Raises UsageError where the store has none."""
        return self._lines(f"/v1/jobs/{_part(job_id)}/results?links=true&expires={seconds}")

    def failures(self, job_id: str) -> Iterator[bytes]:
        """One failed item a line, its line end included."""
        return self._lines(f"/v1/jobs/{_part(job_id)}/failures")

    def logs(self, job_id: str, after: str | None) -> LogPage:
        """Up to 1000 lines, those behind the page whose `next` is `after`."""
        query = {"limit": "1000"} | ({} if after is None else {"after": after})
        return self._get(f"/v1/jobs/{_part(job_id)}/logs?{urlencode(query)}", LogPage)

    def follow_logs(self, job_id: str, after: str | None) -> Iterator[bytes]:
        """The lines of a stream of server-sent events, which ends with the job."""
        query = {"follow": "true"} | ({} if after is None else {"after": after})
        return self._lines(f"/v1/jobs/{_part(job_id)}/logs?{urlencode(query)}")

    def dead_letters(self, owner: str, *, limit: int = 100, query: Mapping[str, str] = _ANY) -> DeadLetterList:
        """Those of `owner`: apis/NAME or jobs/ID. `query` may have stage, exception, message and replayed."""
        return self._get(f"/v1/{quote(owner)}/dlq?{urlencode({'limit': limit, **query})}", DeadLetterList)

    def exported(self, owner: str, query: Mapping[str, str]) -> Iterator[bytes]:
        """One dead letter a line, with its payload; `query` may have payload=base64, too."""
        return self._lines(f"/v1/{quote(owner)}/dlq/export?{urlencode(query)}")

    def replay(self, owner: str, wanted: Mapping[str, Any]) -> ReplayBody:
        """`wanted` is a ReplayRequest's JSON. Sends it again, once, where the answer got lost: it goes on then."""
        path = f"/v1/{quote(owner)}/dlq/replay"
        try:
            return self._send(path, wanted, ReplayBody, {})
        except ServiceUnavailable:
            return self._send(path, wanted, ReplayBody, {})

    def dead_letter(self, owner: str, ref: str) -> DeadLetterDetail:
        return self._get(f"/v1/{quote(owner)}/dlq/{_part(ref)}", DeadLetterDetail)

    def webhooks(self, query: Mapping[str, str]) -> DeliveryList:
        """`query` may have limit, job_id, api and state."""
        return self._get(f"/v1/webhooks?{urlencode(query)}", DeliveryList)

    def tell_again(self, wanted: Mapping[str, Any]) -> ToldAgain:
        """`wanted` is a TellAgain's JSON."""
        return self._send("/v1/webhooks/replay", wanted, ToldAgain, {})

    def owner(self, name: str) -> str:
        """`apis/NAME` or `jobs/ID`, whichever `name` is; an API's name comes first."""
        apis = [api.name for api in self.apis()]
        if name in apis:
            return f"apis/{name}"
        try:
            self.job(name)
        except UnknownJob:
            raise UsageError(
                f"no API or job is named {name!r}. Known APIs: {', '.join(apis) or 'none'}; "
                "`stream-infer get` lists them and the newest jobs."
            ) from None
        return f"jobs/{name}"

    def close(self) -> None:
        self._pool.clear()

    def _get(self, path: str, model: type[B]) -> B:
        return self._read(self._request("GET", path), model)

    def _send(self, path: str, body: Mapping[str, Any], model: type[B], headers: Mapping[str, str]) -> B:
        sent = {"Content-Type": "application/json", **headers}
        return self._read(self._request("POST", path, json.dumps(body, allow_nan=False).encode(), sent), model)

    def _request(
        self,
        method: str,
        path: str,
        body: bytes | BinaryIO | None = None,
        headers: Mapping[str, str] | None = None,
        patience_s: float = READ_TIMEOUT_S,
    ) -> urllib3.BaseHTTPResponse:
        """An answer that is no error, its body not read yet."""
        try:
            response = self._pool.request(
                method,
                self._url + path,
                body=body,
                headers={**(headers or {}), **self._credentials},
                preload_content=False,
                redirect=False,
                timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=patience_s),
            )
            if response.status >= 300:
                raise error_of(response.status, response.data, f"{self._url}{path}")
        except LocationParseError as error:
            raise UsageError(f"--gateway {self._url} is no address: {error}") from error
        except HTTPError as error:
            raise ServiceUnavailable(
                f"no gateway answers at {self._url}: {_reason(error)}. Is `stream-infer up` running? "
                "Another address is given with --gateway URL."
            ) from error
        return response

    def _read(self, response: urllib3.BaseHTTPResponse, model: type[B]) -> B:
        try:
            return model.model_validate_json(response.data)
        except ValidationError as error:
            raise StreamInferError(
                f"what answers at {self._url} is no gateway of this version: {error.error_count()} errors in its "
                f"{model.__name__}"
            ) from error
        except HTTPError as error:
            raise ServiceUnavailable(f"the gateway's answer broke off: {_reason(error)}") from error

    def _lines(
        self, path: str, method: str = "GET", body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Iterator[bytes]:
        response = self._request(method, path, body, headers)
        rest = b""
        try:
            for chunk in response.stream(_STREAM_BYTES):
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    yield line + b"\n"
        except HTTPError as error:
            raise ServiceUnavailable(f"the stream of {self._url}{path} broke off: {_reason(error)}") from error
        finally:
            response.close()
        if rest:
            yield rest + b"\n"


def error_of(status: int, body: bytes, where: str) -> StreamInferError:
    """The error that an answer with `status` means: 4xx is the user's to mend, 429 and 502 to 504 may pass.

    An item that the predictor rejects is an end like that of a failed job.
    """
    message = _said(body) or f"{where} answered {status}"
    if status == 404 and _type_of(body) == _UNKNOWN_JOB:
        return UnknownJob(message.replace("GET /v1/jobs lists", "`stream-infer get` lists"))
    if status in (429, 502, 503, 504):
        return ServiceUnavailable(message)
    if _type_of(body) == _ITEM_REJECTED:
        return StreamInferError(message)
    if 400 <= status < 500:
        return UsageError(message)
    return StreamInferError(f"{message} (the gateway answered {status})")


def _type_of(body: bytes) -> str:
    try:
        return str(json.loads(body)["type"])
    except (ValueError, KeyError, TypeError):
        return ""


def _said(body: bytes) -> str:
    """What a problem document says; empty where it is none."""
    try:
        problem = json.loads(body)
        detail, errors = str(problem["detail"]), problem.get("errors") or []
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""
    if len(errors) < 2:
        return detail
    return "\n".join(["the request is not valid:", *(f"  {error['pointer']}: {error['detail']}" for error in errors)])


def _part(text: str) -> str:
    return quote(text, safe="")


def _reason(error: Exception) -> str:
    """Without the connection that urllib3 puts in front."""
    return re.sub(r"^(<.*>|\w+\(.*?\)): ", "", str(error)) or type(error).__name__
