"""`/v1/apis/{api}/jobs` and `/v1/jobs`: submit, list, look, stop."""

from __future__ import annotations

import asyncio
import weakref
from dataclasses import dataclass
from itertools import islice
from typing import Any

import structlog
from aiohttp import web

from stream_infer.errors import ServiceUnavailable
from stream_infer.gateway.board import KnownJob, is_ending
from stream_infer.gateway.representations import DryRunBody, JobBody, JobList, job_body, source_of
from stream_infer.gateway.services import Services
from stream_infer.gateway.submission import (
    ANONYMOUS,
    inline_lines,
    job_id_of,
    job_of,
    new_job_id,
    read_spec,
    request_hash,
    submission_records,
)
from stream_infer.http.answers import answer
from stream_infer.http.problems import Problem, ProblemKind, nearest, problem_of, sentence
from stream_infer.http.requests import (
    IDEMPOTENCY_KEY,
    JSON_TYPE,
    flag,
    idempotency_key,
    integer,
    parse_body,
    read_query,
    require_content_type,
)
from stream_infer.jobs.events import StopRequested, encode_event
from stream_infer.jobs.spec import Job, JobSpec
from stream_infer.jobs.status import State
from stream_infer.records import OutgoingRecord
from stream_infer.settings import ApiSettings

STOP_WAIT_S = 10.0
PREVIEWED = 10
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Request:
    """A submission as it came, checked. `lines` are its inline items."""

    api: ApiSettings
    spec: JobSpec
    lines: list[bytes]
    digest: str


