"""What can go wrong between a program and its gateway, with the exit codes that the CLI has for it.

    StreamInferError                 exit 1
    ├── GatewayFailed                  the gateway failed at it, or what answers is no gateway (500, …)
    ├── ItemRejected                   a prediction: the predictor refuses the item, or fails on it
    ├── JobIncomplete                  the job has not ended with every item succeeded
    ├── WaitTimeout                    it has not ended in the time given; a TimeoutError, too
    ├── UsageError                   exit 2
    │   ├── ApiFailed                  an API's code, or what it requires, cannot be made ready
    │   └── RequestRefused             what was asked for is wrong as it stands (400, 408, 415, 422, …)
    │       ├── NotAuthorized            no API key, an unknown one, or one that may not do this (401, 403)
    │       ├── NotFound                 there is no such thing (404)
    │       │   ├── UnknownApi
    │       │   └── UnknownJob
    │       ├── Conflict                 not as things are at present (409)
    │       └── TooLarge                 over one of the gateway's limits (413)
    └── ServiceUnavailable           exit 3
        └── GatewayUnavailable         nobody answers, or the gateway asks to come again (429, 502, 503, 504)

Each of those that an answer made has its problem document (RFC 9457).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from stream_infer.errors import ServiceUnavailable, StreamInferError, UsageError

_PREFIX = "urn:stream-infer:problem:"
_NOTHING: Mapping[str, Any] = MappingProxyType({})


class _OfAnAnswer(StreamInferError):
    """`status` is None where nobody answered; `problem` is empty where what answered was no problem document."""

    def __init__(self, message: str, *, status: int | None = None, problem: Mapping[str, Any] = _NOTHING) -> None:
        super().__init__(message)
        self.status = status
        self.problem = problem

    @property
    def kind(self) -> str:
        """What the problem's `type` ends in, such as `unknown-job`; "" where it is none of the gateway's."""
        return _kind_of(self.problem)


class GatewayFailed(_OfAnAnswer):
    """The gateway failed at it, or what answers is no gateway."""


class ItemRejected(_OfAnAnswer):
    """The predictor refuses the item, or fails on it."""


class RequestRefused(_OfAnAnswer, UsageError):
    """What was asked for is wrong as it stands."""


class NotAuthorized(RequestRefused):
    """There is no API key, nobody knows it, or it may not do this."""


class NotFound(RequestRefused):
    """There is no such thing."""


class UnknownApi(NotFound):
    """The gateway has no API of that name."""


class UnknownJob(NotFound):
    """The gateway knows no job of that name."""


class Conflict(RequestRefused):
    """It cannot be done as things are at present."""


class TooLarge(RequestRefused):
    """The request is over one of the gateway's limits, which the message names."""


class GatewayUnavailable(_OfAnAnswer, ServiceUnavailable):
    """Nobody answers, or the gateway asks to come again, in `retry_after` seconds where it says so."""

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        problem: Mapping[str, Any] = _NOTHING,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, status=status, problem=problem)
        self.retry_after = retry_after


class JobIncomplete(StreamInferError):
    """The job has not ended with every item succeeded."""


class ApiFailed(UsageError):
    """An API's code, or what it requires, cannot be made ready."""


class WaitTimeout(StreamInferError, TimeoutError):
    """What was waited for has not come in the time given. It goes on."""


_BY_KIND: Mapping[str, type[_OfAnAnswer]] = MappingProxyType(
    {
        "unknown-job": UnknownJob,
        "unknown-api": UnknownApi,
        "item-rejected": ItemRejected,
        "item-failed": ItemRejected,
        "predictor-crashed": ItemRejected,
    }
)
_BY_STATUS: Mapping[int, type[_OfAnAnswer]] = MappingProxyType(
    {401: NotAuthorized, 403: NotAuthorized, 404: NotFound, 409: Conflict, 413: TooLarge}
)
_COME_AGAIN = frozenset({429, 502, 503, 504})


def error_of(status: int, headers: Mapping[str, str], body: bytes, where: str) -> StreamInferError:
    """The error that an answer with `status` means; `headers` have names in lower case, `where` is what was asked."""
    problem = _problem_in(body)
    message = _said(problem) or f"{where} answered {status}"
    if status in _COME_AGAIN:
        wish = headers.get("retry-after", "")
        after = float(wish) if wish.isascii() and wish.isdigit() else None
        return GatewayUnavailable(message, status=status, problem=problem, retry_after=after)
    kind = _BY_KIND.get(_kind_of(problem)) or _BY_STATUS.get(status)
    if kind is UnknownJob:
        message = message.replace("GET /v1/jobs lists", "`stream-infer get` lists")
    if kind is None:
        kind = RequestRefused if 400 <= status < 500 else GatewayFailed
    if kind is GatewayFailed:
        message = f"{message} (the gateway answered {status})"
    return kind(message, status=status, problem=problem)


def _problem_in(body: bytes) -> Mapping[str, Any]:
    """Empty where it is none."""
    try:
        found = json.loads(body)
    except ValueError:
        return _NOTHING
    if not isinstance(found, dict):
        return _NOTHING
    if "kind" in found and "message" in found:  # in Cortex's words, at an API's own endpoint
        return {"type": f"{_PREFIX}{str(found['kind']).replace('_', '-')}", "detail": found["message"]}
    return found if "detail" in found else _NOTHING


def _kind_of(problem: Mapping[str, Any]) -> str:
    given = problem.get("type")
    return given.removeprefix(_PREFIX) if isinstance(given, str) and given.startswith(_PREFIX) else ""


def _said(problem: Mapping[str, Any]) -> str:
    errors = problem.get("errors") or []
    if len(errors) < 2:
        return str(problem.get("detail", ""))
    return "\n".join(["the request is not valid:", *(f"  {error['pointer']}: {error['detail']}" for error in errors)])
