"""By which names a server without keys is called."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiohttp import web

from stream_infer.http.hosts import own_names_only, require_own_name
from stream_infer.http.problems import Problem, ProblemKind
from stream_infer.http_settings import GatewaySettings


@pytest.mark.parametrize(
    "host",
    [
        None, "", "localhost", "localhost:8080", "LOCALHOST.", "a.localhost:1", "127.0.0.1:8080", "10.1.2.3",
        "[::1]:8080", "[::1]", "proxy.example", "proxy.example:443",
    ],
)  # fmt: skip
def test_an_address_localhost_and_names_of_our_own_are_answered(host: str | None) -> None:
    require_own_name(host, {"proxy.example"})


@pytest.mark.parametrize(
    "host", ["rebound.example", "rebound.example:8080", "localhost.rebound.example", "127.0.0.1.rebound.example", "x"]
)
def test_a_page_whose_name_leads_here_all_of_a_sudden_is_not(host: str) -> None:
    with pytest.raises(Problem, match=r"gateway\.public_url") as caught:
        require_own_name(host, {"proxy.example"})
    assert (caught.value.kind, caught.value.status) == (ProblemKind.FOREIGN_HOST, 403)


def test_every_request_is_looked_at() -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(status=204)

    check = own_names_only(GatewaySettings(public_url="https://Proxy.Example:8443/x").names)
    ask = lambda host: asyncio.run(check(cast(Any, SimpleNamespace(headers={"Host": host})), answer))  # noqa: E731
    assert ask("proxy.example").status == 204
    with pytest.raises(Problem):
        ask("rebound.example")
