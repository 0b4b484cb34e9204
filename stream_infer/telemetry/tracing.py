"""Spans: what a role tells of what it does, and on whose behalf. Off, and free of charge, unless OTEL_* asks for it.

One tracer a process, as there is one log. Nothing here knows OpenTelemetry: `otel.py` does, and is imported only where
it is asked for. Whose trace something is done for is known, and said in log lines, without it, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from enum import StrEnum
from typing import Final, Protocol, TypeAlias

from stream_infer.trace_context import TraceContext, sampled_contexts

MOST_CONTEXTS = 128
"""Of a batch that are told of: as many links as a span has unless OTEL_SPAN_LINK_COUNT_LIMIT says otherwise."""

Attributes: TypeAlias = Mapping[str, str | int | float | bool]


class Kind(StrEnum):
    """As OpenTelemetry has them."""

    INTERNAL = "internal"
    SERVER = "server"
    CLIENT = "client"
    PRODUCER = "producer"
    CONSUMER = "consumer"


class Span(Protocol):
    """Something that is under way. Moments are seconds since the epoch; None: now. No method blocks or raises."""

    @property
    def context(self) -> TraceContext | None:
        """None: nobody is told of it."""
        ...

    def tell(self, attributes: Attributes) -> None: ...

    def fail(self, error_type: str, reason: str = "") -> None: ...

    def end(self, at: float | None = None) -> None: ...


class Tracer(Protocol):
    """What otel.py makes."""

    def begin(
        self,
        name: str,
        kind: Kind,
        parent: TraceContext | None,
        *,
        links: Sequence[TraceContext] = (),
        attributes: Attributes = ...,
        start: float | None = None,
    ) -> Span:
        """`parent` None: the first one of a trace."""
        ...

    def close(self, timeout_s: float) -> None:
        """Sends what is left, if it can in that time."""
        ...


class _NoSpan:
    context = None

    def tell(self, attributes: Attributes) -> None: ...

    def fail(self, error_type: str, reason: str = "") -> None: ...

    def end(self, at: float | None = None) -> None: ...


class _Spans:
    """One batch, told in each of the traces that it is part of."""

    def __init__(self, all_: Sequence[Span]) -> None:
        self._all = all_

    @property
    def context(self) -> TraceContext | None:
        return self._all[0].context

    def tell(self, attributes: Attributes) -> None:
        for span in self._all:
            span.tell(attributes)

    def fail(self, error_type: str, reason: str = "") -> None:
        for span in self._all:
            span.fail(error_type, reason)

    def end(self, at: float | None = None) -> None:
        for span in self._all:
            span.end(at)


NO_SPAN: Final = _NoSpan()
_NOTHING: Final[Attributes] = {}
# Another thread may end the tracing at any moment: each function looks once.
_tracer: Tracer | None = None
_current: ContextVar[TraceContext | None] = ContextVar("trace_context", default=None)


def set_tracer(tracer: Tracer | None) -> None:
    """That of the process; None: nobody is told of any span."""
    global _tracer  # noqa: PLW0603 - as logging is the process's own
    _tracer = tracer


def is_on() -> bool:
    """Asked once, where a role is put together: what is off is not even in the way."""
    return _tracer is not None


def current() -> TraceContext | None:
    """On whose behalf this task or thread is at work."""
    return _current.get()


def outgoing() -> dict[str, str]:
    """The headers of a request that is made on `current`'s behalf."""
    context = _current.get()
    if context is None:
        return {}
    traceparent = {"traceparent": context.traceparent}
    return traceparent | {"tracestate": context.state} if context.state else traceparent


@contextmanager
def on_behalf_of(context: TraceContext | None) -> Iterator[None]:
    token = _current.set(context)
    try:
        yield
    finally:
        _current.reset(token)


@contextmanager
def span(
    name: str, kind: Kind = Kind.INTERNAL, attributes: Attributes = _NOTHING, *, parent: TraceContext | None = None
) -> Iterator[Span]:
    """A part of what is `current`, or of `parent`, where that is sampled; it is the current one in the block."""
    tracer, parent = _tracer, parent or _current.get()
    if tracer is None or parent is None or not parent.is_sampled:
        with on_behalf_of(parent):
            yield NO_SPAN
        return
    with _active(tracer.begin(name, kind, parent, attributes=attributes)) as opened:
        yield opened


@contextmanager
def root_span(name: str, kind: Kind, attributes: Attributes, parent: TraceContext | None) -> Iterator[Span]:
    """As `span`, but without a `parent` it begins a trace, and whether it is sampled is the sampler's to say."""
    tracer = _tracer
    if tracer is None:
        with on_behalf_of(parent):
            yield NO_SPAN
        return
    opened = tracer.begin(name, kind, parent, attributes=attributes)
    is_anybodys = parent is not None or (opened.context is not None and opened.context.is_sampled)
    with _active(opened, is_told=is_anybodys):
        yield opened


@contextmanager
def _active(opened: Span, *, is_told: bool = True) -> Iterator[Span]:
    try:
        with on_behalf_of(opened.context if is_told else None):
            yield opened
    except BaseException as error:
        opened.fail(type(error).__qualname__, str(error))
        raise
    finally:
        opened.end()


def begin_batch(
    name: str, kind: Kind, traceparents: Iterable[str | bytes], attributes: Attributes, *, start: float | None = None
) -> Span:
    """Something that is done once for many items, of which some bear a `traceparent`: NO_SPAN where none is sampled.

    Of one trace: a span in that. Of several: a span of its own with a link to each of them, and in each of them one
    with a link to that.
    """
    tracer = _tracer
    if tracer is None:
        return NO_SPAN
    contexts = sampled_contexts(traceparents, MOST_CONTEXTS)
    if not contexts:
        return NO_SPAN
    first_of = {context.trace_id: context for context in reversed(contexts)}
    if len(first_of) == 1:
        parent, *others = contexts
        return tracer.begin(name, kind, parent, links=others, attributes=attributes, start=start)
    whole = tracer.begin(name, kind, None, links=contexts, attributes=attributes, start=start)
    link = () if whole.context is None or not whole.context.is_sampled else (whole.context,)
    parts = [
        tracer.begin(name, kind, context, links=link, attributes=attributes, start=start)
        for context in reversed(first_of.values())
    ]
    return _Spans([whole, *parts])


def tell_part(
    whole: Span, name: str, start: float, end: float, kind: Kind = Kind.INTERNAL, attributes: Attributes = _NOTHING
) -> None:
    """A part of `whole` that is over."""
    tracer, parent = _tracer, whole.context
    if tracer is not None and parent is not None and parent.is_sampled:
        tracer.begin(name, kind, parent, attributes=attributes, start=start).end(end)


@contextmanager
def part_of(whole: Span, name: str, kind: Kind = Kind.INTERNAL, attributes: Attributes = _NOTHING) -> Iterator[Span]:
    """A part of `whole`, which may have begun elsewhere; it is the current one in the block."""
    if whole.context is None:
        yield NO_SPAN
        return
    with span(name, kind, attributes, parent=whole.context) as opened:
        yield opened


def messaging(operation: str, type_: str, topic: str, items: int) -> dict[str, str | int | float | bool]:
    """The attributes of OpenTelemetry's messaging conventions (1.3x, in development) for a batch of `items`."""
    return {
        "messaging.system": "kafka",
        "messaging.operation.name": operation,
        "messaging.operation.type": type_,
        "messaging.destination.name": topic,
        "messaging.batch.message_count": items,
    }
