"""`/openapi.json`: OpenAPI 3.1, its schemas made from the models that read and write the bodies."""

from __future__ import annotations

from functools import cache
from importlib.metadata import version
from typing import Any

from aiohttp import web
from pydantic.json_schema import models_json_schema

from stream_infer.gateway.access import with_security
from stream_infer.gateway.api_bodies import ApiBody, ApiList
from stream_infer.gateway.cortex.openapi import cortex_paths
from stream_infer.gateway.dead_letters.bodies import (
    DeadLetterDetail,
    DeadLetterList,
    ReplayBody,
    ReplayRequest,
)
from stream_infer.gateway.dead_letters.openapi import dead_letter_paths
from stream_infer.gateway.deployments.openapi import deployment_paths
from stream_infer.gateway.event_stream import EVENT_STREAM
from stream_infer.gateway.job_openapi import event_paths, page_paths
from stream_infer.gateway.links import EXPIRES_S, LONGEST_S
from stream_infer.gateway.openai.openapi import OPENAI_READ, OPENAI_WRITTEN, openai_paths
from stream_infer.gateway.openapi_parts import (
    answer_of,
    idempotency_key,
    json_answer,
    lines_answer,
    operation,
    path_parameter,
    query_parameter,
    ref,
    timeout,
    whole,
)
from stream_infer.gateway.representations import (
    DryRunBody,
    ItemsAccepted,
    JobBody,
    JobList,
    LogPage,
    Throughput,
    UploadBody,
)
from stream_infer.gateway.sagemaker.openapi import transform_paths
from stream_infer.gateway.sagemaker.request import CreateTransformJob, TransformJobMade
from stream_infer.gateway.uploads import UPLOADED_TYPES
from stream_infer.gateway.webhooks.bodies import DeliveryList, TellAgain, ToldAgain
from stream_infer.gateway.webhooks.openapi import webhook_paths
from stream_infer.http.answers import HealthBody, answer
from stream_infer.http.problems import ProblemDocument
from stream_infer.http.requests import JSON_TYPE, NDJSON_TYPES
from stream_infer.jobs.spec import JobSpec
from stream_infer.jobs.status import State
from stream_infer.settings import ApiSettings

_READ = (ApiSettings, CreateTransformJob, JobSpec, *OPENAI_READ, ReplayRequest, TellAgain)
_WRITTEN = (
    ApiBody, ApiList, DeadLetterDetail, DeadLetterList, DeliveryList, DryRunBody, HealthBody, ItemsAccepted, JobBody,
    JobList, LogPage, *OPENAI_WRITTEN, ProblemDocument, ReplayBody, Throughput, ToldAgain, TransformJobMade, UploadBody,
)  # fmt: skip


class OpenApiResource:
    def routes(self) -> list[web.RouteDef]:
        return [web.get("/openapi.json", self.get)]

    async def get(self, _request: web.Request) -> web.Response:
        return answer(openapi_document())


@cache
def openapi_document() -> dict[str, Any]:
    """The document. Every error of every operation is a `ProblemDocument`; `access.py` says what each asks of a key."""
    modes = [(model, "validation") for model in _READ] + [(model, "serialization") for model in _WRITTEN]
    _, schemas = models_json_schema(modes, ref_template="#/components/schemas/{model}")  # type: ignore[arg-type]
    document = {
        "openapi": "3.1.0",
        "info": {
            "title": "stream-infer",
            "version": version("stream-infer"),
            "description": "Distributed inference over Kafka: jobs, items, results, dead letters.",
        },
        "paths": _paths(),
        "components": {"schemas": schemas["$defs"]},
    }
    return with_security(document)


def _paths() -> dict[str, Any]:
    """A path may have methods of several parts: `/` shows the page, and is where boto3 asks."""
    paths: dict[str, Any] = {}
    for part in (
        _job_paths(), event_paths(), _api_paths(), deployment_paths(), _upload_paths(), dead_letter_paths(),
        webhook_paths(), _service_paths(), cortex_paths(), transform_paths(), openai_paths(), page_paths(),
    ):  # fmt: skip
        for path, methods in part.items():
            paths[path] = paths.get(path, {}) | methods
    return paths


