"""What a client sends to deploy an API, as it is read."""

import asyncio
from typing import Any

import pytest
from aiohttp import FormData, web
from aiohttp.test_utils import TestClient, TestServer

from stream_infer.gateway.deployments.request import read_deployment
from stream_infer.http.bodies import within
from stream_infer.http.budget import BodyBudget
from stream_infer.http.problems import Problem


def form(code: bytes) -> FormData:
    made = FormData()
    made.add_field("definition", b'{"name": "cats"}', content_type="application/json", filename="d.json")
    made.add_field("code", code, content_type="application/gzip", filename="code.tar.gz")
    return made


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
