"""What the OpenAPI document says of how jobs go on, and of the page."""

from __future__ import annotations

from typing import Any

from stream_infer.gateway.event_stream import EVENT_STREAM
from stream_infer.gateway.openapi_parts import answer_of, json_answer, operation, path_parameter, query_parameter
from stream_infer.gateway.representations import Throughput

_TEXT = {"type": "string"}
_BYTES = {"type": "string", "format": "binary"}


def event_paths() -> dict[str, Any]:
    job_id = path_parameter("job_id", "The job's id.")
    api = query_parameter("api", "Only jobs of this API.", _TEXT)
    events = {"200": answer_of("Server-sent events: `job`, each a JobBody.", _TEXT, EVENT_STREAM)}
    ending = {"200": answer_of("Server-sent events: `job`, each a JobBody, then `end`.", _TEXT, EVENT_STREAM)}
    points = {"200": json_answer("How its items have ended so far.", Throughput)}
    return {
        "/v1/events": {"get": operation("followJobs", "Follow all jobs: each that changes", events, [api])},
        "/v1/jobs/{job_id}/events": {
            "get": operation("followJob", "Follow a job: as it is, whenever it changes, to its end", ending, [job_id])
        },
        "/v1/jobs/{job_id}/throughput": {
            "get": operation("getThroughput", "Look at how fast a job has gone", points, [job_id])
        },
    }


def page_paths() -> dict[str, Any]:
    file = path_parameter("file", "A file of the page.")
    start = {"200": answer_of("The page.", _TEXT, "text/html")}
    files = {"200": answer_of("The file.", _BYTES, "*/*"), "304": {"description": "It is as it was."}}
    return {
        "/": {"get": operation("getPage", "The web page: APIs, jobs, failures", start)},
        "/_page/{file}": {"get": operation("getPageFile", "A file of the web page", files, [file])},
    }
