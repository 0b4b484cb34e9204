"""Whatever the OpenAPI document allows, and what it forbids: the gateway's answer is never its own fault."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from stream_infer.gateway.access import operations
from stream_infer.gateway.openapi import openapi_document
from stream_infer.gateway.words import AWS_TYPE
from stream_infer.http.requests import NDJSON_TYPES
from stream_infer.jobs.status import State
from tests.support.gateway import GatewayHarness, HttpClient
from tests.support.services import missing
from tests.support.settings import settings_for

try:
    import schemathesis
    from schemathesis import GenerationMode
except ImportError:
    missing("schemathesis is not installed: make lock, make setup")


@schemathesis.serializer(*NDJSON_TYPES, AWS_TYPE)
def _json_lines(_context: Any, value: Any) -> bytes:
    """Text as it is, which is hardly ever a line of JSON; anything else as one."""
    return value.encode("utf-8", "replace") if isinstance(value, str) else json.dumps(value, default=str).encode()


# It is answered for as long as somebody listens: test_job_events.py does.
ENDLESS = "GET /v1/events"
LABELS = [f"{method.upper()} {path}" for path, method, _ in operations(openapi_document())]
LABELS.remove(ENDLESS)
SCHEMA = schemathesis.openapi.from_dict(openapi_document())
EXAMPLES = 8


@pytest.fixture(scope="module")
def harness(bootstrap_servers: str, tmp_path_factory: pytest.TempPathFactory) -> GatewayHarness:
    folder = tmp_path_factory.mktemp("schema")
    api = {"predictor": {"type": "cortex", "path": "predictor.py"}}
    return GatewayHarness(settings_for(bootstrap_servers, f"t-schema-{time.time_ns()}", folder, api=api))


@pytest.fixture(scope="module")
def client(harness: GatewayHarness) -> Iterator[HttpClient]:
    with harness.gateway() as client:
        yield client


@pytest.fixture(scope="module")
def job_id(harness: GatewayHarness, client: HttpClient) -> str:
    """A job that has ended, so that nothing waits for it."""
    job_id: str = client("POST", "/v1/apis/echo/jobs", {"item_list": {"items": [1]}}, status=202)["job_id"]
    harness.status(job_id, state=State.SUCCEEDED, times={"succeeded": time.time()})
    return job_id


@pytest.mark.parametrize("label", LABELS)
def test_no_request_is_answered_with_a_fault_of_the_gateway(client: HttpClient, job_id: str, label: str) -> None:
    method, path = label.split(" ")
    operation = SCHEMA[path][method]
    known = {"api": "echo", "job_id": job_id, "name": job_id}

    @given(
        case=st.one_of(
            operation.as_strategy(generation_mode=GenerationMode.POSITIVE),
            operation.as_strategy(generation_mode=GenerationMode.NEGATIVE),
        ),
        is_known=st.sampled_from([True, True, True, False]),
    )
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
        phases=[Phase.generate],  # what it finds is short enough to read
    )
    def ask(case: Any, is_known: bool) -> None:
        if is_known:
            case.path_parameters = {**(case.path_parameters or {})} | {
                name: value for name, value in known.items() if name in (case.path_parameters or {})
            }
        answer = case.call(base_url=client.url, timeout=60)
        if answer.status_code == 503:  # a machine that stood still
            answer = case.call(base_url=client.url, timeout=60)
        assert answer.status_code < 500, (answer.status_code, answer.content)
        if answer.status_code >= 400 and method != "HEAD":
            assert "json" in str(answer.headers.get("content-type")), answer.headers

    ask()
