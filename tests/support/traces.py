"""Spans that are told: kept in the test's own process, or by a collector that decodes what real exporters send."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from stream_infer.telemetry import tracing
from tests.support.services import missing

WAIT_S = 30.0
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SENT = f"00-{TRACE}-{SPAN}-01"


def traceparent(number: int, *, sampled: bool = True) -> str:
    """Of a trace of its own."""
    return f"00-{number + 1:032x}-{number + 1:016x}-0{int(sampled)}"


@dataclass(frozen=True)
class Told:
    """A span as it was told; ids in hexadecimal digits."""

    name: str
    kind: str
    trace_id: str
    span_id: str
    parent: str | None
    attributes: dict[str, Any]
    links: list[tuple[str, str]]
    seconds: float
    error: str | None = None
    reason: str | None = None
    service: str = ""


@contextmanager
def kept_spans() -> Iterator[Callable[[], list[Told]]]:
    """This process's, sampled as the sampler of the environment says; answers those that have ended."""
    try:
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    except ImportError:
        missing("opentelemetry is not installed: pip install stream-infer[otel]")
    from stream_infer.telemetry.otel import tracer_to

    exporter = InMemorySpanExporter()
    tracer = tracer_to(exporter)
    tracing.set_tracer(tracer)
    try:
        yield lambda: [_kept(span) for span in exporter.get_finished_spans()]
    finally:
        tracing.set_tracer(None)
        tracer.close(5.0)


def _kept(span: Any) -> Told:
    context, parent = span.context, span.parent
    return Told(
        name=span.name,
        kind=span.kind.name.lower(),
        trace_id=f"{context.trace_id:032x}",
        span_id=f"{context.span_id:016x}",
        parent=None if parent is None else f"{parent.span_id:016x}",
        attributes=dict(span.attributes),
        links=[(f"{link.context.trace_id:032x}", f"{link.context.span_id:016x}") for link in span.links],
        seconds=(span.end_time - span.start_time) / 1e9,
        error=span.attributes.get("error.type"),
        reason=span.status.description,
    )


@dataclass
class Collector:
    """What has come so far, as OTLP over HTTP."""

    url: str
    spans: list[Told] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def of(self, trace_id: str) -> list[Told]:
        return [span for span in list(self.spans) if span.trace_id == trace_id]

    def wait_for(self, enough: Callable[[list[Told]], bool], trace_id: str) -> list[Told]:
        deadline = time.monotonic() + WAIT_S
        while not enough(found := self.of(trace_id)):
            assert time.monotonic() < deadline, sorted((span.service, span.name) for span in found)
            time.sleep(0.1)
        assert not self.faults
        return found


@contextmanager
def collecting() -> Iterator[Collector]:
    try:
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
    except ImportError:
        missing("opentelemetry is not installed: pip install stream-infer[otel]")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.path != "/v1/traces" or self.headers["content-type"] != "application/x-protobuf":
                collector.faults.append(f"{self.path} {self.headers['content-type']}")
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                service = _attributes(resource.resource.attributes).get("service.name", "")
                for scope in resource.scope_spans:
                    collector.spans += [_decoded(span, service) for span in scope.spans]
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    collector = Collector(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def _decoded(span: Any, service: str) -> Told:
    attributes = _attributes(span.attributes)
    kinds = ("unspecified", "internal", "server", "client", "producer", "consumer")
    return Told(
        name=span.name,
        kind=kinds[span.kind],
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent=span.parent_span_id.hex() or None,
        attributes=attributes,
        links=[(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
        seconds=(span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
        error=attributes.get("error.type"),
        reason=span.status.message or None,
        service=service,
    )


def _attributes(given: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in given}
