"""What the OpenAPI document says of SageMaker's transform jobs."""

from __future__ import annotations

from typing import Any

from stream_infer.gateway.access import ACTION_HEADER, RULES
from stream_infer.gateway.openapi_parts import (
    answer_of,
    header_parameter,
    json_answer,
    operation,
    path_parameter,
    ref,
)
from stream_infer.gateway.sagemaker.request import CreateTransformJob, TransformJobMade
from stream_infer.http.requests import JSON_TYPE

_AWS_TYPE = "application/x-amz-json-1.1"
_OBJECT = {"type": "object"}


def transform_paths() -> dict[str, Any]:
    """Below an API, and the actions of SageMaker's own protocol."""
    api, name = path_parameter("api", "The API's name."), path_parameter("name", "TransformJobName.")
    described = {"200": answer_of("As DescribeTransformJob answers.", _OBJECT)}
    made = {"200": json_answer("Ignored has the fields that change nothing here.", TransformJobMade)}
    asked = {JSON_TYPE: {"schema": ref(CreateTransformJob)}}
    actions = {"type": "string", "enum": list(RULES["POST /"].actions)}
    act = operation(
        "actAsSageMaker",
        "Transform jobs and models by SageMaker's protocol, as boto3 speaks it and signs it",
        {"200": answer_of("As the action answers there.", _OBJECT, _AWS_TYPE)},
        [header_parameter(ACTION_HEADER, "The action.", actions) | {"required": True}],
        {_AWS_TYPE: {"schema": _OBJECT}},
    )
    return {
        "/v1/apis/{api}/transform-jobs": {
            "post": operation("createTransformJob", "Submit a SageMaker transform job", made, [api], asked)
        },
        "/v1/apis/{api}/transform-jobs/{name}": {
            "get": operation("describeTransformJob", "Look at a transform job", described, [api, name]),
            "delete": operation("stopTransformJob", "Stop a transform job", described, [api, name]),
        },
        "/": {"post": act},
    }
