"""What each route asks of a key: the only place that says so. The OpenAPI document is made from it, and the gate
refuses to begin where a route is missing here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from aiohttp import web

from stream_infer.gateway.openai.words import words_of_openai
from stream_infer.gateway.words import Words, own_words, words_of_aws, words_of_cortex
from stream_infer.http.keys import KEY_HEADER, Scope

# boto3 names the action in a header, and asks for all of them at one path.
ACTION_HEADER = "X-Amz-Target"


@dataclass(frozen=True, slots=True)
class Rule:
    """`scope` None: whoever asks. `actions`: by the action that the request names, where that says more than its path.

    `words`: how a client of this route is told that it may not. `service`: that of AWS's for which requests may be
    signed, in place of a key.
    """

    scope: Scope | None
    words: Words = own_words
    actions: Mapping[str, Scope] = field(default_factory=lambda: MappingProxyType({}))
    service: str | None = None


_OPEN, _READ, _SUBMIT, _ADMIN = Rule(None), Rule(Scope.READ), Rule(Scope.SUBMIT), Rule(Scope.ADMIN)
_OPENAI_READS, _OPENAI_SUBMITS = Rule(Scope.READ, words_of_openai), Rule(Scope.SUBMIT, words_of_openai)
_CORTEX_READS, _CORTEX_SUBMITS = Rule(Scope.READ, words_of_cortex), Rule(Scope.SUBMIT, words_of_cortex)
_AWS = Rule(
    Scope.SUBMIT,
    words_of_aws,
    MappingProxyType(
        {
            "SageMaker.CreateModel": Scope.SUBMIT,
            "SageMaker.DescribeModel": Scope.READ,
            "SageMaker.ListModels": Scope.READ,
            "SageMaker.DeleteModel": Scope.SUBMIT,
            "SageMaker.CreateTransformJob": Scope.SUBMIT,
            "SageMaker.DescribeTransformJob": Scope.READ,
            "SageMaker.ListTransformJobs": Scope.READ,
            "SageMaker.StopTransformJob": Scope.SUBMIT,
        }
    ),
    "sagemaker",
)

RULES: Mapping[str, Rule] = MappingProxyType(
    {
        # What a load balancer asks, and what says nothing of anybody's data.
        "GET /healthz": _OPEN,
        "GET /readyz": _OPEN,
        "GET /openapi.json": _OPEN,
        # The page, which asks for a key itself, and shows nothing without one.
        "GET /": _OPEN,
        "GET /_page/{file}": _OPEN,
        "GET /metrics": _READ,
        # It names the topics, and where Kafka is.
        "GET /asyncapi.json": _READ,
        "GET /v1/jobs": _READ,
        "GET /v1/jobs/{job_id}": _READ,
        "GET /v1/jobs/{job_id}/events": _READ,
        "GET /v1/jobs/{job_id}/throughput": _READ,
        "GET /v1/events": _READ,
        "GET /v1/jobs/{job_id}/results": _READ,
        "GET /v1/jobs/{job_id}/failures": _READ,
        "GET /v1/jobs/{job_id}/logs": _READ,
        "GET /v1/jobs/{job_id}/dlq": _READ,
        "GET /v1/jobs/{job_id}/dlq/{ref}": _READ,
        "GET /v1/jobs/{job_id}/dlq/{ref}/payload": _READ,
        "GET /v1/jobs/{job_id}/dlq/export": _READ,
        "GET /v1/apis": _READ,
        "GET /v1/apis/{api}": _READ,
        "GET /v1/apis/{api}/dlq": _READ,
        "GET /v1/apis/{api}/dlq/{ref}": _READ,
        "GET /v1/apis/{api}/dlq/{ref}/payload": _READ,
        "GET /v1/apis/{api}/dlq/export": _READ,
        "GET /v1/apis/{api}/transform-jobs/{name}": _READ,
        "GET /v1/webhooks": _READ,
        # Who may begin a job may end it.
        "POST /v1/apis/{api}/jobs": _SUBMIT,
        "DELETE /v1/jobs/{job_id}": _SUBMIT,
        "POST /v1/apis/{api}/items": _SUBMIT,
        "POST /v1/apis/{api}/predict": _SUBMIT,
        "POST /v1/uploads": _SUBMIT,
        "DELETE /v1/uploads/{upload_id}": _SUBMIT,
        "POST /v1/apis/{api}/transform-jobs": _SUBMIT,
        "DELETE /v1/apis/{api}/transform-jobs/{name}": _SUBMIT,
        "POST /": _AWS,
        # Runs code of theirs here.
        "POST /v1/apis": _ADMIN,
        "PUT /v1/apis/{api}": _ADMIN,
        "PATCH /v1/apis/{api}": _ADMIN,
        "DELETE /v1/apis/{api}": _ADMIN,
        # Runs what others have sent again, and opens jobs that have ended.
        "POST /v1/jobs/{job_id}/dlq/replay": _ADMIN,
        "POST /v1/apis/{api}/dlq/replay": _ADMIN,
        # Speaks once more to receivers of jobs that others have sent.
        "POST /v1/webhooks/replay": _ADMIN,
        "POST /v1/files": _OPENAI_SUBMITS,
        "GET /v1/files": _OPENAI_READS,
        "GET /v1/files/{file_id}": _OPENAI_READS,
        "GET /v1/files/{file_id}/content": _OPENAI_READS,
        "DELETE /v1/files/{file_id}": _OPENAI_SUBMITS,
        "POST /v1/batches": _OPENAI_SUBMITS,
        "GET /v1/batches": _OPENAI_READS,
        "GET /v1/batches/{batch_id}": _OPENAI_READS,
        "POST /v1/batches/{batch_id}/cancel": _OPENAI_SUBMITS,
        "POST /{api}": _CORTEX_SUBMITS,
        "GET /{api}": _CORTEX_READS,
        "DELETE /{api}": _CORTEX_SUBMITS,
        "GET /{api}/{job_id}": _CORTEX_READS,
        "DELETE /{api}/{job_id}": _CORTEX_SUBMITS,
        "POST /batch/{api}": _CORTEX_SUBMITS,
        "GET /batch/{api}": _CORTEX_READS,
        "DELETE /batch/{api}": _CORTEX_SUBMITS,
        "GET /batch/{api}/{job_id}": _CORTEX_READS,
        "DELETE /batch/{api}/{job_id}": _CORTEX_SUBMITS,
        "POST /{deployment}/{api}": _CORTEX_SUBMITS,
    }
)


def route_name(method: str, path: str) -> str:
    """As the table has it; HEAD is what GET is."""
    return f"{'GET' if method == 'HEAD' else method} {path}"


def routes_without_rule(router: web.UrlDispatcher) -> list[str]:
    """Those of an application that the table does not have."""
    names = {route_name(route.method, path_of(route)) for route in router.routes()}
    return sorted(names - RULES.keys())


def path_of(route: web.AbstractRoute) -> str:
    """With its parameters in braces, without the patterns that they have to match."""
    return "" if route.resource is None else route.resource.canonical


def require_rules(router: web.UrlDispatcher) -> None:
    """Nobody may forget one: a route that the table does not have is no route."""
    missing = routes_without_rule(router)
    if missing:
        raise RuntimeError(f"say in stream_infer/gateway/access.py what {', '.join(missing)} asks of a key")


_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "Authorization: Bearer KEY"},
    "header": {"type": "apiKey", "in": "header", "name": KEY_HEADER},
}


def with_security(document: dict[str, Any]) -> dict[str, Any]:
    """The OpenAPI document, each of its operations with the scope that it asks for. Raises KeyError: it has no rule."""
    for path, method, operation in operations(document):
        scope = RULES[route_name(method.upper(), path)].scope
        # Of schemes that are not OAuth the list has the roles that are needed (OpenAPI 3.1, 4.8.30).
        operation["security"] = [] if scope is None else [{name: [scope.value]} for name in _SCHEMES]
    document["components"]["securitySchemes"] = _SCHEMES
    return document


def operations(document: Mapping[str, Any]) -> Iterable[tuple[str, str, dict[str, Any]]]:
    """Path, method in lower case, and operation."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation
