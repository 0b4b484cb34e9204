"""What a gateway looks at now and then for as long as it runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import structlog

from stream_infer.errors import StreamInferError

_log = structlog.get_logger(__name__)


@asynccontextmanager
async def looking(look: Callable[[], Awaitable[None]], every_s: float, waits: str) -> AsyncIterator[None]:
    """Calls `look` every so many seconds, the first time after as many; that it failed is told as the event `waits`."""
    task = asyncio.create_task(_look(look, every_s, waits))
    yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def _look(look: Callable[[], Awaitable[None]], every_s: float, waits: str) -> None:
    while True:
        await asyncio.sleep(every_s)
        try:
            await look()
        except StreamInferError as error:
            _log.warning(waits, error=str(error))
