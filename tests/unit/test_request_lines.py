"""Each request under an id of its own, told in one line: by whom, and how it went."""

import asyncio
import io
import json
import logging
import threading
from types import SimpleNamespace

import pytest
import structlog
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from stream_infer.gateway.dead_letters.replay_resource import ReplaysResource
from stream_infer.http.callers import CALLER, Caller
from stream_infer.http.problems import answer_with_problems
from stream_infer.http.request_lines import telling
from stream_infer.telemetry.logs import configure_logs


@pytest.fixture
def lines():
    """What is logged, at INFO."""
    root, stream = logging.getLogger(), io.StringIO()
    before = root.handlers[:], root.level
    configure_logs("gateway", style="json", stream=stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.handlers[:], root.level = before
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


@web.middleware
async def guard(request, handler):
    if "X-Key" in request.headers:
        request[CALLER] = Caller("nightly", "id1")
    return await handler(request)


async def ask(*requests, **headers):
    """Each a method and a path; the answers' ids."""

    async def work(request):
        structlog.get_logger("x").info("worked")
        if "fail" in request.query:
            raise ValueError("a bug")
        return web.Response()

    app = web.Application(middlewares=[telling(quiet=("/predict",)), answer_with_problems, guard])
    app.add_routes([web.route("*", "/jobs/{id}", work), web.post("/predict", work)])
    async with TestClient(TestServer(app)) as client:
        answers = [await client.request(method, path, headers=headers) for method, path in requests]
        return [one.headers["X-Request-Id"] for one in answers]


def test_a_request_that_changes_something_is_a_line_with_whose_key_it_came_with(lines):
    [id_] = asyncio.run(ask(("POST", "/jobs/a%0Ab?secret=hunter2"), **{"X-Key": "k"}))

    worked, request = lines()
    assert worked["request_id"] == request["request_id"] == id_
    expected = {
        "event": "request", "level": "info", "method": "POST", "path": "/jobs/a\nb", "route": "/jobs/{id}",
        "status": 200, "caller": "nightly", "key_id": "id1",
    }  # fmt: skip
    assert expected.items() <= request.items()


def test_without_keys_nobody_is_named(lines):
    asyncio.run(ask(("DELETE", "/jobs/a")))

    assert not {"caller", "key_id"} & lines()[-1].keys()


def test_what_only_looks_is_no_line_but_where_the_server_failed_at_it(lines):
    looks = [("GET", "/jobs/a"), ("POST", "/predict")]
    ids = asyncio.run(ask(*looks, *((method, f"{path}?fail=1") for method, path in looks)))

    told = [line for line in lines() if line["event"] == "request"]
    assert [(line["status"], line["level"], line["request_id"]) for line in told] == [
        (500, "warning", id_) for id_ in ids[2:]
    ]


def test_what_is_no_request_is_no_traceback_and_a_line_in_a_while(lines):
    async def send_garbage():
        async with TestServer(web.Application(middlewares=[telling()])) as server:
            for _ in range(5):
                reader, writer = await asyncio.open_connection(server.host, server.port)
                writer.write(b"GET / HTTP/1.1\r\nno header\r\nAuthorization: Bearer hunter2\r\n\r\n")
                assert b" 400 " in await reader.readline()
                writer.close()

    asyncio.run(send_garbage())
    [line] = lines()
    assert (line["level"], "exception" in line, "\n" in line["event"]) == ("warning", False, False)
    assert line["logger"] == "aiohttp.server"
    assert "for 30 s only --debug tells more" in line["event"]
    assert "hunter2" not in str(line)


def test_what_a_replay_says_on_its_thread_it_says_of_the_request():
    said = []

    class Replay:
        request = SimpleNamespace(api="a", job_id="j")

        def run(self):
            said.append((threading.current_thread().name, structlog.contextvars.get_contextvars()))

    async def replay():
        turn = asyncio.Lock()
        await turn.acquire()
        with structlog.contextvars.bound_contextvars(request_id="r", caller="nightly"):
            await ReplaysResource(SimpleNamespace())._run(Replay(), turn)

    asyncio.run(replay())
    assert said == [("replay", {"request_id": "r", "caller": "nightly"})]
