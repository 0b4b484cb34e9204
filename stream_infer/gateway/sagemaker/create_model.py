"""CreateModel, field by field: which API a model's name leads to, and what DescribeModel says of it. Pure.

A model here is a name. What runs is an API, which has been configured: of the same name, or of the one that the
model's environment names.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from stream_infer.gateway.sagemaker.transform import arn_of, refused, require_environment
from stream_infer.http.problems import Problem, ProblemKind
from stream_infer.predictor_settings import SageMakerPredictor
from stream_infer.settings import ApiSettings

API_VARIABLE = "STREAM_INFER_API"
_NAME = r"^[a-zA-Z0-9]([\-a-zA-Z0-9]*[a-zA-Z0-9])?$"
_CONTAINER = "/PrimaryContainer"
_UNMEANT = {
    "Containers": "one model serves an API: give it as PrimaryContainer",
    "InferenceExecutionConfig": "one model serves an API: there are no containers to choose from",
    "EnableNetworkIsolation": "predictors have the network of the workers' own machines: cut it off there",
}
_UNMEANT_OF_CONTAINER = {
    "AdditionalModelDataSources": "a model is one archive",
    "InferenceSpecificationName": "there are no model packages here",
    "ModelPackageName": "there are no model packages here: give its archive as ModelDataUrl",
    "MultiModelConfig": "a model is one archive: each has an API of its own",
}
_IGNORED = {
    "ExecutionRoleArn": "workers have the rights of their own processes",
    "Tags": "there is no billing to sort by them",
    "VpcConfig": "workers have the network of their own machines",
}
_IGNORED_OF_CONTAINER = {
    "ContainerHostname": "there is one container",
    "ContainerMetricsConfig": "docs/metrics.md says what is counted",
    "Image": "workers run in the environment that they are started in",
    "ImageConfig": "workers run in the environment that they are started in",
}


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Container(_Part):
    ContainerHostname: str | None = Field(default=None, max_length=63)
    Image: str | None = Field(default=None, max_length=255)
    ImageConfig: dict[str, Any] | None = None
    Mode: str | None = None
    ModelDataUrl: str | None = Field(default=None, max_length=1024)
    ModelDataSource: dict[str, Any] | None = None
    AdditionalModelDataSources: list[dict[str, Any]] | None = None
    Environment: dict[str, str] = Field(default_factory=dict, max_length=100)
    ModelPackageName: str | None = None
    InferenceSpecificationName: str | None = None
    MultiModelConfig: dict[str, Any] | None = None
    ContainerMetricsConfig: dict[str, Any] | None = None


class CreateModel(_Part):
    """SageMaker's own names."""

    ModelName: str = Field(max_length=63, pattern=_NAME)
    PrimaryContainer: Container | None = None
    Containers: list[dict[str, Any]] | None = None
    InferenceExecutionConfig: dict[str, Any] | None = None
    ExecutionRoleArn: str | None = Field(default=None, max_length=2048)
    Tags: list[dict[str, str]] | None = Field(default=None, max_length=50)
    VpcConfig: dict[str, Any] | None = None
    EnableNetworkIsolation: bool | None = None


class RegisteredModel(BaseModel):
    """What is kept of a model: which API serves it, and what it was made with."""

    model_config = ConfigDict(frozen=True)

    api: str
    asked: CreateModel


def serving(asked: CreateModel, find: Callable[[str], ApiSettings | None]) -> ApiSettings:
    """The API that is to serve the model; `find` tells which of a name there is. Raises a Problem that names the
    field."""
    _refuse_unmeant(asked)
    container = asked.PrimaryContainer or Container()
    chosen = container.Environment.get(API_VARIABLE)
    api = find(asked.ModelName if chosen is None else chosen)
    if api is None:
        raise _without_api(asked, chosen)
    if asked.ModelName != api.name and find(asked.ModelName) is not None:
        detail = f"{asked.ModelName!r} is an API itself, which its name leads to: take another name"
        raise refused("/ModelName", detail)
    url = model_data_of(container)
    if url is not None and url != model_of(api):
        detail = (
            f"{url[:200]} is not what API {api.name!r} serves, which is {model_of(api) or api.predictor.shown_as}: "
            "leave it out, or set predictor.model of the API in stream-infer.yaml"
        )
        raise refused(f"{_CONTAINER}/ModelDataUrl", detail)
    environment = {name: value for name, value in container.Environment.items() if name != API_VARIABLE}
    require_environment(environment, api, f"{_CONTAINER}/Environment")
    return api


