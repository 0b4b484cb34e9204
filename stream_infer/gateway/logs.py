"""`/v1/jobs/{id}/logs`: what was said about a job, in pages, or as server-sent events up to the job's end."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import TypeVar

import structlog
from aiohttp import web

from stream_infer.errors import StreamInferError
from stream_infer.gateway.board import KnownJob
from stream_infer.gateway.event_stream import EVENT_STREAM, EventStream
from stream_infer.gateway.job_lines import Found, JobLines, read_page
from stream_infer.gateway.representations import log_line_body
from stream_infer.gateway.services import Services
from stream_infer.http.answers import answer
from stream_infer.http.json_text import to_json
from stream_infer.http.problems import Problem, ProblemKind
from stream_infer.http.requests import flag, integer, read_query
from stream_infer.pool import DaemonPool

T = TypeVar("T")

MAX_FOLLOWERS = 32
GRACE_S = 2.0  # what processes have said of a job that has ended is on its way for no longer
_POLL_S = 0.25
_PAUSE_S = 1.0
_OFFSET = re.compile(r"\d{1,18}", re.ASCII)
_log = structlog.get_logger(__name__)


class LogsResource:
    """A follower has a reader and a thread of its own, for as long as its client listens."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._followers = 0
        self._closing = False

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/v1/jobs/{job_id}/logs", self.logs, allow_head=False)]

    async def end_streams(self, _app: web.Application) -> None:
        """The gateway is going: followers connect again elsewhere."""
        self._closing = True

    async def logs(self, request: web.Request) -> web.StreamResponse:
        query = read_query(request, ("after", "limit", "follow"))
        limit = integer(query, "limit", 100, 1, 1000)
        after = _offset(query.get("after"))
        follows = flag(query, "follow") or ("follow" not in query and EVENT_STREAM in request.headers.get("Accept", ""))
        known = await self._services.job(request.match_info["job_id"])
        if not follows:
            settings = self._services.settings
            page = await self._services.block(lambda: read_page(settings, known.job, after, limit))
            return answer(page)
        if "limit" in query:
            raise Problem(ProblemKind.INVALID_QUERY, "limit is for pages; a stream ends with its job.")
        if "Last-Event-ID" in request.headers:  # sent by a browser that connects again
            after = _offset(request.headers["Last-Event-ID"])
        return await self._follow(request, known, after)

    async def _follow(self, request: web.Request, known: KnownJob, after: int | None) -> web.StreamResponse:
        if self._followers >= MAX_FOLLOWERS or self._closing:
            detail = f"{MAX_FOLLOWERS} followers of job logs are served here. Try again, or ask another replica."
            raise Problem(ProblemKind.BUSY, detail)
        self._followers += 1
        # One thread: reading and closing can never meet, not even when the request is cancelled.
        thread = DaemonPool(1, "follower")
        try:
            settings = self._services.settings
            stream = _Stream(request, await _on(thread, lambda: JobLines(settings, known.job, after)), thread)
            try:
                return await self._send(stream, known)
            except ConnectionResetError:
                return stream.events.response  # the follower has gone, which is no error of ours
            finally:
                thread.submit(stream.lines.close)
        finally:
            thread.close(0.0)
            self._followers -= 1

    async def _send(self, stream: _Stream, known: KnownJob) -> web.StreamResponse:
        """Lines as they come; ends behind what had been written `GRACE_S` after the job's end."""
        events = stream.events
        await events.begin("lines follow")
        end: int | None = None
        while not self._closing:
            try:
                await stream.write_lines(await stream.poll())
                ended_for = self._ended_for(known)
                if ended_for < GRACE_S:
                    end = None
                    continue
                end = await stream.end() if end is None else end
            except StreamInferError as error:
                # librdkafka reconnects by itself; the reader goes on where it was.
                _log.warning("follower_waits", path=events.path, error=str(error))
                await asyncio.sleep(_PAUSE_S)
                continue
            if stream.lines.has_reached(end):
                row = self._services.board.peek(known.job.job_id) or known
                await events.send("end", to_json({"state": row.status.state}))
                break
        await events.end()
        return events.response

    def _ended_for(self, known: KnownJob) -> float:
        """Seconds since the job's end; below 0 while it has none."""
        now = self._services.board.peek(known.job.job_id)
        if now is None:
            return GRACE_S  # forgotten
        status = now.status
        if not status.state.is_final:
            return -1.0
        return max(0.0, self._services.clock() - status.times.get(status.state.value, 0.0))


class _Stream:
    """One follower's answer, and its reader on its thread."""

    def __init__(self, request: web.Request, lines: JobLines, thread: DaemonPool) -> None:
        self.lines = lines
        self.events = EventStream(request)
        self._thread = thread

    async def poll(self) -> list[Found]:
        return await _on(self._thread, lambda: self.lines.poll(_POLL_S))

    async def end(self) -> int:
        return await _on(self._thread, self.lines.end)

    async def write_lines(self, found: list[Found]) -> None:
        """Raises ConnectionResetError where nobody listens any more."""
        self.events.require_listener()
        if found:
            await self.events.write(b"".join([_event(one) for one in found]))
        else:
            await self.events.beat()


async def _on(thread: DaemonPool, call: Callable[[], T]) -> T:
    return await asyncio.wrap_future(thread.submit(call))


def _event(found: Found) -> bytes:
    return b"id: %d\ndata: %b\n\n" % (found.after, to_json(log_line_body(found.line)))


def _offset(text: str | None) -> int | None:
    if text is None:
        return None
    if _OFFSET.fullmatch(text) is None:
        detail = f"after={text[:40]!r} is no place in a log: send `next` of a page, or an event's id, as it was given."
        raise Problem(ProblemKind.INVALID_QUERY, detail)
    return int(text)
