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
    return in_words_of_aws(problem.response())


def in_words_of_aws(problem: web.Response) -> web.Response:
    """`problem` is a problem document. AWS's clients know four hundreds by their type alone."""
    assert isinstance(problem.body, bytes)
    document = json.loads(problem.body)
    kind, status = _aws_kind(document["type"], problem.status)
    body = {"__type": kind, "Message" if kind in _MODELLED else "message": document["detail"]}
    headers = {"x-amzn-ErrorType": kind} | {name: text for name, text in problem.headers.items() if name in _KEPT}
    return aws_answer(body, status=status, headers=headers)


def aws_answer(
    body: Mapping[str, Any], *, status: int = 200, headers: Mapping[str, str] = MappingProxyType({})
) -> web.Response:
    """With the request's id where AWS's clients look for it."""
    return answer(
        body, status=status, headers={"x-amzn-RequestId": request_id()} | dict(headers), content_type=AWS_TYPE
    )


_AWS_KINDS = {
    ProblemKind.UNKNOWN_JOB: ("ResourceNotFound", 400),
    ProblemKind.UNKNOWN_API: ("ResourceNotFound", 400),
    ProblemKind.JOB_NAME_TAKEN: ("ResourceInUse", 400),
    ProblemKind.LIMIT_EXCEEDED: ("ResourceLimitExceeded", 400),
    ProblemKind.NO_KEY: ("UnrecognizedClientException", 400),
    ProblemKind.WRONG_SIGNATURE: ("InvalidSignatureException", 400),
    ProblemKind.INCOMPLETE_SIGNATURE: ("IncompleteSignatureException", 400),
    ProblemKind.SCOPE_MISSING: ("AccessDeniedException", 400),
    ProblemKind.FOREIGN_HOST: ("AccessDeniedException", 400),
    ProblemKind.RATE_LIMITED: ("ThrottlingException", 400),
    ProblemKind.UNKNOWN_PATH: ("UnknownOperationException", 404),
    ProblemKind.INTERNAL: ("InternalFailure", 500),
}
_AWS_KIND_OF = {kind.type: told for kind, told in _AWS_KINDS.items()}


def _aws_kind(problem_type: str, status: int) -> tuple[str, int]:
    """What it is called, and its status there."""
    other = ("ServiceUnavailable", status) if status >= 500 else ("ValidationException", 400)
    return _AWS_KIND_OF.get(problem_type, other)
