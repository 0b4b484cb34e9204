"""Server-sent events: one answer that goes on for as long as its client listens."""

from __future__ import annotations

import asyncio

from aiohttp import web

from stream_infer.http.callers import caller_of

EVENT_STREAM = "text/event-stream"
HEARTBEAT_S = 10.0
_STALLED_S = 30.0
# Also to what lies between: no-transform that nothing packs it, the last one (nginx's) that nothing holds it back.
_HEADERS = {
    "Content-Type": EVENT_STREAM,
    "Cache-Control": "no-store, no-transform",
    "X-Accel-Buffering": "no",
}


class EventStream:
    """One client's stream. Every write raises ConnectionResetError where nobody listens any more, or reads nothing."""

    def __init__(self, request: web.Request) -> None:
        self.response = web.StreamResponse(headers=_HEADERS)
        self.path = request.path
        self._request = request
        self._written_at = 0.0

    async def begin(self, greeting: str) -> None:
        """`greeting` is a comment: it makes proxies and clients see that the stream is there."""
        await self.response.prepare(self._request)
        await self.write(f": {greeting}\n\n".encode())

    def require_listener(self) -> None:
        """Raises where there is none, or none that may listen any more."""
        if not caller_of(self._request).is_let_in():
            raise ConnectionResetError("the key was taken back")
        if self._request.transport is None or self._request.transport.is_closing():
            raise ConnectionResetError("the client has gone")

    async def beat(self) -> None:
        """Says something at least every 10 s, so that a client and what is between know that the stream lives."""
        if asyncio.get_running_loop().time() - self._written_at >= HEARTBEAT_S:
            await self.write(b":\n\n")

    async def send(self, name: str, data: bytes) -> None:
        """One event; `data` is on one line."""
        await self.write(b"event: %b\ndata: %b\n\n" % (name.encode(), data))

    async def write(self, data: bytes) -> None:
        try:
            await asyncio.wait_for(self.response.write(data), _STALLED_S)
        except TimeoutError:
            if self._request.transport is not None:
                self._request.transport.abort()
            raise ConnectionResetError(f"the client has read nothing for {_STALLED_S:.0f} s") from None
        self._written_at = asyncio.get_running_loop().time()

    async def end(self) -> None:
        await self.response.write_eof()
