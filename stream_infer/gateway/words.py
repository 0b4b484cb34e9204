"""A problem in the words of whoever asks: our own, Cortex's, or those of AWS's clients."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

from aiohttp import web

from stream_infer.gateway.cortex.bodies import error_body
from stream_infer.http.answers import answer
from stream_infer.http.problems import Problem, ProblemKind
from stream_infer.http.request_lines import request_id

Words: TypeAlias = Callable[[Problem], web.Response]

AWS_TYPE = "application/x-amz-json-1.1"
# Of SageMaker's own service model, whose clients know the member's case; all others are of AWS's protocol.
_MODELLED = frozenset({"ResourceNotFound", "ResourceInUse", "ResourceLimitExceeded"})
_KEPT = ("Allow", "Accept", "Retry-After", "WWW-Authenticate")


def own_words(problem: Problem) -> web.Response:
    return problem.response()


def words_of_cortex(problem: Problem) -> web.Response:
    return in_words_of_cortex(problem.response())


def in_words_of_cortex(problem: web.Response) -> web.Response:
    """`problem` is a problem document."""
    assert isinstance(problem.body, bytes)
    kept = {name: value for name, value in problem.headers.items() if name in _KEPT}
    return answer(error_body(json.loads(problem.body)), status=problem.status, headers=kept)


def words_of_aws(problem: Problem) -> web.Response:
    """AWS's clients know four hundreds by their type alone."""
    kind, status = _aws_kind(problem)
    body = {"__type": kind, "Message" if kind in _MODELLED else "message": problem.document.detail}
    headers = {"x-amzn-ErrorType": kind} | {name: text for name, text in problem.headers.items() if name in _KEPT}
    return aws_answer(body, status=status, headers=headers)


def aws_answer(
    body: Mapping[str, Any], *, status: int = 200, headers: Mapping[str, str] = MappingProxyType({})
) -> web.Response:
    """With the request's id where AWS's clients look for it."""
    return answer(
        body, status=status, headers={"x-amzn-RequestId": request_id()} | dict(headers), content_type=AWS_TYPE
    )


def _aws_kind(problem: Problem) -> tuple[str, int]:
    match problem.kind:
        case ProblemKind.UNKNOWN_JOB | ProblemKind.UNKNOWN_API:
            return "ResourceNotFound", 400
        case ProblemKind.JOB_NAME_TAKEN:
            return "ResourceInUse", 400
        case ProblemKind.LIMIT_EXCEEDED:
            return "ResourceLimitExceeded", 400
        case ProblemKind.NO_KEY:
            return "UnrecognizedClientException", 400
        case ProblemKind.WRONG_SIGNATURE:
            return "InvalidSignatureException", 400
        case ProblemKind.INCOMPLETE_SIGNATURE:
            return "IncompleteSignatureException", 400
        case ProblemKind.SCOPE_MISSING:
            return "AccessDeniedException", 400
        case ProblemKind.RATE_LIMITED:
            return "ThrottlingException", 400
        case ProblemKind.UNKNOWN_PATH:
            return "UnknownOperationException", 404
        case ProblemKind.INTERNAL:
            return "InternalFailure", 500
        case _ if problem.status >= 500:
            return "ServiceUnavailable", problem.status
        case _:
            return "ValidationException", 400
