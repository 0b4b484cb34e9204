"""Name servers that a test needs: such as answer differently each time, and such as do not answer."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from aiohttp.abc import AbstractResolver


class Names(AbstractResolver):
    """Answers one address after the other for any name, as a rebinding name server would; the last one for ever."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = list(addresses)

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> Any:
        address = self.addresses.pop(0) if len(self.addresses) > 1 else self.addresses[0]
        return [{"hostname": host, "host": address, "port": port, "family": socket.AF_INET, "proto": 0, "flags": 0}]

    async def close(self) -> None: ...


class SystemNames:
    """In place of the system's lookups: `addresses` as `Names` has them; a name that begins with "dead" is answered
    when `answered` is set. `asked` are all names, in order."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = list(addresses)
        self.asked: list[str] = []
        self.answered = threading.Event()

    def look_up(self, host: str, port: int, **_options: Any) -> Any:
        self.asked.append(host)
        if host.startswith("dead"):
            self.answered.wait()
        address = self.addresses.pop(0) if len(self.addresses) > 1 else self.addresses[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]


@contextmanager
def system_names(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> Iterator[SystemNames]:
    names = SystemNames(*addresses)
    with monkeypatch.context() as patched:
        patched.setattr(socket, "getaddrinfo", names.look_up)
        try:
            yield names
        finally:
            names.answered.set()
