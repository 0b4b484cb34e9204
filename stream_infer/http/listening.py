"""An application on its address, until the block ends."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from stream_infer.http.address import Address, cannot_listen

# How long a connection may be without a whole head of a request, at its start and between two. aiohttp's own default
# is an hour: so long a client that sends a byte now and then would hold it.
IDLE_S = 75.0


@asynccontextmanager
async def listening(
    app: web.Application, address: Address, drain_timeout_s: float, tls: ssl.SSLContext | None = None
) -> AsyncIterator[str]:
    """Gives the URL, with the port that `:0` became. At its end accepts no more, and gives requests the timeout.

    Raises ConfigError where the address is taken, or not of this machine.
    """
    runner = web.AppRunner(
        app, access_log=None, shutdown_timeout=drain_timeout_s, handler_cancellation=False, keepalive_timeout=IDLE_S
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, address.host, address.port, ssl_context=tls)
        try:
            await site.start()
        except OSError as error:
            raise cannot_listen(address, error) from error
        port: int = runner.addresses[0][1]
        yield address._replace(port=port, scheme="http" if tls is None else "https").url
    finally:
        await runner.cleanup()
