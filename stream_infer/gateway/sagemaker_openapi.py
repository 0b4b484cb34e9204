"""What the OpenAPI document says of SageMaker's transform jobs."""

from __future__ import annotations

from typing import Any

from stream_infer.gateway.sagemaker_request import CreateTransformJob, TransformJobMade
from stream_infer.http.problems import CONTENT_TYPE, ProblemDocument
from stream_infer.http.requests import JSON_TYPE

_AWS_TYPE = "application/x-amz-json-1.1"
_OBJECT: dict[str, Any] = {"type": "object"}


def transform_paths() -> dict[str, Any]:
    """Below an API, and the actions of SageMaker's own protocol."""
    api, name = _parameter("api", "path", "The API's name."), _parameter("name", "path", "TransformJobName.")
    described = _answer("As DescribeTransformJob answers.", JSON_TYPE, _OBJECT)
    made = _answer("Ignored has the fields that change nothing here.", JSON_TYPE, _ref(TransformJobMade))
    asked = {"requestBody": {"required": True, "content": {JSON_TYPE: {"schema": _ref(CreateTransformJob)}}}}
    actions = "SageMaker.CreateTransformJob, SageMaker.DescribeTransformJob or SageMaker.StopTransformJob."
    act = _operation(
        "actOnTransformJobs",
        "Create, describe or stop a transform job by SageMaker's protocol, as boto3 speaks it",
        [_parameter("X-Amz-Target", "header", actions)],
        _answer("As the action answers there.", _AWS_TYPE, _OBJECT),
        {"requestBody": {"required": True, "content": {_AWS_TYPE: {"schema": _OBJECT}}}},
    )
    return {
        "/v1/apis/{api}/transform-jobs": {
            "post": _operation("createTransformJob", "Submit a SageMaker transform job", [api], made, asked)
        },
        "/v1/apis/{api}/transform-jobs/{name}": {
            "get": _operation("describeTransformJob", "Look at a transform job", [api, name], described),
            "delete": _operation("stopTransformJob", "Stop a transform job", [api, name], described),
        },
        "/": {"post": act},
    }


def _operation(
    name: str, summary: str, parameters: list[Any], answer: dict[str, Any], asked: dict[str, Any] | None = None
) -> dict[str, Any]:
    problem = {"description": "What is wrong.", "content": {CONTENT_TYPE: {"schema": _ref(ProblemDocument)}}}
    answers = {"200": answer, "default": problem}
    return {"operationId": name, "summary": summary, "parameters": parameters, "responses": answers, **(asked or {})}


def _answer(description: str, content_type: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {content_type: {"schema": schema}}}


def _parameter(name: str, place: str, description: str) -> dict[str, Any]:
    schema = {"type": "string"}
    return {"name": name, "in": place, "required": True, "description": description, "schema": schema}


def _ref(model: type) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{model.__name__}"}