def _job_paths() -> dict[str, Any]:
    job_id = path_parameter("job_id", "The job's id.")
    api = path_parameter("api", "The API's name.")
    accepted = json_answer("The job.", JobBody)
    accepted["headers"] = {"Location": {"schema": {"type": "string"}}}
    dry_run = query_parameter("dry_run", "Answer what would be enqueued; change nothing.", {"type": "boolean"})
    said = "Of a dry run: list so many items at most, 10 unless given and up to 1000; of lines 1000, up to 1000000."
    limit = query_parameter("limit", said, {"type": "integer", "minimum": 1, "maximum": 1_000_000})
    would_be = json_answer(
        "With dry_run: what would be enqueued; with Accept, one item a line, then the end.", DryRunBody
    )
    would_be["content"] |= lines_answer("")["content"]
    states = {"type": "string", "enum": [state.value for state in State]}
    return {
        "/v1/apis/{api}/jobs": {
            "post": operation(
                "submitJob",
                "Submit a job",
                {"202": accepted, "200": would_be},
                [api, dry_run, limit, idempotency_key()],
                {JSON_TYPE: {"schema": ref(JobSpec)}},
            )
        },
        "/v1/jobs": {
            "get": operation(
                "listJobs",
                "List jobs, the newest first",
                {"200": json_answer("A page of jobs.", JobList)},
                [
                    query_parameter("limit", "At most as many.", whole(1, 100, 20)),
                    query_parameter("after", "The last job's id of the page before.", {"type": "string"}),
                    query_parameter("state", "Only jobs in this state.", states),
                    query_parameter("api", "Only jobs of this API.", {"type": "string"}),
                ],
            )
        },
        "/v1/jobs/{job_id}": {
            "get": operation("getJob", "Look at a job", {"200": json_answer("The job.", JobBody)}, [job_id]),
            "delete": operation(
                "stopJob",
                "Stop a job: its items that have not begun are skipped",
                {
                    "200": json_answer("The job is stopping, or had ended already.", JobBody),
                    "202": json_answer("The stop is recorded; the job does not show it yet.", JobBody),
                },
                [job_id],
            ),
        },
        "/v1/jobs/{job_id}/results": {
            "get": operation(
                "getResults",
                "Read results, or make links to what they are stored in",
                {"200": lines_answer("One result a line, in the order of the items; with links: one link a line.")},
                [
                    job_id,
                    query_parameter("links", "Addresses that anybody can read, for a while.", {"type": "boolean"}),
                    query_parameter("expires", "Seconds that links are good for.", whole(1, LONGEST_S, EXPIRES_S)),
                ],
            )
        },
        "/v1/jobs/{job_id}/failures": {
            "get": operation("getFailures", "Read failures", {"200": lines_answer("One failed item a line.")}, [job_id])
        },
        "/v1/jobs/{job_id}/logs": {"get": _logs(job_id)},
    }


def _logs(job_id: dict[str, Any]) -> dict[str, Any]:
    page = json_answer("A page of lines, the oldest first; or, with follow or Accept, server-sent events.", LogPage)
    page["content"] |= {EVENT_STREAM: {"schema": {"type": "string"}}}
    return operation(
        "getLogs",
        "Read what was said about a job, or follow it to the job's end",
        {"200": page},
        [
            job_id,
            query_parameter("after", "`next` of the page before, or the last event's id.", {"type": "string"}),
            query_parameter("limit", "At most as many; not with follow.", whole(1, 1000, 100)),
            query_parameter("follow", "Server-sent events: each line as it comes, then `end`.", {"type": "boolean"}),
        ],
    )


def _api_paths() -> dict[str, Any]:
    api = path_parameter("api", "The API's name.")
    return {
        "/v1/apis": {"get": operation("listApis", "List APIs", {"200": json_answer("The APIs.", ApiList)})},
        "/v1/apis/{api}": {
            "get": operation("getApi", "Look at an API", {"200": json_answer("The API.", ApiBody)}, [api])
        },
        "/v1/apis/{api}/predict": {
            "post": operation(
                "predict",
                "Ask for one prediction: an item in, its output out",
                {
                    "200": {"description": "The output.", "content": {"*/*": {"schema": {}}}},
                    "204": {"description": "The predictor has said nothing of the item."},
                },
                [api, timeout()],
                {JSON_TYPE: {"schema": {}}, "*/*": {"schema": {"type": "string", "format": "binary"}}},
            )
        },
        "/v1/apis/{api}/items": {
            "post": operation(
                "publishItems",
                "Publish items without a job, one JSON value a line; they are accepted up to the first bad line",
                {"202": json_answer("All items are in the topic.", ItemsAccepted)},
                [api],
                {kind: {"schema": {"type": "string"}} for kind in NDJSON_TYPES},
            )
        },
    }


def _upload_paths() -> dict[str, Any]:
    name = query_parameter("name", "The file's name; its ending says what it is.", {"type": "string"})
    upload_id = path_parameter("upload_id", "The upload's id.")
    return {
        "/v1/uploads": {
            "post": operation(
                "upload",
                "Send a file, for a job that names it by the uri that is answered",
                {"201": json_answer("All of it is stored.", UploadBody)},
                [name],
                {kind: {"schema": {"type": "string"}} for kind in UPLOADED_TYPES},
            )
        },
        "/v1/uploads/{upload_id}": {
            "delete": operation(
                "removeUpload", "Remove a file that was sent", {"204": {"description": "It is not there."}}, [upload_id]
            )
        },
    }


def _service_paths() -> dict[str, Any]:
    document = {"description": "This document.", "content": {JSON_TYPE: {"schema": {"type": "object"}}}}
    topics = {"description": "AsyncAPI 3.0.", "content": {JSON_TYPE: {"schema": {"type": "object"}}}}
    health = json_answer("It is.", HealthBody)
    numbers = answer_of("The text format 0.0.4.", {"type": "string"}, "text/plain")
    return {
        "/openapi.json": {"get": operation("getOpenApi", "This document", {"200": document})},
        "/asyncapi.json": {"get": operation("getAsyncApi", "The topics and the records on them", {"200": topics})},
        "/healthz": {"get": operation("getHealth", "Whether the process answers", {"200": health})},
        "/readyz": {"get": operation("getReadiness", "Whether Kafka and the store answer too", {"200": health})},
        "/metrics": {"get": operation("getMetrics", "Numbers of this process, for Prometheus", {"200": numbers})},
    }
