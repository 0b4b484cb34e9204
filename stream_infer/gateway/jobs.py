"""`/v1/apis/{api}/jobs` and `/v1/jobs`: submit, list, look, stop."""

from __future__ import annotations

from itertools import islice

from aiohttp import web

from stream_infer.gateway.board import KnownJob, is_ending
from stream_infer.gateway.representations import JobBody, JobList, job_body
from stream_infer.gateway.services import Services
from stream_infer.gateway.streams import send_lines
from stream_infer.gateway.submission import job_id_of, new_job_id, request_hash
from stream_infer.gateway.submitting import PREVIEWED, Asked, Submissions
from stream_infer.gateway.webhooks.bodies import webhook_body
from stream_infer.gateway.webhooks.target import target_of
from stream_infer.http.answers import answer
from stream_infer.http.bodies import read_body
from stream_infer.http.callers import caller_of
from stream_infer.http.problems import Problem, ProblemKind
from stream_infer.http.requests import (
    IDEMPOTENCY_KEY,
    JSON_TYPE,
    accepts_lines,
    flag,
    idempotency_key,
    integer,
    parse_body,
    read_query,
    require_content_type,
    state_of,
)
from stream_infer.jobs.status import State

# A dry run may list for minutes: it must not take the threads that everything else waits for.
MAX_DRY_RUNS = 4
MOST_PREVIEWED = 1000
LISTED = 1000
MOST_LISTED = 1_000_000


class JobsResource:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._submissions = Submissions(services)
        self._dry_runs = 0

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v1/apis/{api}/jobs", self.submit_job),
            web.get("/v1/jobs", self.list_jobs),
            web.get("/v1/jobs/{job_id}", self.get_job),
            web.delete("/v1/jobs/{job_id}", self.stop_job),
        ]

    async def submit_job(self, request: web.Request) -> web.StreamResponse:
        """202 with the job; 200 where it is a dry run."""
        api = self._services.api(request.match_info["api"])
        query = read_query(request, ("dry_run", "limit"))
        is_dry = _is_dry_run(query)
        key = idempotency_key(request)
        require_content_type(request, (JSON_TYPE,))
        data = await read_body(request)
        submissions, digest = self._submissions, request_hash(api.name, data)
        asked = await self._services.block(lambda: submissions.read(api, parse_body(data), digest))
        if is_dry:
            return await self._dry_run(request, query, asked)
        job_id = new_job_id() if key is None else job_id_of(caller_of(request).name, key)
        advice = f"GET /v1/jobs/{job_id} tells; or send it again with the same {IDEMPOTENCY_KEY}."
        if key is None:
            known, is_earlier = await submissions.submit(asked, job_id, advice), False
        else:
            known, is_earlier = await submissions.submit_once(asked, job_id, advice)
            _require_same(known, asked)
        headers = {"Location": f"/v1/jobs/{job_id}"} | ({"Idempotency-Replayed": "true"} if is_earlier else {})
        return answer(self._body(known), status=202, headers=headers)

    async def _dry_run(self, request: web.Request, query: dict[str, str], asked: Asked) -> web.StreamResponse:
        """A summary; or, where the client asks for lines, the items as they are found."""
        if self._dry_runs >= MAX_DRY_RUNS:
            detail = f"{MAX_DRY_RUNS} dry runs are under way here already. Try again, or ask another replica."
            raise Problem(ProblemKind.BUSY, detail)
        self._dry_runs += 1
        try:
            if not accepts_lines(request):
                limit = integer(query, "limit", PREVIEWED, 1, MOST_PREVIEWED)
                return answer(await self._submissions.dry_run(asked, limit))
            limit = integer(query, "limit", LISTED, 1, MOST_LISTED)
            return await send_lines(request, self._submissions.listing(asked, limit).lines(), self._services.block)
        finally:
            self._dry_runs -= 1

    async def list_jobs(self, request: web.Request) -> web.Response:
        query = read_query(request, ("limit", "after", "state", "api"))
        limit = integer(query, "limit", 20, 1, 100)
        state = state_of(State, query.get("state"))
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
        known = await self._submissions.stop(await self._services.job(request.match_info["job_id"]))
        return answer(self._body(known), status=200 if is_ending(known.status) else 202)

    def _body(self, known: KnownJob) -> JobBody:
        services, job = self._services, known.job
        target = target_of(job.webhook, services.settings.api(job.api), services.settings)
        told = services.deliveries.of(job.job_id)
        webhook = None if target is None else webhook_body(target, told)
        return job_body(known, services.store.uri(f"{job.api}/{job.job_id}"), webhook)


def _require_same(known: KnownJob, asked: Asked) -> None:
    if known.job.request_hash != asked.digest:
        detail = (
            f"The {IDEMPOTENCY_KEY} was used for job {known.job.job_id} of API {known.job.api!r} with another "
            "body. Send the same body byte for byte to get that job, or a new key to submit a new one."
        )
        raise Problem(ProblemKind.IDEMPOTENCY_CONFLICT, detail, job_id=known.job.job_id)


def _is_dry_run(query: dict[str, str]) -> bool:
    is_dry = flag(query, "dry_run")
    if "limit" in query and not is_dry:
        raise Problem(ProblemKind.INVALID_QUERY, "limit says how much of a dry run is listed; dry_run=true is missing.")
    return is_dry