class JobsResource:
    def __init__(self, services: Services) -> None:
        self._services = services
        # One submission at a time under one Idempotency-Key: the second finds the first one's job.
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v1/apis/{api}/jobs", self.submit_job),
            web.get("/v1/jobs", self.list_jobs),
            web.get("/v1/jobs/{job_id}", self.get_job),
            web.delete("/v1/jobs/{job_id}", self.stop_job),
        ]

    async def submit_job(self, request: web.Request) -> web.Response:
        """202 with the job; 200 where it is a dry run."""
        api = self._services.api(request.match_info["api"])
        query = read_query(request, ("dry_run",))
        key = idempotency_key(request)
        require_content_type(request, (JSON_TYPE,))
        data = await request.read()
        asked = await self._services.block(lambda: self._read(api, data))
        if flag(query, "dry_run"):
            return answer(await self._dry_run(asked))
        job_id = new_job_id() if key is None else job_id_of(ANONYMOUS, key)
        lock = self._locks.setdefault(job_id, asyncio.Lock())
        async with lock:
            earlier = None if key is None else await self._services.board.find(job_id)
            known = await self._enqueue(asked, job_id) if earlier is None else _same(earlier, asked)
        headers = {"Location": f"/v1/jobs/{job_id}"} | ({"Idempotency-Replayed": "true"} if earlier else {})
        return answer(self._body(known), status=202, headers=headers)

    async def list_jobs(self, request: web.Request) -> web.Response:
        query = read_query(request, ("limit", "after", "state", "api"))
        limit = integer(query, "limit", 20, 1, 100)
        state = _state(query.get("state"))
        board, api = self._services.board, query.get("api")
        if "after" in query:
            jobs = board.behind((await self._services.job(query["after"])).job)
        else:
            jobs = await board.all()
        if api is not None:
            jobs = (known for known in jobs if known.job.api == api)
        if state is not None:
            jobs = (known for known in jobs if known.status.state is state)
        page = list(islice(jobs, limit + 1))
        if api is not None and not page and not board.has_job_of(api):
            self._services.api(api)
        return answer(JobList(jobs=[self._body(known) for known in page[:limit]], has_more=len(page) > limit))

    async def get_job(self, request: web.Request) -> web.Response:
        read_query(request, ())
        return answer(self._body(await self._services.job(request.match_info["job_id"])))

    async def stop_job(self, request: web.Request) -> web.Response:
        """200 once the job's row shows that it ends; 202 where the tracker has not shown it in time."""
        read_query(request, ())
        job_id = request.match_info["job_id"]
        services = self._services
        known = await services.job(job_id)
        if not is_ending(known.status):
            event = StopRequested(job_id=job_id, at=services.clock(), generation=known.status.generation)
            await services.writer.write(
                [OutgoingRecord(services.topics.progress, job_id.encode(), encode_event(event))]
            )
            _log.info("stop_requested", job_id=job_id, api=known.job.api)
            known = await services.board.wait_until_ending(job_id, STOP_WAIT_S) or known
        return answer(self._body(known), status=200 if is_ending(known.status) else 202)

    def _read(self, api: ApiSettings, data: bytes) -> _Request:
        """Parsing up to 32 MiB takes a while: on a thread of the pool."""
        spec = read_spec(parse_body(data), self._services.settings, api)
        return _Request(api, spec, inline_lines(spec, self._services.settings.limits), request_hash(api.name, data))

    async def _enqueue(self, asked: _Request, job_id: str) -> KnownJob:
        """Items first, then the job in one transaction: whoever sees the job finds its items."""
        services = self._services
        job = self._job(asked, job_id)
        records = submission_records(job, asked.api, services.topics)
        if job.submission is not None:
            key, data = job.submission, b"\n".join([*asked.lines, b""])
            await services.block(lambda: services.store.put(key, data, "application/x-ndjson"))
        try:
            await services.writer.write(records)
        except ServiceUnavailable as error:
            advice = f"GET /v1/jobs/{job_id} tells; or send it again with the same {IDEMPOTENCY_KEY}."
            raise problem_of(ServiceUnavailable(f"{sentence(error)} {advice}")).with_members(job_id=job_id) from error
        _log.info("submitted", job_id=job_id, api=job.api, inline_items=len(asked.lines))
        await services.board.catch_up()
        known = services.board.peek(job_id)
        if known is None:
            raise ServiceUnavailable(f"job {job_id} is written and cannot be read back yet")
        return known

    async def _dry_run(self, asked: _Request) -> DryRunBody:
        job = self._job(asked, "dry-run")
        preview: list[Any] | None = None
        items: int | None = None
        source = source_of(job)
        if asked.spec.item_list is not None:
            items, preview = len(asked.lines), asked.spec.item_list.items[:PREVIEWED]
            source = {"item_list": {}}
        elif self._services.preview is not None:
            look = self._services.preview
            found = await self._services.block(lambda: look(job, PREVIEWED + 1))
            preview = [item.source for item in found[:PREVIEWED]]
            items = len(found) if len(found) <= PREVIEWED else None
        return DryRunBody(
            api_name=job.api,
            source=source,
            items=items,
            preview=preview,
            config=job.config,
            timeout=job.timeout,
            workers=job.workers,
        )

    def _job(self, asked: _Request, job_id: str) -> Job:
        at = self._services.clock()
        return job_of(asked.spec, job_id=job_id, api=asked.api.name, at=at, digest=asked.digest)

    def _body(self, known: KnownJob) -> JobBody:
        return job_body(known, self._services.store.uri(f"{known.job.api}/{known.job.job_id}"))


def _same(earlier: KnownJob, asked: _Request) -> KnownJob:
    if earlier.job.request_hash != asked.digest:
        detail = (
            f"The {IDEMPOTENCY_KEY} was used for job {earlier.job.job_id} of API {earlier.job.api!r} with another "
            "body. Send the same body byte for byte to get that job, or a new key to submit a new one."
        )
        raise Problem(ProblemKind.IDEMPOTENCY_CONFLICT, detail, job_id=earlier.job.job_id)
    return earlier


def _state(text: str | None) -> State | None:
    if text is None:
        return None
    try:
        return State(text)
    except ValueError:
        known = [state.value for state in State]
        detail = f"state={text[:40]!r} is no state.{nearest(text, known)} States: {', '.join(known)}."
        raise Problem(ProblemKind.INVALID_QUERY, detail) from None
