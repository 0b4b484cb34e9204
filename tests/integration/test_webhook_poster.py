"""What is sent to a webhook's address, and what never is, against a real server."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from connectors.fetchers import addresses
from connectors.webhook import WebhookPoster
from stream_infer.ports import Posted
from tests.support.names import Names, system_names

asked: list[web.Request] = []


async def answers(request: web.Request) -> web.StreamResponse:
    asked.append(request)
    headers = {"Retry-After": request.query["after"]} if "after" in request.query else {}
    return web.Response(status=int(request.match_info["status"]), headers=headers, text="not to be repeated")


async def redirects(_request: web.Request) -> web.StreamResponse:
    return web.Response(status=307, headers={"Location": "/answers/200"})


async def never(_request: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


async def endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(status=200)
    await response.prepare(request)
    try:
        while True:
            await response.write(b"x" * 65536)
    except ConnectionError:
        return response


async def breaks_off(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


@asynccontextmanager
async def serving() -> AsyncIterator[str]:
    asked.clear()
    app = web.Application()
    for path, handler in (
        ("/answers/{status}", answers),
        ("/redirects", redirects),
        ("/never", never),
        ("/endless", endless),
        ("/breaks-off", breaks_off),
    ):
        app.router.add_post(path, handler)
    runner = web.AppRunner(app, shutdown_timeout=0, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def with_poster(act: Callable[[WebhookPoster, str], Awaitable[Any]], **options: Any) -> Any:
    """What `act` answers, which is given the server's address."""

    async def run() -> Any:
        poster = WebhookPoster(**{"timeout_s": 60.0, "allow_private_addresses": True, **options})
        try:
            async with serving() as base:
                return await act(poster, base)
        finally:
            await poster.close()

    return asyncio.run(run())


def posted(path: str, **options: Any) -> Posted:
    async def act(poster: WebhookPoster, base: str) -> Posted:
        return await poster.post(base + path, {"content-type": "application/json", "webhook-id": "msg_1"}, b"{}")

    answer = with_poster(act, **options)
    assert isinstance(answer, Posted)
    return answer


def test_a_message_comes_with_its_headers_and_without_what_nobody_asked_for() -> None:
    assert posted("/answers/204") == Posted(204)
    [request] = asked
    assert request.headers["webhook-id"] == "msg_1"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["user-agent"] == "stream-infer"
    assert not {"cookie", "authorization"} & {name.lower() for name in request.headers}


@pytest.mark.parametrize(("status", "said"), [(500, "500 Internal Server Error"), (410, "410 Gone"), (599, "599")])
def test_an_answer_that_is_no_success_is_named_and_not_repeated(status: int, said: str) -> None:
    answer = posted(f"/answers/{status}?after=120")

    assert answer == Posted(status, f"it answers {said}", 120.0)


def test_no_redirect_is_followed_and_the_reason_says_so() -> None:
    answer = posted("/redirects")

    assert answer.status == 307
    assert "follow no redirects" in (answer.reason or "")
    assert asked == []


def test_an_endless_answer_is_not_read() -> None:
    assert posted("/endless") == Posted(200)


def test_silence_and_a_broken_connection_are_reasons() -> None:
    assert posted("/never", timeout_s=0.3) == Posted(None, "no answer within 0.3 s (webhooks.timeout)")
    assert (posted("/breaks-off").reason or "").startswith("the connection broke (")


def test_nobody_at_the_address_is_a_reason_without_the_address_of_the_hook() -> None:
    async def act(poster: WebhookPoster, _base: str) -> Posted:
        return await poster.post("http://127.0.0.1:1/hook?token=hunter2", {}, b"{}")

    answer = with_poster(act)

    assert answer.status is None
    assert "cannot be reached" in answer.reason
    assert "hunter2" not in answer.reason


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:1/", "http://[::1]:1/", "http://169.254.169.254/", "http://2130706433:1/", "http://10.0.0.1/"],
)
def test_an_address_that_is_not_public_is_objected_to_before_anything_is_sent(url: str) -> None:
    async def act(poster: WebhookPoster, _base: str) -> tuple[str | None, Posted]:
        return poster.objection(url), await poster.post(url, {}, b"{}")

    objection, answer = with_poster(act, allow_private_addresses=False)

    assert "webhooks.allow_private_addresses" in objection
    assert answer == Posted(None, objection)


def test_a_name_that_leads_to_such_an_address_is_refused_when_it_is_looked_up() -> None:
    async def act(poster: WebhookPoster, base: str) -> tuple[str | None, Posted]:
        url = base.replace("127.0.0.1", "hooks.example.org") + "/answers/200"
        return poster.objection(url), await poster.post(url, {}, b"{}")

    objection, answer = with_poster(act, allow_private_addresses=False, resolver=Names("127.0.0.1"))

    assert objection is None
    assert answer.status is None
    assert "hooks.example.org (127.0.0.1) is not a public address: it is loopback" in answer.reason
    assert asked == []


def test_a_name_that_answers_differently_the_second_time_gains_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is looked up once a connection, and what was checked is what is connected to."""
    real = addresses.objection
    monkeypatch.setattr(addresses, "objection", lambda host: None if host == "127.0.0.1" else real(host))

    async def act(poster: WebhookPoster, base: str) -> Posted:
        return await poster.post(base.replace("127.0.0.1", "rebinding.example") + "/answers/204", {}, b"{}")

    with system_names(monkeypatch, "127.0.0.1", "10.0.0.1") as names:
        answer = with_poster(act, allow_private_addresses=False)

    assert (answer, names.addresses) == (Posted(204), ["10.0.0.1"])
