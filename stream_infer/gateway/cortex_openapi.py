"""What the OpenAPI document says of Cortex's endpoints."""

from __future__ import annotations

from typing import Any

from stream_infer.http.requests import JSON_TYPE

_OF_DEPLOYMENT = {"deployment": "Anything.", "api": "The API's name."}
_ABOUT = "As Cortex's clients call it; errors are JSON with `message`."


def cortex_paths() -> dict[str, Any]:
    """For the API's own endpoint, for the same below /batch, and for a realtime one of the first generation."""
    of_deployment = [_parameter(name, "path", what) for name, what in _OF_DEPLOYMENT.items()]
    return {"/{deployment}/{api}": {"post": _operation("cortexPredict", "Predict", of_deployment)}} | {
        path: operations
        for prefix, owner in (("", "Api"), ("/batch", "BatchApi"))
        for path, operations in (
            (f"{prefix}/{{api}}", _of_api(owner)),
            (f"{prefix}/{{api}}/{{job_id}}", _of_job(owner)),
        )
    }


def _of_api(owner: str) -> dict[str, Any]:
    api = _parameter("api", "path", "The API's name.")
    job = _parameter("jobID", "query", "The job's id.")
    dry_run = _parameter("dryRun", "query", "List the files that would be read, as text; change nothing.", "boolean")
    body = {"required": True, "content": {JSON_TYPE: {"schema": {"type": "object"}}}}
    return {
        "post": _operation(f"cortexSubmit{owner}Job", "Submit a job, or predict a payload", [api, dry_run])
        | {"requestBody": body},
        "get": _operation(f"cortexGet{owner}Job", "Look at a job", [api, job]),
        "delete": _operation(f"cortexStop{owner}Job", "Stop a job", [api, job]),
    }


def _of_job(owner: str) -> dict[str, Any]:
    both = [_parameter("api", "path", "The API's name."), _parameter("job_id", "path", "The job's id.")]
    return {
        "get": _operation(f"cortexGet{owner}JobByPath", "Look at a job", both),
        "delete": _operation(f"cortexStop{owner}JobByPath", "Stop a job", both),
    }


def _operation(name: str, summary: str, parameters: list[dict[str, Any]]) -> dict[str, Any]:
    content = {JSON_TYPE: {"schema": {"type": "object"}}}
    return {
        "operationId": name,
        "summary": summary,
        "description": _ABOUT,
        "parameters": parameters,
        "responses": {
            "200": {"description": "In Cortex's words.", "content": content},
            "default": {"description": "What is wrong.", "content": content},
        },
    }


def _parameter(name: str, place: str, description: str, kind: str = "string") -> dict[str, Any]:
    required = {"required": True} if place == "path" else {}
    return {"name": name, "in": place, "description": description, "schema": {"type": kind}} | required
