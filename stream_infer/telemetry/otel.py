"""OpenTelemetry: the only module that knows it. The extra `otel`; spans leave by OTLP over HTTP.

    OTEL_EXPORTER_OTLP_[TRACES_]ENDPOINT or OTEL_TRACES_EXPORTER=otlp  ask for it
    OTEL_SDK_DISABLED=true, OTEL_TRACES_EXPORTER=none                  say no

All other standard variables (OTEL_TRACES_SAMPLER, OTEL_EXPORTER_OTLP_HEADERS, OTEL_RESOURCE_ATTRIBUTES, OTEL_BSP_*, …)
are the SDK's own to read.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import structlog

from stream_infer.redaction import redact_text
from stream_infer.telemetry import tracing
from stream_infer.telemetry.tracing import Attributes, Kind
from stream_infer.trace_context import TraceContext

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span as OtelSpan

_LOG = structlog.get_logger(__name__)
_END_WITHIN_S = 2.0
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_NS = 1_000_000_000


def is_asked_for(environ: Mapping[str, str]) -> bool:
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporter = environ.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    return exporter != "none" if exporter else any(environ.get(name, "").strip() for name in _ENDPOINTS)


def hindrance(environ: Mapping[str, str]) -> str | None:
    """Why what is asked for cannot be had here, and what to do; None: it can."""
    exporter = environ.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if exporter not in ("", "otlp"):
        return f"OTEL_TRACES_EXPORTER is {exporter!r}, and spans leave by otlp only: set it to otlp, or to none"
    for name in _PROTOCOLS:
        protocol = environ.get(name, "").strip().lower()
        if protocol:
            if protocol == "http/protobuf":
                break
            return (
                f"{name} is {protocol!r}, and spans leave by http/protobuf only: set it to that, and the endpoint to "
                "the collector's HTTP port, 4318 unless it was moved"
            )
    try:
        import opentelemetry.exporter.otlp.proto.http.trace_exporter
        import opentelemetry.sdk.trace.export  # noqa: F401 - whether it can be had
    except ImportError:
        return "the extra is not installed: pip install 'stream-infer[otel]', or set OTEL_SDK_DISABLED=true"
    return None


def start_tracing(role: str, slot: int | None, environ: Mapping[str, str]) -> Callable[[], None]:
    """Where `environ` asks for it; answers what ends it, within 2 s. Where it cannot be had that is told, and the role
    works without."""
    if not is_asked_for(environ):
        return lambda: None
    reason = hindrance(environ)
    if reason is not None:
        _LOG.warning("traces_off", reason=reason)
        return lambda: None
    try:
        tracer = _tracer_to_collector(role, slot, environ)
    except Exception as error:  # noqa: BLE001 - of all its variables, any of which may say what the SDK cannot mean
        reason = f"OpenTelemetry cannot be set up as the variables OTEL_* say: {error}. Mend them, or unset them"
        _LOG.warning("traces_off", reason=reason)
        return lambda: None
    tracing.set_tracer(tracer)
    _LOG.info("traces_on", endpoint=_endpoint(environ))

    def end() -> None:
        tracing.set_tracer(None)
        tracer.close(_END_WITHIN_S)

    return end


def _tracer_to_collector(role: str, slot: int | None, environ: Mapping[str, str]) -> OtelTracer:
    """Raises what the SDK raises of variables that it refuses."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    tracer = OtelTracer(_provider(role, slot, environ))
    tracer.provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return tracer


def tracer_to(exporter: SpanExporter, role: str = "test") -> OtelTracer:
    """One that hands each span over as it ends, and samples as OTEL_TRACES_SAMPLER says."""
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    tracer = OtelTracer(_provider(role, None, {}))
    tracer.provider.add_span_processor(SimpleSpanProcessor(exporter))
    return tracer


def _provider(role: str, slot: int | None, environ: Mapping[str, str]) -> TracerProvider:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider

    said = environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    ours: dict[str, str | int] = {
        "service.name": f"stream-infer-{role}",
        "service.namespace": "stream-infer",
        "service.version": _version(),
        **({} if slot is None else {"stream_infer.slot": slot}),
    }
    kept = {name: value for name, value in ours.items() if f"{name}=" not in said}
    if environ.get("OTEL_SERVICE_NAME", "").strip():
        kept.pop("service.name", None)
    return TracerProvider(resource=Resource.create(kept), shutdown_on_exit=False)


def _endpoint(environ: Mapping[str, str]) -> str:
    return next((said for name in _ENDPOINTS if (said := environ.get(name, "").strip())), "http://localhost:4318")


def _version() -> str:
    try:
        return version("stream-infer")
    except PackageNotFoundError:
        return "unknown"


class OtelTracer:
    """A Tracer."""

    def __init__(self, provider: TracerProvider) -> None:
        from opentelemetry import trace
        from opentelemetry.context import Context
        from opentelemetry.trace.span import TraceState

        self.provider = provider
        self._tracer = provider.get_tracer("stream_infer", _version())
        self._trace = trace
        self._state = TraceState
        self._nowhere = Context()  # given, so that nobody's ambient span is the parent
        self._kinds = {kind: trace.SpanKind[kind.name] for kind in Kind}

    def begin(
        self,
        name: str,
        kind: Kind,
        parent: TraceContext | None,
        *,
        links: Sequence[TraceContext] = (),
        attributes: Attributes = {},  # noqa: B006 - a Mapping: nobody writes to it
        start: float | None = None,
    ) -> _Span:
        trace, around = self._trace, self._nowhere
        if parent is not None:
            around = trace.set_span_in_context(trace.NonRecordingSpan(self._remote(parent)), around)
        opened = self._tracer.start_span(
            name,
            context=around,
            kind=self._kinds[kind],
            attributes=_without_secrets(attributes),
            links=[trace.Link(self._remote(one)) for one in links],
            start_time=_nanoseconds(start),
        )
        return _Span(opened)

    def close(self, timeout_s: float) -> None:
        """On a thread of its own: a collector that is away keeps the SDK for as long as its own timeouts are."""
        ending = threading.Thread(target=self.provider.shutdown, name="traces-end", daemon=True)
        ending.start()
        ending.join(timeout_s)

    def _remote(self, context: TraceContext) -> Any:
        return self._trace.SpanContext(
            trace_id=int(context.trace_id, 16),
            span_id=int(context.span_id, 16),
            is_remote=True,
            trace_flags=self._trace.TraceFlags(context.flags),
            trace_state=self._state.from_header([context.state]) if context.state else None,
        )


class _Span:
    """A tracing.Span."""

    def __init__(self, opened: OtelSpan) -> None:
        self._opened = opened
        said = opened.get_span_context()
        state = said.trace_state.to_header() if said.trace_state else ""
        self.context = TraceContext(f"{said.trace_id:032x}", f"{said.span_id:016x}", int(said.trace_flags), state)

    def tell(self, attributes: Attributes) -> None:
        self._opened.set_attributes(_without_secrets(attributes))

    def fail(self, error_type: str, reason: str = "") -> None:
        from opentelemetry.trace import StatusCode

        self._opened.set_attribute("error.type", error_type)
        self._opened.set_status(StatusCode.ERROR, redact_text(reason[:2000]) or None)

    def end(self, at: float | None = None) -> None:
        self._opened.end(_nanoseconds(at))


def _without_secrets(attributes: Attributes) -> dict[str, Any]:
    return {name: redact_text(value) if isinstance(value, str) else value for name, value in attributes.items()}


def _nanoseconds(at: float | None) -> int | None:
    return None if at is None else int(at * _NS)
