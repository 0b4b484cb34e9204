"""A trace's way through one role at a time, on a real broker, and to a collector that is away."""

import io
import json
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from connectors.fetchers.by_scheme import open_fetcher
from connectors.policy import FetchPolicy
from connectors.stores import open_store
from stream_infer.headers import item_headers
from stream_infer.intake.run import run as run_intake
from stream_infer.jobs.spec import Job, decode_job, encode_job
from stream_infer.jobs.status import JobStatus, encode_status
from stream_infer.kafka.admin import apply
from stream_infer.kafka.publisher import Publisher
from stream_infer.local.free_ports import find_free
from stream_infer.ports import SourceItem
from stream_infer.records import Message, OutgoingRecord, Payload
from stream_infer.settings import Settings
from stream_infer.telemetry import tracing
from stream_infer.telemetry.logs import configure_logs
from stream_infer.telemetry.otel import start_tracing
from stream_infer.telemetry.tracing import Kind
from stream_infer.topics import Topics
from stream_infer.trace_context import read_context
from stream_infer.worker.run import run as run_worker
from tests.support.gateway import GatewayHarness, HttpClient
from tests.support.intake_harness import publish, read_until
from tests.support.memory_store import MemoryStore
from tests.support.roles import give_up, running
from tests.support.settings import settings_for
from tests.support.traces import SENT, SPAN, TRACE, collecting, kept_spans, traceparent

NDJSON = "application/x-ndjson"


