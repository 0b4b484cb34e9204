"""Many lines, or pieces of a file, as one answer, made on a thread of the pool and never held as a whole."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from typing import Any

import structlog
from aiohttp import web

from stream_infer.errors import StreamInferError
from stream_infer.http.requests import NDJSON_TYPES
from stream_infer.jobs.merge import blocks

BLOCK_BYTES = 256 * 1024
_log = structlog.get_logger(__name__)


async def send_lines(
    request: web.Request, lines: Iterator[bytes], block: Callable[[Callable[[], Any]], Awaitable[Any]]
) -> web.StreamResponse:
    """JSON lines; `block` runs a call on a thread that may wait. `lines` is closed whatever happens.

    The first block is read before the answer begins, so that a service that is down is still a problem.
    """
    with closing(_Blocks(lines)) as data:
        return await _send(request, data.take, block, {"Content-Type": NDJSON_TYPES[0]})


async def send_chunks(
    request: web.Request,
    chunks: Iterator[bytes],
    block: Callable[[Callable[[], Any]], Awaitable[Any]],
    headers: dict[str, str],
) -> web.StreamResponse:
    """As they are; likewise. `chunks` holds nothing open."""
    return await _send(request, lambda: next(chunks, None), block, headers)


async def _send(
    request: web.Request,
    take: Callable[[], bytes | None],
    block: Callable[[Callable[[], Any]], Awaitable[Any]],
    headers: dict[str, str],
) -> web.StreamResponse:
    taken = await block(take)
    response = web.StreamResponse(headers=headers)
    await response.prepare(request)
    try:
        while taken is not None:
            await response.write(taken)
            taken = await block(take)
    except (StreamInferError, asyncio.CancelledError) as error:
        # The status is sent: a connection that breaks off is all that can still tell the client.
        _log.warning("stream_broken_off", path=request.path, error=str(error))
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionResetError(str(error)) from error
    await response.write_eof()
    return response


class _Blocks:
    def __init__(self, lines: Iterator[bytes]) -> None:
        self._lines = lines
        self._blocks = blocks(lines, BLOCK_BYTES)

    def take(self) -> bytes | None:
        return next(self._blocks, None)

    def close(self) -> None:
        """A generator may hold a consumer open. One that a cancelled request left running on its thread ends itself."""
        for held in (self._blocks, self._lines):
            end = getattr(held, "close", None)
            if end is not None and not getattr(held, "gi_running", False):
                end()
