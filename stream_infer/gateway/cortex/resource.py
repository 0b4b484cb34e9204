"""An API's own endpoint, as Cortex's clients call it: `/{api}` and `/batch/{api}`.

    POST            submit a job; ?dryRun=true lists the files that it would read
    GET ?jobID=     look at it                             older clients: /{api}/{job_id}
    DELETE ?jobID=  stop it                                likewise

A realtime API's own endpoint, `/{api}` and of the first generation `/{deployment}/{api}`: POST a payload, read what its
predictor makes of it.

Errors have `message`, where those of all other paths are problem documents.
"""

from __future__ import annotations

from itertools import islice

from aiohttp import web

from stream_infer.gateway.board import KnownJob
from stream_infer.gateway.cortex.bodies import job_body, job_status_body, spec_of
from stream_infer.gateway.predict import read_call
from stream_infer.gateway.predictions import Predictions
from stream_infer.gateway.services import Services
from stream_infer.gateway.submission import new_job_id, request_hash
from stream_infer.gateway.submitting import Asked, Submissions
from stream_infer.gateway.words import in_words_of_cortex
from stream_infer.http.answers import answer
from stream_infer.http.bodies import read_body
from stream_infer.http.problems import CONTENT_TYPE, Handler, Problem, ProblemKind, answer_with_problems
from stream_infer.http.requests import JSON_TYPE, flag, parse_body, read_query, require_content_type
from stream_infer.predictor_settings import CortexPredictor
from stream_infer.settings import ApiSettings

# Not what the gateway has paths of its own below.
_OWN = r"(?!(?:v1|batch|healthz|readyz|metrics)(?:/|$))"
API = f"{{api:{_OWN}[a-z0-9][a-z0-9-]*}}"
DEPLOYMENT = f"{{deployment:{_OWN}[A-Za-z0-9_-]+}}"
MOST_LISTED = 1000
_PASSED = "validations passed"
_ASYNC = (
    "An AsyncAPI's payloads are items here: submit a job with them, POST /v1/apis/{api}/jobs, and read what came out, "
    "GET /v1/jobs/{job_id}/results; or put them into its topic, POST /v1/apis/{api}/items."
)


class CortexResource:
    def __init__(self, services: Services, predictions: Predictions) -> None:
        self._services = services
        self._predictions = predictions
        self._submissions = Submissions(services)

    def routes(self) -> list[web.RouteDef]:
        of_deployment = f"/{DEPLOYMENT}/{{api}}"
        return [web.post(of_deployment, self._as_cortex(self.predict))] + [
            route
            for path in (f"/{API}", "/batch/{api}")
            for route in (
                web.post(path, self._as_cortex(self.post)),
                web.get(path, self._as_cortex(self.look)),
                web.delete(path, self._as_cortex(self.stop)),
                web.get(f"{path}/{{job_id}}", self._as_cortex(self.look)),
                web.delete(f"{path}/{{job_id}}", self._as_cortex(self.stop)),
            )
        ]

    async def post(self, request: web.Request) -> web.Response:
        """To a realtime API a payload, to any other a job."""
        match self._api(request).predictor:
            case CortexPredictor(kind="realtime"):
                return await self.predict(request)
            case CortexPredictor(kind="async"):
                raise Problem(ProblemKind.METHOD_NOT_ALLOWED, _ASYNC, status=400)
        return await self.submit(request)

    async def predict(self, request: web.Request) -> web.Response:
        api = self._api(request)
        self._predictions.check(api)
        return await self._predictions.answer(api, await read_call(request))

    async def submit(self, request: web.Request) -> web.Response:
        api = self._api(request)
        query = read_query(request, ("dryRun",))
        require_content_type(request, (JSON_TYPE,))
        data = await read_body(request)
        digest = request_hash(api.name, data)
        most = api.workers.max
        asked = await self._services.block(lambda: self._submissions.read(api, spec_of(parse_body(data), most), digest))
        if flag(query, "dryRun"):
            return web.Response(text="\n".join([*await self._files(asked), _PASSED]))
        job_id = new_job_id()
        known = await self._submissions.submit(asked, job_id, f"GET /{api.name}?jobID={job_id} tells.")
        return answer(job_body(api, known.job))

    async def look(self, request: web.Request) -> web.Response:
        known = await self._job(request)
        api = self._api(request)
        endpoint = str(request.url.origin() / api.name)
        return answer(job_status_body(api, known, endpoint, self._services.clock()))

    async def stop(self, request: web.Request) -> web.Response:
        known = await self._submissions.stop(await self._job(request))
        return answer({"message": f"stopped job {known.job.job_id}"})

    async def _job(self, request: web.Request) -> KnownJob:
        """That of the query or, as older clients have it, of the path."""
        api = self._api(request)
        in_path = request.match_info.get("job_id")
        job_id = in_path or read_query(request, ("jobID",)).get("jobID")
        if not job_id:
            detail = f"Say which job: /{api.name}?jobID=JOB. `stream-infer get {api.name}` lists them."
            raise Problem(ProblemKind.INVALID_QUERY, detail)
        known = await self._services.job(job_id)
        if known.job.api != api.name:
            detail = f"Job {job_id} is one of API {known.job.api!r}, not of {api.name!r}."
            raise Problem(ProblemKind.UNKNOWN_JOB, detail)
        return known

    def _api(self, request: web.Request) -> ApiSettings:
        return self._services.api(request.match_info["api"])

    async def _files(self, asked: Asked) -> list[str]:
        """What the job would read, one a line, as far as the first so many items tell. Inline items are no files."""
        read_source = self._services.read_source
        if asked.spec.item_list is not None or read_source is None:
            return []
        job = self._submissions.job_of(asked, "dry-run")
        found = await self._services.block(lambda: list(islice(read_source(job), MOST_LISTED + 1)))
        files = list(dict.fromkeys((item.source or "").partition("#")[0] for item in found[:MOST_LISTED]))
        return [*files, "…"] if len(found) > MOST_LISTED else files

    def _as_cortex(self, handler: Handler) -> Handler:
        """For an API that there is; what is none is no path of this gateway."""

        async def handle(request: web.Request) -> web.StreamResponse:
            if self._services.settings.api(request.match_info["api"]) is None:
                raise web.HTTPNotFound
            response = await answer_with_problems(request, handler)
            if isinstance(response, web.Response) and response.content_type == CONTENT_TYPE:
                return in_words_of_cortex(response)
            return response

        return handle
