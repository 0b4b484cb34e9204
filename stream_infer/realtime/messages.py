"""A request and its reply, apart from the bytes on the connection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from stream_infer.http.problems import CONTENT_TYPE, Problem


class Request(NamedTuple):
    """`target` is the path and the query as they came. Header names are in lower case; of a repeated one the last."""

    method: bytes
    target: bytes
    headers: Mapping[bytes, bytes]
    body: bytes


class Reply(NamedTuple):
    """`content_type` None: there is no body. `closes`: the connection ends with it."""

    status: int
    content_type: str | None
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    closes: bool = False


class Asker(Protocol):
    """Who waits for one reply at a time."""

    def reply(self, reply: Reply) -> None:
        """Must not block. Called once a request, in the event loop's thread."""
        ...


def problem_reply(problem: Problem, *, closes: bool = False) -> Reply:
    return Reply(problem.status, CONTENT_TYPE, problem.body(), tuple(problem.all_headers().items()), closes)
