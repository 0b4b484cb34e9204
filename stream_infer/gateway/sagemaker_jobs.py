"""Transform jobs in SageMaker's words: below an API, and as its own protocol has them, so that boto3 is a client.

POST /v1/apis/{api}/transform-jobs, GET and DELETE …/{name}; or POST / with X-Amz-Target: SageMaker.CreateTransformJob,
DescribeTransformJob or StopTransformJob, the model's name being the API's.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from stream_infer.errors import StreamInferError
from stream_infer.gateway.access import ACTION_HEADER
from stream_infer.gateway.board import KnownJob
from stream_infer.gateway.sagemaker_request import CreateTransformJob, TransformJobMade
from stream_infer.gateway.sagemaker_transform import arn_of, description, ignored_in, spec_of
from stream_infer.gateway.services import Services
from stream_infer.gateway.submission import request_hash
from stream_infer.gateway.submissions import Asked, Submissions
from stream_infer.gateway.validation import validate
from stream_infer.gateway.words import AWS_TYPE, words_of_aws
from stream_infer.http.answers import answer
from stream_infer.http.bodies import read_body
from stream_infer.http.problems import Problem, ProblemKind, problem_of
from stream_infer.http.requests import JSON_TYPE, parse_body, read_query, require_content_type
from stream_infer.settings import ApiSettings

_PREFIX = "SageMaker."


class SageMakerResource:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._submissions = Submissions(services)
        self._actions = {
            "CreateTransformJob": self._create_named,
            "DescribeTransformJob": self._describe_named,
            "StopTransformJob": self._stop_named,
        }

    def routes(self) -> list[web.RouteDef]:
        jobs = "/v1/apis/{api}/transform-jobs"
        return [
            web.post(jobs, self.create),
            web.get(f"{jobs}/{{name}}", self.describe, allow_head=False),
            web.delete(f"{jobs}/{{name}}", self.stop),
            web.post("/", self.act),
        ]

    async def create(self, request: web.Request) -> web.Response:
        api = self._services.api(request.match_info["api"])
        read_query(request, ())
        require_content_type(request, (JSON_TYPE, AWS_TYPE))
        data = await read_body(request)
        return answer(await self._create(api, data, await self._services.block(lambda: parse_body(data))))

    async def describe(self, request: web.Request) -> web.Response:
        read_query(request, ())
        return answer(description(await self._job(request.match_info["name"], request.match_info["api"])))

    async def stop(self, request: web.Request) -> web.Response:
        read_query(request, ())
        known = await self._job(request.match_info["name"], request.match_info["api"])
        return answer(description(await self._submissions.stop(known)))

    async def act(self, request: web.Request) -> web.Response:
        """One action of SageMaker's protocol; its errors are what its clients understand."""
        try:
            require_content_type(request, (AWS_TYPE,))
            target = request.headers.get(ACTION_HEADER, "")
            action = self._actions.get(target.removeprefix(_PREFIX)) if target.startswith(_PREFIX) else None
            if action is None:
                served = ", ".join(_PREFIX + name for name in self._actions)
                detail = f"{ACTION_HEADER} is {target[:100]!r}; {served} are served"
                raise Problem(ProblemKind.MALFORMED_REQUEST, detail)
            data = await read_body(request)
            value = parse_body(data)
            if not isinstance(value, dict):
                raise Problem(ProblemKind.INVALID_REQUEST, "the body is no JSON object")
            return answer(await action(data, value), content_type=AWS_TYPE)
        except Problem as problem:
            return words_of_aws(problem)
        except StreamInferError as error:
            return words_of_aws(problem_of(error))

    async def _create_named(self, data: bytes, value: dict[str, Any]) -> dict[str, Any]:
        return await self._create(self._services.api(str(value.get("ModelName"))), data, value)

    async def _describe_named(self, _data: bytes, value: dict[str, Any]) -> dict[str, Any]:
        return description(await self._job(str(value.get("TransformJobName"))))

    async def _stop_named(self, _data: bytes, value: dict[str, Any]) -> dict[str, Any]:
        await self._submissions.stop(await self._job(str(value.get("TransformJobName"))))
        return {}

    async def _create(self, api: ApiSettings, data: bytes, value: Any) -> dict[str, Any]:
        asked = validate(CreateTransformJob, value)
        submission = await self._services.block(lambda: self._read(api, data, asked))
        name = asked.TransformJobName
        known, is_earlier = await self._submissions.submit_once(submission, name, f"GET /v1/jobs/{name} tells.")
        if is_earlier and known.job.request_hash != submission.digest:
            detail = (
                f"TransformJobName must be unique, and another job with this name already exists ({arn_of(name)}, "
                f"of API {known.job.api!r}): take another TransformJobName"
            )
            raise Problem(ProblemKind.JOB_NAME_TAKEN, detail, job_id=name)
        made = TransformJobMade(TransformJobArn=arn_of(name), Ignored=ignored_in(asked, api) or None)
        return made.model_dump(exclude_none=True)

    def _read(self, api: ApiSettings, data: bytes, asked: CreateTransformJob) -> Asked:
        words = asked.model_dump(exclude_none=True, exclude_defaults=True)
        return self._submissions.read(api, spec_of(asked, api), request_hash(api.name, data), words)

    async def _job(self, name: str, api: str | None = None) -> KnownJob:
        known = await self._services.job(name)
        if known.job.words is None or (api is not None and known.job.api != api):
            detail = f"Job {name[:100]!r} is no transform job" + ("" if api is None else f" of API {api!r}")
            raise Problem(ProblemKind.UNKNOWN_JOB, f"{detail}: GET /v1/jobs/{name[:100]} tells what it is.")
        return known
