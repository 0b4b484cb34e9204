"""Host names by the system's resolver."""

from __future__ import annotations

import asyncio
import socket

from aiohttp.abc import AbstractResolver, ResolveResult

from stream_infer.pool import DaemonPool


class SystemResolver(AbstractResolver):
    """Looks names up on threads of its own, which the end of the process does not wait for.

    aiohttp's own takes those of the event loop, six on two cores: so many names whose server does not answer kept all
    others waiting, and the process from ending, for as long as the system tries.
    """

    def __init__(self, threads: int) -> None:
        self._pool = DaemonPool(threads, "names")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Raises OSError."""
        found = await asyncio.wrap_future(
            self._pool.submit(
                socket.getaddrinfo, host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
            )
        )
        numeric = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        return [
            ResolveResult(
                hostname=host, host=str(address[0]), port=int(address[1]), family=kind, proto=proto, flags=numeric
            )
            for kind, _, proto, _, address in found
        ]

    async def close(self) -> None:
        self._pool.cancel_queued()
        self._pool.close(0.0)
