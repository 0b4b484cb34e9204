"""The listening socket and the connections that came by it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

from stream_infer.http.address import Address, cannot_listen
from stream_infer.realtime.connection import Answers, Connection, ConnectionLimits
from stream_infer.realtime.heads import Heads

_BACKLOG = 1024
_SWEEP_S = 5.0


class Server:
    """`connections` holds those that are open."""

    def __init__(self, answers: Answers, limits: ConnectionLimits, connections: set[Connection]) -> None:
        self._answers = answers
        self._limits = limits
        self._connections = connections
        self._heads = Heads()
        self._server: asyncio.Server | None = None
        self._is_ending = False

    @contextlib.asynccontextmanager
    async def listening(self, address: Address) -> AsyncIterator[str]:
        """Gives the URL, with the port that `:0` became; at its end every connection is ended. Raises ConfigError."""
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(self._connect, address.host, address.port, backlog=_BACKLOG)
        except OSError as error:
            raise cannot_listen(address, error) from error
        sweeper = loop.create_task(self._sweep())
        try:
            port: int = self._server.sockets[0].getsockname()[1]
            yield address._replace(port=port).url
        finally:
            sweeper.cancel()
            self._server.close()
            for connection in list(self._connections):
                connection.abort()

    @property
    def is_open(self) -> bool:
        """Whether there is any connection."""
        return bool(self._connections)

    def announce_end(self) -> None:
        """From now on each answer is the last of its connection."""
        self._is_ending = True
        for connection in self._connections:
            connection.is_closing = True

    def stop_listening(self) -> None:
        """Accepts no more, and ends the connections on which nothing is asked."""
        assert self._server
        self._server.close()
        for connection in list(self._connections):
            connection.close_if_idle()

    def _connect(self) -> Connection:
        connection = Connection(self._answers, self._limits, self._connections, self._heads)
        connection.is_closing = self._is_ending
        return connection

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_S)
            now = time.monotonic()
            for connection in list(self._connections):
                connection.check_time(now)