def ignored_in(asked: CreateModel) -> dict[str, str]:
    """The fields that change nothing here, and why."""
    given, container = _given(asked)
    return {name: why for name, why in _IGNORED.items() if given.get(name)} | {
        f"PrimaryContainer/{name}": why for name, why in _IGNORED_OF_CONTAINER.items() if container.get(name)
    }


def model_data_of(container: Container) -> str | None:
    """Where its archive lies, in either way that SageMaker has for it."""
    source = (container.ModelDataSource or {}).get("S3DataSource")
    return container.ModelDataUrl or (str(source.get("S3Uri")) if isinstance(source, dict) else None)


def model_of(api: ApiSettings) -> str | None:
    """Where the archive lies that an API serves; None of one that is none of SageMaker's."""
    return api.predictor.model if isinstance(api.predictor, SageMakerPredictor) else None


def described_model(model: RegisteredModel, created: float) -> dict[str, Any]:
    """As DescribeModel has it; `created` in seconds since the epoch."""
    asked = model.asked.model_dump(exclude_none=True, exclude={"Tags"})
    return {**asked, **model_row(model.asked.ModelName, created)}


def described_api(api: ApiSettings) -> dict[str, Any]:
    """Likewise, of an API that nobody has made a model of. It has no time of its own: the epoch, on all gateways. Its
    environment is not shown, since there may be secrets in it."""
    url = model_of(api) or ""
    container = {"PrimaryContainer": {"ModelDataUrl": url}} if url.startswith(("s3://", "https://")) else {}
    return model_row(api.name, 0.0) | container


def model_row(name: str, created: float) -> dict[str, Any]:
    """As ListModels has it."""
    return {"ModelName": name, "ModelArn": arn_of(name, "model"), "CreationTime": created}


def _refuse_unmeant(asked: CreateModel) -> None:
    given, container = _given(asked)
    for of, fields, pointer in ((given, _UNMEANT, ""), (container, _UNMEANT_OF_CONTAINER, _CONTAINER)):
        for name, detail in fields.items():
            if of.get(name):
                raise refused(f"{pointer}/{name}", detail)
    mode = container.get("Mode", "SingleModel")
    if mode != "SingleModel":
        raise refused(f"{_CONTAINER}/Mode", f"{mode[:40]!r} is not served here: SingleModel is")


def _given(asked: CreateModel) -> tuple[dict[str, Any], dict[str, Any]]:
    """Of the model, and of its container, by the fields' names."""
    given = asked.model_dump(exclude_none=True)
    return given, given.get("PrimaryContainer", {})


def definition_of(asked: CreateModel) -> dict[str, Any]:
    """The API that would serve the model as SageMaker does, as an entry of `apis`; of its name none is there."""
    container = asked.PrimaryContainer or Container()
    predictor: dict[str, Any] = {"type": "sagemaker", "model": model_data_of(container) or "s3://…/model.tar.gz"}
    environment = dict(container.Environment)
    if program := environment.pop("SAGEMAKER_PROGRAM", None):
        predictor["program"] = program
    return {"name": asked.ModelName.lower(), "predictor": predictor | ({"env": environment} if environment else {})}


def _without_api(asked: CreateModel, chosen: str | None) -> Problem:
    if chosen is not None:
        return refused(f"{_CONTAINER}/Environment/{API_VARIABLE}", f"no API is named {chosen[:100]!r}: GET /v1/apis")
    # JSON is YAML; of what a client sent no more than a screen.
    entry = json.dumps(definition_of(asked), ensure_ascii=False)[:600]
    detail = (
        f"no API is called {asked.ModelName!r}. Name the one that serves the model, "
        f'PrimaryContainer={{"Environment": {{"{API_VARIABLE}": "NAME"}}}}; where none does, add it under apis in '
        f"stream-infer.yaml first: {entry}"
    )
    return refused("/ModelName", detail)


def already_there(name: str) -> Problem:
    """SageMaker's SDK knows by these words that it may go on with the model."""
    detail = f'Cannot create already existing model "{arn_of(name, "model")}". delete_model takes it away.'
    return Problem(ProblemKind.INVALID_REQUEST, detail)


def unknown_model(name: str, api: ApiSettings | None) -> Problem:
    """As SageMaker says it, which has no kind of its own for it; `api`: that of the name."""
    more = "list_models tells which there are." if api is None else "It is an API, of which no model was made."
    return Problem(ProblemKind.INVALID_REQUEST, f'Could not find model "{arn_of(name[:100], "model")}". {more}')
