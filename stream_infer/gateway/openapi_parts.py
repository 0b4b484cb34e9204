"""The parts that the OpenAPI document is put together from."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from stream_infer.http.problems import CONTENT_TYPE, ProblemDocument
from stream_infer.http.requests import IDEMPOTENCY_KEY, JSON_TYPE, NDJSON_TYPES, TIMEOUT


def operation(
    name: str,
    summary: str,
    responses: dict[str, Any],
    parameters: list[dict[str, Any]] | None = None,
    body: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """`responses` by their status; "default", where it is not among them, is a problem document."""
    problem = {"description": "What is wrong.", "content": {CONTENT_TYPE: {"schema": ref(ProblemDocument)}}}
    operation: dict[str, Any] = {"operationId": name, "summary": summary}
    if parameters:
        operation["parameters"] = parameters
    if body:
        operation["requestBody"] = {"required": True, "content": body}
    return operation | {"responses": {"default": problem} | responses}


def path_parameter(name: str, description: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "description": description, "schema": {"type": "string"}}


def query_parameter(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": description, "schema": schema}


def header_parameter(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "header", "description": description, "schema": schema}


def idempotency_key() -> dict[str, Any]:
    schema = {"type": "string", "minLength": 1, "maxLength": 255}
    return header_parameter(IDEMPOTENCY_KEY, "The same key and body give the same job again, on every replica.", schema)


def timeout() -> dict[str, Any]:
    schema = {"type": "number", "exclusiveMinimum": 0}
    return header_parameter(TIMEOUT, "Seconds to wait for the answer, at most the API's realtime.timeout.", schema)


def whole(low: int, high: int, default: int) -> dict[str, Any]:
    return {"type": "integer", "minimum": low, "maximum": high, "default": default}


def answer_of(description: str, schema: dict[str, Any], content_type: str = JSON_TYPE) -> dict[str, Any]:
    return {"description": description, "content": {content_type: {"schema": schema}}}


def json_answer(description: str, model: type[BaseModel]) -> dict[str, Any]:
    return answer_of(description, ref(model))


def lines_answer(description: str) -> dict[str, Any]:
    return answer_of(description, {"type": "string"}, NDJSON_TYPES[0])


def ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{model.__name__}"}
