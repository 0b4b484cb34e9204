"""How jobs go on: `/v1/jobs/{id}/events` and `/v1/events` as server-sent events, `/v1/jobs/{id}/throughput` so far."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from aiohttp import web

from stream_infer.gateway.board import KnownJob
from stream_infer.gateway.changes import Changes
from stream_infer.gateway.event_stream import EventStream
from stream_infer.gateway.representations import JobBody, Throughput, ThroughputPoint, job_body
from stream_infer.gateway.services import Services
from stream_infer.http.answers import answer
from stream_infer.http.json_text import to_json
from stream_infer.http.problems import Problem, ProblemKind
from stream_infer.http.requests import read_query
from stream_infer.jobs.status import JobStatus

MAX_FOLLOWERS = 64
# A job under load changes many times a second; nobody reads faster than this.
_PAUSE_S = 0.25
_LOOK_S = 1.0


class _Made(NamedTuple):
    """What is told of a job, and the row that it was made of."""

    status: JobStatus
    text: bytes


class EventsResource:
    """A follower costs no thread: the board tells it what has changed."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._followers = 0
        self._closing = False
        self._made: dict[str, _Made] = {}

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/v1/events", self.all_jobs, allow_head=False),
            web.get("/v1/jobs/{job_id}/events", self.one_job, allow_head=False),
            web.get("/v1/jobs/{job_id}/throughput", self.throughput),
        ]

    async def end_streams(self, _app: web.Application) -> None:
        """The gateway is going: followers connect again elsewhere."""
        self._closing = True

    async def throughput(self, request: web.Request) -> web.Response:
        read_query(request, ())
        known = await self._services.job(request.match_info["job_id"])
        history = self._services.board.history(known.job.job_id)
        points = [] if history is None else [ThroughputPoint(**one._asdict()) for one in history.stretches()]
        return answer(Throughput(job_id=known.job.job_id, generation=known.status.generation, points=points))

    async def one_job(self, request: web.Request) -> web.StreamResponse:
        """`job` as it is and whenever it changes; `end` once it has ended."""
        read_query(request, ())
        job_id = request.match_info["job_id"]
        with self._place(), self._services.board.followers.following(job_id) as changes:
            known: KnownJob | None = await self._services.job(job_id)
            stream = EventStream(request)
            try:
                await stream.begin("the job follows")
                while known is not None:
                    await self._send(stream, known)
                    if known.status.state.is_final:
                        await stream.send("end", to_json({"state": known.status.state}))
                        break
                    if not await self._next(stream, changes):
                        break
                    known = self._services.board.peek(job_id)
                await stream.end()
            except ConnectionResetError:
                pass  # the follower has gone, which is no error of ours
            return stream.response

    async def all_jobs(self, request: web.Request) -> web.StreamResponse:
        """`job` whenever one changes, from now on; of one API where it is asked for."""
        query = read_query(request, ("api",))
        api = self._services.api(query["api"]).name if "api" in query else None
        with self._place(), self._services.board.followers.following() as changes:
            stream = EventStream(request)
            try:
                await stream.begin("changes of jobs follow")
                while changed := await self._next(stream, changes):
                    for job_id in changed:
                        known = self._services.board.peek(job_id)
                        if known is not None and api in (None, known.job.api):
                            await self._send(stream, known)
                await stream.end()
            except ConnectionResetError:
                pass  # as above
            return stream.response

    async def _next(self, stream: EventStream, changes: Changes) -> list[str]:
        """What has changed, once something has; nothing where the gateway ends."""
        await asyncio.sleep(_PAUSE_S)
        while not self._closing:
            stream.require_listener()
            changed = await changes.take(_LOOK_S)
            if changed:
                return changed
            await stream.beat()
        return []

    async def _send(self, stream: EventStream, known: KnownJob) -> None:
        await stream.send("job", self._text(known))

    def _text(self, known: KnownJob) -> bytes:
        """Made once for all who follow: a job's config alone may have a megabyte."""
        job_id = known.job.job_id
        made = self._made.pop(job_id, None)
        if made is None or made.status is not known.status:
            made = _Made(known.status, to_json(self._body(known)))
        self._made[job_id] = made
        if len(self._made) > MAX_FOLLOWERS:
            del self._made[next(iter(self._made))]
        return made.text

    def _body(self, known: KnownJob) -> JobBody:
        return job_body(known, self._services.store.uri(f"{known.job.api}/{known.job.job_id}"))

    @contextmanager
    def _place(self) -> Iterator[None]:
        if self._followers >= MAX_FOLLOWERS or self._closing:
            detail = f"{MAX_FOLLOWERS} followers of jobs are served here. Try again, or ask another replica."
            raise Problem(ProblemKind.BUSY, detail)
        self._followers += 1
        try:
            yield
        finally:
            self._followers -= 1
