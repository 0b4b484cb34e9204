"""What the OpenAPI document says of APIs that are added while everything runs."""

from __future__ import annotations

from typing import Any

from stream_infer.gateway.api_bodies import ApiBody
from stream_infer.gateway.deployments.request import CODE, DEFINITION, MERGE_PATCH, MULTIPART
from stream_infer.gateway.openapi_parts import json_answer, operation, path_parameter, query_parameter, ref
from stream_infer.http.requests import JSON_TYPE
from stream_infer.settings import ApiSettings


def deployment_paths() -> dict[str, Any]:
    api = path_parameter("api", "The API's name.")
    taken = json_answer("It is taken; `state` tells what becomes of it.", ApiBody)
    taken["headers"] = {"Location": {"schema": {"type": "string"}}}
    force = query_parameter("force", "Stop its jobs first.", {"type": "boolean"})
    patch = {"schema": {"type": "object"}}
    return {
        "/v1/apis": {"post": operation("createApi", "Add an API, with its code", {"202": taken}, body=_deployment())},
        "/v1/apis/{api}": {
            "put": operation("replaceApi", "Replace an API, or add it", {"202": taken}, [api], _deployment()),
            "patch": operation(
                "patchApi",
                "Change an API's definition by a JSON merge patch (RFC 7396); its code stays",
                {"202": taken},
                [api],
                {MERGE_PATCH: patch, JSON_TYPE: patch},
            ),
            "delete": operation(
                "deleteApi",
                "Remove an API that was added so; its topics and results stay",
                {"204": {"description": "It is gone."}},
                [api, force],
            ),
        },
    }


def _deployment() -> dict[str, Any]:
    code = {"type": "string", "format": "binary", "description": "A tar.gz; requirements.txt in its root."}
    schema = {"type": "object", "required": [DEFINITION], "properties": {DEFINITION: ref(ApiSettings), CODE: code}}
    encoding = {DEFINITION: {"contentType": JSON_TYPE}, CODE: {"contentType": "application/gzip"}}
    return {MULTIPART: {"schema": schema, "encoding": encoding}}
