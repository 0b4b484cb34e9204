"""What is wrong is told in the words of who asks at a path, whoever finds it."""

import asyncio
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from stream_infer.gateway.doors import told_in_their_words
from stream_infer.http.hosts import own_names_only
from stream_infer.http.problems import Problem, ProblemKind, answer_with_problems


def asked(method: str, path: str, host: str = "localhost") -> tuple[int, str, dict[str, Any], str | None]:
    """Status, content type, document and Allow of what a gateway with these doors answers."""

    async def refuse(_request: web.Request) -> web.Response:
        raise Problem(ProblemKind.BUSY, "Come later.")

    async def go() -> tuple[int, str, dict[str, Any], str | None]:
        app = web.Application(middlewares=[told_in_their_words, answer_with_problems, own_names_only(())])
        for known in ("/v1/files", "/v1/batches", "/v1/jobs"):
            app.router.add_get(known, refuse, allow_head=False)
        app.router.add_post("/", refuse)
        async with (
            TestClient(TestServer(app)) as client,
            client.request(method, path, headers={"Host": host}) as answer,
        ):
            told = await answer.json(content_type=None)
            return answer.status, answer.content_type, told, answer.headers.get("Allow")

    return asyncio.run(go())


@pytest.mark.parametrize(
    ("method", "path", "status", "code", "said"),
    [
        ("PUT", "/v1/files", 405, "method_not_allowed", "has no PUT; it has GET"),
        ("GET", "/v1/files/a/b/c", 404, "unknown_path", "'/v1/files/a/b/c' is no path here"),
        ("GET", "/v1/batches/a/b", 404, "unknown_path", "is no path here"),
        ("GET", "/v1/batches", 503, "busy", "Come later."),
        ("POST", "/v1/chat/completions", 404, "unknown_path", "is no path here"),
        ("GET", "/v1/models", 404, "unknown_path", "is no path here"),
    ],
)
def test_openais_clients_read_their_own_errors(method: str, path: str, status: int, code: str, said: str) -> None:
    got, kind, told, allow = asked(method, path)
    assert (got, kind, told["error"]["code"]) == (status, "application/json", code)
    assert said in told["error"]["message"]
    assert allow == ("GET" if status == 405 else None)


def test_a_gateway_that_is_called_by_a_strange_name_says_so_in_the_words_of_each() -> None:
    status, _, told, _ = asked("GET", "/v1/files", host="elsewhere.example")
    assert (status, told["error"]["code"]) == (403, "foreign_host")
    status, kind, told, _ = asked("POST", "/", host="elsewhere.example")
    assert (status, kind, told["__type"]) == (400, "application/x-amz-json-1.1", "AccessDeniedException")
    assert "is not called 'elsewhere.example'" in told["message"]
    assert asked("POST", "/")[:2] == (503, "application/x-amz-json-1.1")


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/v1/jobs"), ("GET", "/v1/filesystem"), ("PUT", "/"), ("GET", "/x")]
)
def test_every_other_path_has_problem_documents(method: str, path: str) -> None:
    assert asked(method, path)[1] == "application/problem+json"
