"""SageMaker's own protocol, AWS JSON 1.1, so that its clients work as they are: POST / with X-Amz-Target:
SageMaker.CreateTransformJob, and the other actions of transform jobs and of models."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

from aiohttp import web
from pydantic import BaseModel, ConfigDict

from stream_infer.errors import StreamInferError
from stream_infer.gateway.access import ACTION_HEADER
from stream_infer.gateway.sagemaker.create_model import CreateModel, model_row
from stream_infer.gateway.sagemaker.create_model import ignored_in as ignored_in_model
from stream_infer.gateway.sagemaker.jobs import TransformJobs
from stream_infer.gateway.sagemaker.lists import ListModels, ListTransformJobs, page_of
from stream_infer.gateway.sagemaker.models import Models
from stream_infer.gateway.sagemaker.request import CreateTransformJob
from stream_infer.gateway.sagemaker.transform import arn_of, description, summary
from stream_infer.gateway.services import Services
from stream_infer.gateway.validation import validate
from stream_infer.gateway.words import AWS_TYPE, aws_answer, words_of_aws
from stream_infer.http.bodies import read_body
from stream_infer.http.problems import Problem, ProblemKind, own_fault, problem_of
from stream_infer.http.requests import parse_body, require_content_type

# SageMaker's answers have no field for it.
IGNORED_HEADER = "x-stream-infer-ignored"
_PREFIX = "SageMaker."
_Action: TypeAlias = Callable[[bytes, Any], Awaitable[web.Response]]


class _OneJob(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    TransformJobName: str


class _OneModel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    ModelName: str


class SageMakerProtocol:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._jobs = TransformJobs(services)
        self._models = Models(services)
        self._actions: Mapping[str, _Action] = {
            "CreateModel": self._create_model,
            "DescribeModel": self._describe_model,
            "ListModels": self._list_models,
            "DeleteModel": self._delete_model,
            "CreateTransformJob": self._create_job,
            "DescribeTransformJob": self._describe_job,
            "ListTransformJobs": self._list_jobs,
            "StopTransformJob": self._stop_job,
        }

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/", self.act)]

    async def act(self, request: web.Request) -> web.Response:
        """One action; its errors are what its clients understand."""
        try:
            require_content_type(request, (AWS_TYPE,))
            target = request.headers.get(ACTION_HEADER, "")
            action = self._actions.get(target.removeprefix(_PREFIX)) if target.startswith(_PREFIX) else None
            if action is None:
                served = ", ".join(_PREFIX + name for name in self._actions)
                detail = f"{ACTION_HEADER} is {target[:100]!r}; {served} are served"
                raise Problem(ProblemKind.UNKNOWN_PATH, detail)
            data = await read_body(request)
            await self._services.see_apis()  # a model may be one that another gateway has taken
            return await action(data, parse_body(data))
        except Problem as problem:
            return words_of_aws(problem)
        except StreamInferError as error:
            return words_of_aws(problem_of(error))
        except ConnectionError:
            raise  # the client went away: there is nobody to answer
        except Exception:  # noqa: BLE001 (the boundary: a client gets an answer, the log the traceback)
            return words_of_aws(own_fault(request))

    async def _create_model(self, _data: bytes, value: Any) -> web.Response:
        asked = validate(CreateModel, value)
        await self._models.create(asked)
        return _made({"ModelArn": arn_of(asked.ModelName, "model")}, ignored_in_model(asked))

    async def _describe_model(self, _data: bytes, value: Any) -> web.Response:
        return aws_answer(await self._models.describe(validate(_OneModel, value).ModelName))

    async def _list_models(self, _data: bytes, value: Any) -> web.Response:
        page = page_of(await self._models.entries(), validate(ListModels, value))
        return aws_answer({"Models": [model_row(*one) for one in page.entries], **page.more})

    async def _delete_model(self, _data: bytes, value: Any) -> web.Response:
        await self._models.delete(validate(_OneModel, value).ModelName)
        return aws_answer({})

    async def _create_job(self, data: bytes, value: Any) -> web.Response:
        asked = validate(CreateTransformJob, value)
        if asked.ModelName is None:
            raise Problem(ProblemKind.INVALID_REQUEST, "/ModelName: Field required: an API, or a model of one")
        made = await self._jobs.create(await self._models.api_of(asked.ModelName), data, asked)
        return _made({"TransformJobArn": made.TransformJobArn}, made.Ignored or {})

    async def _describe_job(self, _data: bytes, value: Any) -> web.Response:
        return aws_answer(description(await self._jobs.find(validate(_OneJob, value).TransformJobName)))

    async def _list_jobs(self, _data: bytes, value: Any) -> web.Response:
        page = await self._jobs.page(validate(ListTransformJobs, value))
        return aws_answer({"TransformJobSummaries": [summary(known) for known in page.entries], **page.more})

    async def _stop_job(self, _data: bytes, value: Any) -> web.Response:
        await self._jobs.stop(await self._jobs.find(validate(_OneJob, value).TransformJobName))
        return aws_answer({})


def _made(body: dict[str, str], ignored: Mapping[str, str]) -> web.Response:
    return aws_answer(body, headers={IGNORED_HEADER: ", ".join(sorted(ignored))} if ignored else {})
