"""Names are looked up on threads of their own."""

import asyncio
import socket
from typing import Any

import pytest

from connectors.fetchers.names import SystemResolver
from tests.support.names import system_names


def test_names_whose_server_does_not_answer_keep_no_other_waiting_and_nobody_from_ending(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def run() -> Any:
        resolver = SystemResolver(threads=12)
        dead = [asyncio.ensure_future(resolver.resolve(f"dead-{number}", 80)) for number in range(11)]
        found = await asyncio.wait_for(resolver.resolve("well", 443), 30)
        for one in dead:
            one.cancel()
        await resolver.close()
        return found

    with system_names(monkeypatch, "192.0.2.1"):
        [found] = asyncio.run(run())

    assert (found["hostname"], found["host"], found["port"]) == ("well", "192.0.2.1", 443)


def test_a_name_that_nobody_knows_is_an_os_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def look_up(*_args: Any, **_options: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async def run() -> None:
        resolver = SystemResolver(threads=1)
        try:
            await resolver.resolve("nobody.invalid", 80)
        finally:
            await resolver.close()

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with pytest.raises(OSError, match="not known"):
        asyncio.run(run())
