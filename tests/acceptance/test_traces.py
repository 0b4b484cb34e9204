"""One trace, from the request that submits a job to its committed results: real processes, Kafka and OTLP."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import urllib3

from stream_infer.kafka.topic_reader import TopicReader
from stream_infer.settings import KafkaSettings
from tests.support.gateway import seen
from tests.support.settings import predictor
from tests.support.traces import SENT, SPAN, TRACE, Collector, Told, collecting
from tests.support.up_process import UpProcess, up_in, wait_for, write_config

POOL = urllib3.PoolManager(retries=False, timeout=20)
ITEMS = 40
ITEMS_TOPIC, RESULTS_TOPIC = "stream-infer.echo.items", "stream-infer.echo.results"


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


@pytest.fixture(scope="module")
def up(collector: Collector, tmp_path_factory: pytest.TempPathFactory) -> Iterator[UpProcess]:
    folder = tmp_path_factory.mktemp("traces")
    api = {"name": "echo", "predictor": predictor("talking.py:Talking"), "partitions": 2}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "200")
        with up_in(folder, write_config(folder, apis=[api], log={"format": "json"})) as process:
            yield process
            assert process.interrupt() == 0, process.text()


@pytest.fixture(scope="module")
def ready(up: UpProcess) -> dict[str, Any]:
    return up.wait_until_ready()


@pytest.fixture(scope="module")
def answered(ready: dict[str, Any], up: UpProcess) -> Any:
    """A job with a trace, done. The answer to its submission."""
    asked = POOL.request(
        "POST",
        f"{ready['gateway']}/v1/apis/echo/jobs",
        body=json.dumps({"item_list": {"items": list(range(ITEMS))}}).encode(),
        headers={"content-type": "application/json", "traceparent": SENT, "tracestate": "rojo=1"},
    )
    assert asked.status == 202, asked.data
    job_id = asked.json()["job_id"]
    url = f"{ready['gateway']}/v1/jobs/{job_id}"
    job = wait_for(lambda: found if (found := seen(url)) and found["is_final"] else None, 60.0, up.text)
    assert job["state"] == "succeeded"
    return asked


def named(spans: list[Told], name: str) -> list[Told]:
    return [span for span in spans if span.name == name]


def test_one_trace_goes_from_the_request_to_the_committed_results(
    collector: Collector, ready: dict[str, Any], answered: Any
) -> None:
    wanted = {
        ("stream-infer-gateway", "POST /v1/apis/{api}/jobs"),
        ("stream-infer-gateway", "submit job"),
        ("stream-infer-intake", f"send {ITEMS_TOPIC}"),
        ("stream-infer-worker", f"process {ITEMS_TOPIC}"),
        ("stream-infer-worker", "predict echo"),
        ("stream-infer-worker", f"commit {ITEMS_TOPIC}"),
        ("stream-infer-sink", f"flush {RESULTS_TOPIC}"),
        ("stream-infer-sink", "put"),
        ("stream-infer-sink", "finalize assemble"),
        ("stream-infer-tracker", "fold stream-infer.progress"),
    }

    def counted(spans: list[Told], name: str, what: str) -> int:
        return sum(int(span.attributes[what]) for span in named(spans, name))

    def is_whole(found: list[Told]) -> bool:
        """Each process tells its own, and a second batch a moment later."""
        sent = counted(found, f"send {ITEMS_TOPIC}", "messaging.batch.message_count")
        done = counted(found, f"commit {ITEMS_TOPIC}", "stream_infer.items.succeeded")
        return wanted <= {(span.service, span.name) for span in found} and min(sent, done) >= ITEMS

    spans = collector.wait_for(is_whole, TRACE)

    [request] = named(spans, "POST /v1/apis/{api}/jobs")
    assert (request.parent, request.attributes["http.response.status_code"]) == (SPAN, 202)
    for name in ("submit job", f"send {ITEMS_TOPIC}", f"process {ITEMS_TOPIC}", f"commit {ITEMS_TOPIC}"):
        assert {span.parent for span in named(spans, name)} == {request.span_id}, name
    processes = {span.span_id for span in named(spans, f"process {ITEMS_TOPIC}")}
    assert {span.parent for span in named(spans, "predict echo")} <= processes
    assert counted(spans, f"send {ITEMS_TOPIC}", "messaging.batch.message_count") == ITEMS
    assert counted(spans, f"commit {ITEMS_TOPIC}", "stream_infer.items.succeeded") == ITEMS
    assert all(span.seconds >= 0 and span.error is None for span in spans), spans

    reader = TopicReader(KafkaSettings(bootstrap_servers=ready["bootstrap_servers"]), RESULTS_TOPIC)
    try:
        results = [dict(message.headers) for message in reader.read_to_end()]
    finally:
        reader.close()
    assert len(results) == ITEMS
    assert {(one["traceparent"], one["tracestate"]) for one in results} == {
        (f"00-{TRACE}-{request.span_id}-01".encode(), b"rojo=1")
    }


def lines_of(up: UpProcess) -> list[dict[str, Any]]:
    """What the roles have logged: each line a JSON object behind its role's name."""
    found = []
    for line in up.text().rpartition("\n")[0].splitlines():  # the last one may not be whole yet
        who, _, said = line.partition(" | ")
        if said.startswith("{"):
            found.append(json.loads(said) | {"who": who.strip()})
    return found


def test_from_the_requests_id_to_the_jobs_log_and_back(up: UpProcess, ready: dict[str, Any], answered: Any) -> None:
    job_id, request_id = answered.json()["job_id"], answered.headers["X-Request-Id"]

    def all_have_spoken() -> bool:
        spoken = {line["role"] for line in lines_of(up) if line.get("trace_id") == TRACE}
        return spoken >= {"gateway", "intake", "tracker"}

    wait_for(all_have_spoken, 60.0, up.text)
    lines = lines_of(up)

    [request] = [line for line in lines if line["event"] == "request" and line.get("request_id") == request_id]
    assert (request["role"], request["trace_id"], request["status"]) == ("gateway", TRACE, 202)
    [submitted] = [line for line in lines if line["event"] == "submitted" and line.get("job_id") == job_id]
    assert (submitted["request_id"], submitted["trace_id"]) == (request_id, TRACE)

    def job_log() -> list[dict[str, Any]]:
        found = seen(f"{ready['gateway']}/v1/jobs/{job_id}/logs?limit=1000")
        return [line for line in found["lines"] if line["line"] == "submitted"] if found else []

    [told] = wait_for(job_log, 60.0, up.text)
    assert (told["fields"]["request_id"], told["fields"]["trace_id"]) == (request_id, TRACE)


def test_what_the_predictor_prints_is_json_under_its_jobs_too(up: UpProcess, answered: Any) -> None:
    job_id = answered.json()["job_id"]

    def of_it() -> list[dict[str, Any]]:
        return [line for line in lines_of(up) if line["event"] == "predictor_said" and job_id in line["job_ids"]]

    said = wait_for(of_it, 60.0, up.text)
    assert {line["role"] for line in said} == {"worker"}


def test_every_line_of_a_role_is_json(up: UpProcess, answered: Any) -> None:
    roles = ("gateway", "intake", "tracker", "sink", "worker")
    odd = [line for line in up.text().splitlines() if line.startswith(roles) and " | {" not in line]
    assert odd == []
