"""Errors as OpenAI's clients read them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from aiohttp import web

from stream_infer.gateway.openai.bodies import openai_error
from stream_infer.http.answers import answer
from stream_infer.http.problems import Problem

_KEPT = ("Allow", "Accept", "Retry-After", "WWW-Authenticate")
# Its clients try a 409 and a 503 again, by themselves.
_NO_RETRY = {"x-should-retry": "false"}


def words_of_openai(problem: Problem) -> web.Response:
    return in_words_of_openai(problem.response())


def in_words_of_openai(problem: web.Response) -> web.Response:
    """`problem` is a problem document."""
    assert isinstance(problem.body, bytes)
    document = json.loads(problem.body)
    status, error = openai_error(document)
    kept = {name: value for name, value in problem.headers.items() if name in _KEPT}
    return answer(error, status=status, headers=kept | ({} if _may_pass(status, document) else _NO_RETRY))


def _may_pass(status: int, document: Mapping[str, Any]) -> bool:
    """No 409 of ours does; and where a batch may have been made (the problem names its job), another try makes two."""
    return status != HTTPStatus.CONFLICT and not (status == HTTPStatus.SERVICE_UNAVAILABLE and "job_id" in document)
