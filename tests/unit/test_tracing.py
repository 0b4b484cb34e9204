"""Spans: none where nobody asks for them, and in the traces that they belong to where somebody does."""

import sys

import pytest
import structlog

from stream_infer.telemetry import tracing
from stream_infer.telemetry.otel import hindrance, is_asked_for, start_tracing
from stream_infer.telemetry.tracing import MOST_CONTEXTS, NO_SPAN, Kind
from stream_infer.trace_context import read_context
from tests.support.traces import SENT, SPAN, TRACE, kept_spans, traceparent

BATCH = {"messaging.batch.message_count": 2}


@pytest.fixture
def told():
    with kept_spans() as spans:
        yield spans


def batch(*traceparents):
    return tracing.begin_batch("process t", Kind.CONSUMER, traceparents, BATCH)


def test_where_nobody_traces_there_is_no_span_and_the_context_is_known_all_the_same():
    assert not tracing.is_on()
    context = read_context(SENT)
    assert batch(SENT) is NO_SPAN
    with tracing.span("a", parent=context) as span:
        assert span is NO_SPAN
        assert tracing.current() == context
        assert tracing.outgoing() == {"traceparent": SENT}
        tracing.tell_part(span, "b", 0.0, 1.0)
        with tracing.part_of(span, "c"):
            assert tracing.current() == context
    with tracing.root_span("r", Kind.SERVER, {}, None):
        assert tracing.current() is None
    assert tracing.outgoing() == {}


def test_a_span_is_a_part_of_the_one_around_it(told):
    with tracing.root_span("GET /x", Kind.SERVER, {"n": 1}, read_context(SENT, "v=1")) as outer:
        assert tracing.current() == outer.context
        with tracing.span("inner", attributes={"url": "https://u:secret@h/"}):
            assert tracing.current().state == "v=1"
        outer.tell({"status": 200})
    assert tracing.current() is None

    inner, root = told()
    assert (root.trace_id, root.parent, root.kind, root.attributes) == (TRACE, SPAN, "server", {"n": 1, "status": 200})
    assert (inner.trace_id, inner.parent) == (TRACE, root.span_id)
    assert inner.attributes == {"url": "https://***@h/"}


def test_a_request_without_a_trace_begins_one(told):
    with tracing.root_span("GET /x", Kind.SERVER, {}, None) as span:
        assert tracing.outgoing() == {"traceparent": span.context.traceparent}
        assert span.context.is_sampled
    [root] = told()
    assert (root.span_id, root.parent) == (span.context.span_id, None)


def test_what_is_not_sampled_is_told_to_nobody_and_carried_on(told):
    quiet = read_context(traceparent(1, sampled=False))
    with tracing.root_span("GET /x", Kind.SERVER, {}, quiet):
        assert tracing.current().trace_id == quiet.trace_id
        assert not tracing.current().is_sampled
        with tracing.span("inner") as inner:
            assert inner is NO_SPAN
    assert batch(traceparent(2, sampled=False), "hostile") is NO_SPAN
    assert told() == []


def test_a_trace_that_the_sampler_does_not_want_leaves_no_mark_on_items(monkeypatch):
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off")
    with kept_spans() as told:
        with tracing.root_span("POST /items", Kind.SERVER, {}, None):
            assert tracing.current() is None
        with tracing.root_span("POST /items", Kind.SERVER, {}, read_context(SENT)):
            assert tracing.current().trace_id == TRACE
    assert [span.trace_id for span in told()] == [TRACE]


def test_an_error_is_told_with_its_kind_and_without_secrets(told):
    with pytest.raises(ValueError, match="hunter2"), tracing.span("a", parent=read_context(SENT)):
        raise ValueError("password=hunter2")
    [span] = told()
    assert (span.error, span.reason) == ("ValueError", "password=***")


def test_a_batch_of_one_trace_is_a_span_in_it(told):
    second = f"00-{TRACE}-{'c' * 16}-01"
    opened = batch(SENT, second, SENT.encode())
    opened.tell({"items": 3})
    tracing.tell_part(opened, "predict a", 100.0, 100.5)
    with tracing.part_of(opened, "put", Kind.CLIENT):
        assert tracing.current().trace_id == TRACE
    opened.end()

    predict, put, whole = told()
    assert (whole.trace_id, whole.parent, whole.links) == (TRACE, SPAN, [(TRACE, "c" * 16)])
    assert whole.attributes == BATCH | {"items": 3}
    assert (predict.parent, predict.seconds) == (whole.span_id, 0.5)
    assert put.parent == whole.span_id


def test_a_batch_of_several_traces_is_one_span_with_links_and_one_in_each_of_them(told):
    sent = [traceparent(number) for number in range(3)]
    batch(*sent, traceparent(9, sampled=False)).end()

    whole, *parts = told()
    contexts = [read_context(one) for one in sent]
    assert whole.parent is None
    assert whole.links == [context[:2] for context in contexts]
    assert [(part.trace_id, part.parent) for part in parts] == [context[:2] for context in contexts]
    assert all(part.links == [(whole.trace_id, whole.span_id)] for part in parts)


def test_no_batch_is_told_of_more_traces_than_a_span_has_links(told):
    batch(*(traceparent(number) for number in range(MOST_CONTEXTS * 3))).end()

    spans = told()
    assert len(spans) == 1 + MOST_CONTEXTS
    assert len(spans[0].links) == MOST_CONTEXTS


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "x", "OTEL_TRACES_SAMPLER": "always_on"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/v1/traces"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, False),
        ({"OTEL_SDK_DISABLED": "TRUE", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": " "}, False),
    ],
)
def test_the_standard_variables_ask_for_it(environ, wanted):
    assert is_asked_for(environ) is wanted


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "by otlp only"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "by http/protobuf only"),
        ({"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, "4318"),
    ],
)
def test_what_cannot_be_had_is_told_and_the_role_goes_on(environ, said):
    asked = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"} | environ
    with structlog.testing.capture_logs() as logs:
        start_tracing("worker", 0, asked)()

    assert not tracing.is_on()
    [line] = logs
    assert line["event"] == "traces_off"
    assert said in line["reason"]


@pytest.mark.parametrize(
    ("name", "value"),
    [("OTEL_BSP_SCHEDULE_DELAY", "0"), ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "9999"), ("OTEL_SPAN_LINK_COUNT_LIMIT", "x")],
)
def test_a_variable_that_the_sdk_refuses_costs_the_traces_and_not_the_role(monkeypatch, told, name, value):
    tracing.set_tracer(None)
    monkeypatch.setenv(name, value)
    with structlog.testing.capture_logs() as logs:
        start_tracing("worker", 0, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", name: value})()

    assert not tracing.is_on()
    assert [(line["event"], "OTEL_*" in line["reason"]) for line in logs] == [("traces_off", True)]


def test_without_the_extra_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)

    assert "pip install 'stream-infer[otel]'" in hindrance({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"})
