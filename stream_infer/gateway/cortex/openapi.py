"""What the OpenAPI document says of Cortex's endpoints."""

from __future__ import annotations

from typing import Any

from stream_infer.gateway.openapi_parts import answer_of, operation, path_parameter, query_parameter
from stream_infer.http.requests import JSON_TYPE

_OBJECT = {"type": "object"}
_ABOUT = {"description": "As Cortex's clients call it; errors are JSON with `message`."}
_ANSWERS = {
    "200": answer_of("In Cortex's words.", _OBJECT),
    "default": answer_of("What is wrong.", _OBJECT),
}


def cortex_paths() -> dict[str, Any]:
    """For the API's own endpoint, for the same below /batch, and for a realtime one of the first generation."""
    of_deployment = [path_parameter("deployment", "Anything."), path_parameter("api", "The API's name.")]
    return {"/{deployment}/{api}": {"post": _operation("Predict", "Predict", of_deployment)}} | {
        path: operations
        for prefix, owner in (("", "Api"), ("/batch", "BatchApi"))
        for path, operations in (
            (f"{prefix}/{{api}}", _of_api(owner)),
            (f"{prefix}/{{api}}/{{job_id}}", _of_job(owner)),
        )
    }


def _of_api(owner: str) -> dict[str, Any]:
    api = path_parameter("api", "The API's name.")
    job = query_parameter("jobID", "The job's id.", {"type": "string"})
    files = "List the files that would be read, as text; change nothing."
    dry_run = query_parameter("dryRun", files, {"type": "boolean"})
    body = {JSON_TYPE: {"schema": _OBJECT}}
    return {
        "post": _operation(f"Submit{owner}Job", "Submit a job, or predict a payload", [api, dry_run], body),
        "get": _operation(f"Get{owner}Job", "Look at a job", [api, job]),
        "delete": _operation(f"Stop{owner}Job", "Stop a job", [api, job]),
    }


def _of_job(owner: str) -> dict[str, Any]:
    both = [path_parameter("api", "The API's name."), path_parameter("job_id", "The job's id.")]
    return {
        "get": _operation(f"Get{owner}JobByPath", "Look at a job", both),
        "delete": _operation(f"Stop{owner}JobByPath", "Stop a job", both),
    }


def _operation(
    name: str, summary: str, parameters: list[dict[str, Any]], body: dict[str, Any] | None = None
) -> dict[str, Any]:
    return operation(f"cortex{name}", summary, _ANSWERS, parameters, body) | _ABOUT
