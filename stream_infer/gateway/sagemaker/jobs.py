"""Transform jobs in SageMaker's words, below an API: POST /v1/apis/{api}/transform-jobs, GET and DELETE …/{name}."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from aiohttp import web

from stream_infer.gateway.board import KnownJob
from stream_infer.gateway.job_lists import ListName, Place
from stream_infer.gateway.sagemaker.lists import (
    SORTED_BY,
    Entry,
    ListTransformJobs,
    Page,
    Sorting,
    page_along,
    place_of,
)
from stream_infer.gateway.sagemaker.request import CreateTransformJob, TransformJobMade
from stream_infer.gateway.sagemaker.transform import (
    arn_of,
    description,
    ignored_in,
    modified_at,
    refused,
    spec_of,
    status_of,
)
from stream_infer.gateway.services import Services
from stream_infer.gateway.submission import request_hash
from stream_infer.gateway.submitting import Asked, Submissions
from stream_infer.gateway.validation import validate
from stream_infer.gateway.words import AWS_TYPE
from stream_infer.http.answers import answer
from stream_infer.http.bodies import read_body
from stream_infer.http.problems import Problem, ProblemKind
from stream_infer.http.requests import JSON_TYPE, parse_body, read_query, require_content_type
from stream_infer.settings import ApiSettings


def transform_lists(known: KnownJob) -> Mapping[ListName, Place]:
    """Where a transform job stands, in each order in which they can be listed."""
    if known.job.words is None:
        return {}
    entry = _entry(known)
    return {_sorted_by(by): place_of(entry, by) for by in SORTED_BY}


def _sorted_by(by: Sorting) -> ListName:
    return "transform jobs", by


def _entry(known: KnownJob) -> Entry[KnownJob]:
    return Entry(known, known.job.job_id, known.job.submitted_at, modified_at(known), status_of(known.status))


class TransformJobs:
    """What may be done with them, whichever way they are asked for."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._submissions = Submissions(services)

    async def create(self, api: ApiSettings, data: bytes, asked: CreateTransformJob) -> TransformJobMade:
        """`data`: what was asked for, byte for byte: the same again is the same job."""
        submission = await self._services.block(lambda: self._read(api, data, asked))
        name = asked.TransformJobName
        known, is_earlier = await self._submissions.submit_once(submission, name, f"GET /v1/jobs/{name} tells.")
        if is_earlier and known.job.request_hash != submission.digest:
            detail = (
                f"TransformJobName must be unique, and another job with this name already exists ({arn_of(name)}, "
                f"of API {known.job.api!r}): take another TransformJobName"
            )
            raise Problem(ProblemKind.JOB_NAME_TAKEN, detail, job_id=name)
        return TransformJobMade(TransformJobArn=arn_of(name), Ignored=ignored_in(asked, api) or None)

    async def find(self, name: str, api: str | None = None) -> KnownJob:
        """Raises a Problem where there is none, or none of that API."""
        known = await self._services.job(name)
        if known.job.words is None or (api is not None and known.job.api != api):
            detail = f"Job {name[:100]!r} is no transform job" + ("" if api is None else f" of API {api!r}")
            raise Problem(ProblemKind.UNKNOWN_JOB, f"{detail}: GET /v1/jobs/{name[:100]} tells what it is.")
        return known

    async def stop(self, known: KnownJob) -> KnownJob:
        return await self._submissions.stop(known)

    async def page(self, asked: ListTransformJobs) -> Page[KnownJob]:
        """Of those that are remembered as of now. Raises a Problem or ServiceUnavailable."""
        board, name = self._services.board, _sorted_by(asked.SortBy)
        await board.catch_up()

        def walk(after: Place | None, *, is_up: bool) -> Iterator[tuple[Place, Entry[KnownJob]]]:
            return ((place, _entry(known)) for place, known in board.walk(name, after, is_up=is_up))

        # On a thread: a filter that few jobs pass looks at many.
        return await self._services.block(lambda: page_along(walk, asked))

    def _read(self, api: ApiSettings, data: bytes, asked: CreateTransformJob) -> Asked:
        words = asked.model_dump(exclude_none=True, exclude_defaults=True)
        return self._submissions.read(api, spec_of(asked, api), request_hash(api.name, data), words)


class SageMakerResource:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._jobs = TransformJobs(services)

    def routes(self) -> list[web.RouteDef]:
        jobs = "/v1/apis/{api}/transform-jobs"
        return [
            web.post(jobs, self.create),
            web.get(f"{jobs}/{{name}}", self.describe, allow_head=False),
            web.delete(f"{jobs}/{{name}}", self.stop),
        ]

    async def create(self, request: web.Request) -> web.Response:
        api = self._services.api(request.match_info["api"])
        read_query(request, ())
        require_content_type(request, (JSON_TYPE, AWS_TYPE))
        data = await read_body(request)
        asked = validate(CreateTransformJob, await self._services.block(lambda: parse_body(data)))
        if asked.ModelName not in (None, api.name):
            raise refused("/ModelName", f"{asked.ModelName!r} is not this API, whose name is {api.name!r}")
        made = await self._jobs.create(api, data, asked)
        return answer(made.model_dump(exclude_none=True))

    async def describe(self, request: web.Request) -> web.Response:
        return answer(description(await self._named(request)))

    async def stop(self, request: web.Request) -> web.Response:
        return answer(description(await self._jobs.stop(await self._named(request))))

    async def _named(self, request: web.Request) -> KnownJob:
        read_query(request, ())
        return await self._jobs.find(request.match_info["name"], request.match_info["api"])
