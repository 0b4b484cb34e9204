"""What a client sends to deploy an API, as it is read."""

import asyncio
import gzip
from typing import Any

import pytest
from aiohttp import FormData, web
from aiohttp.test_utils import TestClient, TestServer

from stream_infer.gateway.deployments.request import read_deployment, read_patch
from stream_infer.http.bodies import within
from stream_infer.http.budget import BodyBudget
from stream_infer.http.problems import Problem, ProblemKind


def form(code: bytes) -> FormData:
    made = FormData()
    made.add_field("definition", b'{"name": "cats"}', content_type="application/json", filename="d.json")
    made.add_field("code", code, content_type="application/gzip", filename="code.tar.gz")
    return made


def refused_for(headers: dict[str, str]) -> Problem:
    """Why code that comes with them is not taken."""
    refused: list[Problem] = []

    async def read(request: web.Request) -> web.Response:
        with pytest.raises(Problem) as raised:
            await read_deployment(request, 200_000)
        refused.append(raised.value)
        return web.Response()

    async def ask() -> None:
        app = web.Application()
        app.router.add_post("/", read)
        said = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        part = f'--x\r\nContent-Disposition: form-data; name="code"\r\n{said}\r\n'.encode()
        sent = part + gzip.compress(bytes(100_000)) + b"\r\n--x--\r\n"
        async with TestClient(TestServer(app)) as client:
            await client.post("/", data=sent, headers={"Content-Type": "multipart/form-data; boundary=x"})

    asyncio.run(ask())
    [problem] = refused
    return problem


@pytest.mark.parametrize(("size", "status"), [(500, 200), (5000, 503)])
def test_code_counts_as_every_body_that_is_held_and_no_longer_than_it_is(size: int, status: int) -> None:
    budget, during = BodyBudget(most=2000, share=2000), list[int]()

    async def read(request: web.Request) -> web.Response:
        try:
            sent = await read_deployment(request, 10_000)
        except Problem as problem:
            return web.Response(status=problem.status)
        during.append(budget.held)
        assert sent.code == bytes(size)
        return web.Response()

    async def ask() -> Any:
        app = web.Application(middlewares=[within(budget)])
        app.router.add_post("/", read)
        async with TestClient(TestServer(app)) as client:
            return (await client.post("/", data=form(bytes(size)))).status

    assert asyncio.run(ask()) == status
    assert during == ([size + len(b'{"name": "cats"}')] if status == 200 else [])
    assert budget.held == 0


def test_a_part_that_was_packed_once_more_is_not_unpacked() -> None:
    """What came of it had no bound but the reader's own, 32 MiB, at which it was cut off without a word."""
    problem = refused_for({"Content-Encoding": "gzip"})

    assert problem.kind is ProblemKind.MALFORMED_REQUEST
    assert "Content-Encoding" in problem.document.detail


def test_a_header_of_a_part_that_is_too_long_is_the_senders_fault() -> None:
    assert refused_for({"X-Long": "x" * 10_000}).kind is ProblemKind.MALFORMED_REQUEST


def test_a_patch_counts_as_every_body_that_is_held() -> None:
    budget, during = BodyBudget(most=2000, share=2000), list[int]()

    async def read(request: web.Request) -> web.Response:
        assert await read_patch(request) == {"partitions": 2}
        during.append(budget.held)
        return web.Response()

    async def ask() -> None:
        app = web.Application(middlewares=[within(budget)])
        app.router.add_patch("/", read)
        async with TestClient(TestServer(app)) as client:
            await client.patch("/", json={"partitions": 2})

    asyncio.run(ask())
    assert during == [len(b'{"partitions": 2}')]
