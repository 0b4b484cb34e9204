"""A problem in the words of whoever asks: our own, Cortex's, or those of AWS's clients."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TypeAlias

from aiohttp import web

from stream_infer.gateway.cortex_bodies import error_body
from stream_infer.http.answers import answer
from stream_infer.http.problems import Problem, ProblemKind

Words: TypeAlias = Callable[[Problem], web.Response]

AWS_TYPE = "application/x-amz-json-1.1"
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
    match problem.kind:
        case ProblemKind.UNKNOWN_JOB | ProblemKind.UNKNOWN_API:
            kind, status = "ResourceNotFound", 400
        case ProblemKind.JOB_NAME_TAKEN:
            kind, status = "ResourceInUse", 400
        case ProblemKind.NO_KEY:
            kind, status = "UnrecognizedClientException", 400
        case ProblemKind.SCOPE_MISSING:
            kind, status = "AccessDeniedException", 400
        case ProblemKind.RATE_LIMITED:
            kind, status = "ThrottlingException", 400
        case _ if problem.status >= 500:
            kind, status = "ServiceUnavailable", problem.status
        case _:
            kind, status = "ValidationException", 400
    body = {"__type": kind, "message": problem.document.detail}
    headers = {"x-amzn-ErrorType": kind} | {name: text for name, text in problem.headers.items() if name in _KEPT}
    return answer(body, status=status, headers=headers, content_type=AWS_TYPE)