@pytest.fixture
def log() -> Iterator[Callable[[str], list[dict[str, Any]]]]:
    """What this process logs, by event."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    stream = io.StringIO()
    configure_logs("gateway", style="json", stream=stream, level=logging.DEBUG)
    yield lambda event: [line for line in map(json.loads, stream.getvalue().splitlines()) if line["event"] == event]
    root.handlers[:], root.level = before
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


@pytest.fixture(scope="module")
def harness(bootstrap_servers: str, tmp_path_factory: pytest.TempPathFactory) -> GatewayHarness:
    folder = tmp_path_factory.mktemp("traces")
    return GatewayHarness(settings_for(bootstrap_servers, f"t-traces-{time.time_ns()}", folder))


@pytest.fixture(scope="module")
def client(harness: GatewayHarness) -> Iterator[HttpClient]:
    with harness.gateway() as client:
        yield client


def test_items_bear_the_trace_of_the_request_that_sent_them_also_where_nobody_traces(
    harness: GatewayHarness, client: HttpClient, log: Callable[[str], list[dict[str, Any]]]
) -> None:
    answered = client(
        "POST", "/v1/apis/echo/items", raw=b"1\n2\n", status=202,
        content_type=NDJSON, traceparent=SENT, tracestate="v=1", X_Request_Id="mine-1",
    )  # fmt: skip

    sent = [dict(message.headers) for message in harness.read(harness.topics.api("echo").items)]
    assert {(one["traceparent"], one["tracestate"]) for one in sent} == {(SENT.encode(), b"v=1")}
    id_ = client.headers["X-Request-Id"]
    assert id_ == answered["request_id"]
    assert all(one["si-item-id"].startswith(id_.encode()) for one in sent)
    [line] = log("request")
    expected = {
        "request_id": id_, "client_request_id": "mine-1", "trace_id": TRACE, "method": "POST", "status": 202,
        "route": "/v1/apis/{api}/items", "path": "/v1/apis/echo/items", "level": "info",
    }  # fmt: skip
    assert expected.items() <= line.items()


def test_every_answer_has_an_id_of_its_own_and_what_only_looks_is_told_at_debug(
    client: HttpClient, log: Callable[[str], list[dict[str, Any]]]
) -> None:
    ids = []
    for path, status in (("/v1/apis", 200), ("/v1/jobs/nobody", 404), ("/nothing", 404), ("/healthz", 200)):
        client("GET", path, status=status, X_Request_Id="a b")
        ids.append(client.headers["X-Request-Id"])
    client("POST", "/v1/apis/echo/jobs", {"what": 1}, status=422)

    assert len(set(ids)) == 4
    lines = log("request")
    assert [line["level"] for line in lines] == ["debug"] * 4 + ["info"]
    assert [line["request_id"] for line in lines[:4]] == ids
    assert not any("client_request_id" in line for line in lines)


@pytest.mark.parametrize("hostile", ["garbage", "00-" + "0" * 32 + "-" + "0" * 16 + "-01", "x" * 5000, SENT.upper()])
def test_a_hostile_trace_is_no_trace(harness: GatewayHarness, client: HttpClient, hostile: str) -> None:
    job = client(
        "POST", "/v1/apis/echo/jobs", {"item_list": {"items": [1]}}, status=202, traceparent=hostile, tracestate="a=b"
    )

    assert job_record(harness, job["job_id"]).trace is None


def job_record(harness: GatewayHarness, job_id: str) -> Any:
    [written] = [
        decode_job(message.value or b"")
        for message in harness.read(harness.topics.jobs)
        if message.key == job_id.encode()
    ]
    return written


def test_a_submission_is_told_and_its_job_keeps_the_trace(harness: GatewayHarness, client: HttpClient) -> None:
    with kept_spans() as told:
        job = client(
            "POST", "/v1/apis/echo/jobs", {"item_list": {"items": [1]}}, status=202, traceparent=SENT, tracestate="v=1"
        )
        id_ = client.headers["X-Request-Id"]
        client("GET", "/readyz", status=200)

    submit, request = [span for span in told() if span.trace_id == TRACE]
    assert (request.name, request.kind, request.parent) == ("POST /v1/apis/{api}/jobs", "server", SPAN)
    assert request.attributes["http.response.status_code"] == 202
    assert request.attributes["stream_infer.request.id"] == id_
    assert (submit.name, submit.parent) == ("submit job", request.span_id)
    assert submit.attributes["stream_infer.job.id"] == job["job_id"]
    assert len(told()) == 2, "nobody asks for the traces of a probe"
    written = job_record(harness, job["job_id"])
    assert written.traceparent == f"00-{TRACE}-{request.span_id}-01"
    assert written.tracestate == "v=1"
    [submitted] = harness.events(job["job_id"])
    assert submitted.traceparent == written.traceparent


class ThreeItems:
    def read(self, after: str | None) -> Iterator[SourceItem]:
        yield from (SourceItem(Payload(b"%d" % n), source=f"line {n}", cursor=str(n)) for n in range(3))


def test_what_an_intake_publishes_bears_the_submissions_trace(
    bootstrap_servers: str, topic_prefix: str, tmp_path: Path, log: Callable[[str], list[dict[str, Any]]]
) -> None:
    settings = settings_for(bootstrap_servers, topic_prefix, tmp_path)
    apply(settings)
    topics = Topics(topic_prefix)
    job = Job(job_id="j", api="echo", submitted_at=time.time(), submission="s", traceparent=SENT, tracestate="v=1")
    publish(settings, topics.status, encode_status(JobStatus(job_id="j", api="echo")), job)
    publish(settings, topics.jobs, encode_job(job), job)
    with (
        kept_spans() as told,
        running(
            lambda stop, ready: run_intake(settings, MemoryStore(), lambda _: ThreeItems(), stop=stop, on_ready=ready)
        ),
    ):
        items = read_until(settings, topics.api("echo").items, lambda got: len(got) >= 3)

    assert {dict(item.headers)["traceparent"] for item in items} == {SENT.encode()}
    assert {dict(item.headers)["tracestate"] for item in items} == {b"v=1"}
    [send] = told()
    assert (send.name, send.kind) == (f"send {topics.api('echo').items}", "producer")
    assert (send.trace_id, send.parent) == (TRACE, SPAN)
    assert send.attributes["messaging.batch.message_count"] == 3
    assert [line["trace_id"] for event in ("source_opened", "source_exhausted") for line in log(event)] == [TRACE] * 2


def worked_off(settings: Settings, *records: OutgoingRecord) -> list[Message]:
    """By a worker; their results and dead letters."""
    apply(settings)
    [api] = settings.apis
    names = Topics(settings.kafka.topic_prefix).api(api.name)
    fetcher, store = open_fetcher(FetchPolicy()), open_store(settings.store)
    with running(
        lambda stop, ready: run_worker(settings, api, fetcher, store, stop=stop, on_ready=ready, on_unavailable=give_up)
    ):
        publisher = Publisher(settings.kafka, "test")
        publisher.publish(records)
        publisher.close()
        bad = sum(b"bad" in (record.value or b"") for record in records)
        results = read_until(settings, names.results, lambda got: len(got) >= len(records) - bad)
        return results + read_until(settings, names.dlq, lambda got: len(got) >= bad)


def test_a_producers_trace_goes_on_to_result_retry_and_dead_letter_and_hostile_ones_harm_nobody(
    bootstrap_servers: str, topic_prefix: str, tmp_path: Path
) -> None:
    settings = settings_for(bootstrap_servers, topic_prefix, tmp_path, "behaving.py:Preprocessing")
    topic = Topics(topic_prefix).api("echo").items
    hostile = [b"garbage", b"\xff\xfe", b"", b"00-" + b"0" * 52, b"x" * 4000]
    records = [
        *(
            OutgoingRecord(
                topic, b"good-%d" % n, b'"a"', (("traceparent", traceparent(n).encode()), ("tracestate", b"v=%d" % n))
            )
            for n in range(20)
        ),
        OutgoingRecord(topic, b"bad", b'"bad"', (("traceparent", SENT.encode()), ("tracestate", b"v=1"))),
        *(OutgoingRecord(topic, b"odd-%d" % n, b'"a"', (("traceparent", said),)) for n, said in enumerate(hostile)),
        OutgoingRecord(topic, b"none", b'"a"'),
    ]
    with kept_spans() as told:
        ended = {message.key: dict(message.headers) for message in worked_off(settings, *records)}

    for n in range(20):
        headers = ended[b"good-%d" % n]
        assert (headers["traceparent"], headers["tracestate"]) == (traceparent(n).encode(), b"v=%d" % n)
    assert (ended[b"bad"]["traceparent"], ended[b"bad"]["tracestate"]) == (SENT.encode(), b"v=1")
    assert "traceparent" not in ended[b"none"]
    assert {b"odd-%d" % n for n in range(len(hostile))} <= ended.keys()
    spans = told()
    for n in range(20):
        trace_id = traceparent(n).split("-")[1]
        assert {span.name for span in spans if span.trace_id == trace_id} >= {f"process {topic}", f"commit {topic}"}
    # Three attempts: the item's own trace goes on with each of them.
    own = [span for span in spans if span.trace_id == TRACE]
    assert len([span for span in own if span.name.startswith("process")]) >= 3
    assert {span.parent for span in own if span.name.startswith(("process", "commit"))} == {SPAN}


def test_without_a_tracer_a_worker_looks_at_no_trace(
    bootstrap_servers: str, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not tracing.is_on()
    looked: list[object] = []
    monkeypatch.setattr("stream_infer.worker.ledger.Ledger.traceparents_of", lambda *_: looked.append(1) or set())
    monkeypatch.setattr("stream_infer.telemetry.tracing.sampled_contexts", lambda *_: looked.append(1) or [])
    settings = settings_for(bootstrap_servers, topic_prefix, tmp_path)
    topic = Topics(topic_prefix).api("echo").items
    headers = (*item_headers(item_id="i"), ("traceparent", SENT.encode()))
    [result] = worked_off(settings, OutgoingRecord(topic, b"k", b"1", headers))
    assert dict(result.headers)["traceparent"] == SENT.encode()
    assert not looked


def environment(monkeypatch: pytest.MonkeyPatch, **variables: str) -> dict[str, str]:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return variables


def test_what_a_role_tells_comes_to_a_collector_under_the_roles_name(monkeypatch: pytest.MonkeyPatch) -> None:
    with collecting() as collector:
        environ = environment(
            monkeypatch,
            OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
            OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=test",
        )
        end = start_tracing("worker", 3, environ)
        with tracing.root_span("a", Kind.SERVER, {"password": "password=hunter2"}, read_context(SENT)):
            pass
        end()
        [span] = collector.wait_for(bool, TRACE)
    assert (span.service, span.name, span.parent) == ("stream-infer-worker", "a", SPAN)
    assert span.attributes == {"password": "password=***"}


def test_a_collector_that_is_away_keeps_nobody(
    monkeypatch: pytest.MonkeyPatch, log: Callable[[str], list[dict[str, Any]]]
) -> None:
    [port] = find_free(1)
    environ = environment(
        monkeypatch, OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{port}", OTEL_BSP_SCHEDULE_DELAY="50"
    )
    end = start_tracing("worker", None, environ)
    began = time.monotonic()
    for _ in range(5000):
        with tracing.root_span("a", Kind.SERVER, {}, read_context(SENT)):
            pass
    assert time.monotonic() - began < 15.0
    began = time.monotonic()
    end()
    assert time.monotonic() - began < 15.0
