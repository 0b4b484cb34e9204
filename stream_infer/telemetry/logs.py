"""How a process logs: to stderr, readable on a terminal, else one JSON object a line.

structlog's events and those of stdlib logging (librdkafka's, Faust's, aiohttp's) take the same way out.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, Literal, TextIO, TypeAlias

import structlog
from structlog.typing import Processor, WrappedLogger

from stream_infer.redaction import redact
from stream_infer.telemetry import tracing
from stream_infer.telemetry.noise import NoiseFilter

Style: TypeAlias = Literal["auto", "json", "text"]
_Event: TypeAlias = MutableMapping[str, Any]

# They tell of each connection, request and rebalance at INFO.
_CHATTY = ("aiohttp.access", "aiokafka", "botocore", "boto3", "s3transfer", "faust", "mode", "urllib3", "asyncio")

_FIRST = ("timestamp", "level", "role", "slot", "event")
_PREDICTOR_SAID = "predictor_said"
_TRACEBACKS = frozenset({"exception", "stack"})

CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""What moves a terminal's cursor, sets its title, begins a line or turns the direction of writing. Strangers' words, a
request's path or an item's id, may have it."""


def configure_logs(
    role: str,
    *,
    slot: int | str | None = None,
    style: Style = "auto",
    level: int = logging.INFO,
    stream: TextIO | None = None,
) -> None:
    """Sets up logging for this process; the last call wins. Every line bears `role` and, where given, `slot`.

    `style` auto: text where `stream` (stderr) is a terminal, JSON elsewhere. What is said of a job from INFO on goes to
    its own log (job_logs.py) whatever `level` is.
    """
    out = sys.stderr if stream is None else stream
    bound = {"role": role} if slot is None else {"role": role, "slot": slot}
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        _trace,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _Bind(bound),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(_formatter(shared, out) if is_text(style, out) else _json_formatter(shared))
    handler.addFilter(NoiseFilter())
    handler.setLevel(level)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(min(level, logging.INFO))
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    logging.captureWarnings(capture=True)


def is_text(style: Style, stream: TextIO) -> bool:
    """Whether lines are for people."""
    return style == "text" or (style == "auto" and stream.isatty())


def tell_of_threads() -> Callable[[], None]:
    """From here on an error that ends a thread is a line like any other. Python's own way is many lines, with whatever
    secrets the error names. Answers what ends that."""
    before = threading.excepthook

    def tell(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None and not isinstance(args.exc_value, SystemExit):
            name = None if args.thread is None else args.thread.name
            error = (type(args.exc_value), args.exc_value, args.exc_traceback)
            structlog.get_logger(__name__).error("thread_ended", thread=name, exc_info=error)

    def end() -> None:
        threading.excepthook = before

    threading.excepthook = tell
    return end


def echo_predictor(line: str) -> None:
    """What a predictor has printed, in the process's own log: as an event, or where people read, as it is."""
    structlog.get_logger("predictor").info(_PREDICTOR_SAID, line=line)


def _trace(_logger: WrappedLogger, _method: str, event: _Event) -> _Event:
    """On whose behalf it is said."""
    context = tracing.current()
    if context is not None:
        event.setdefault("trace_id", context.trace_id)
        event.setdefault("span_id", context.span_id)
    return event


class _Text:
    """What predictors print stands as they printed it, all else on a line of its own."""

    def __init__(self, *, colors: bool) -> None:
        self._render = structlog.dev.ConsoleRenderer(colors=colors, pad_event_to=0)

    def __call__(self, logger: WrappedLogger, method: str, event: _Event) -> str:
        if event.get("event") == _PREDICTOR_SAID and "line" in event:
            return str(event["line"])
        return self._render(logger, method, {name: _printable(name, value) for name, value in event.items()})


def _printable(name: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    between = "\n" if name in _TRACEBACKS else "\n    " if name == "event" else "\\n"
    return between.join(CONTROLS.sub(_escaped, line) for line in value.split("\n"))


def _escaped(control: re.Match[str]) -> str:
    return control[0].encode("unicode_escape").decode()


class _Bind:
    """Says of each event whose it is. Not a context variable: threads would start without it."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def __call__(self, _logger: WrappedLogger, _method: str, event: _Event) -> _Event:
        for name, value in self._values.items():
            event.setdefault(name, value)
        return event


def _redacted(_logger: WrappedLogger, _method: str, event: _Event) -> _Event:
    ordered = {name: event[name] for name in _FIRST if name in event}
    ordered.update(event)
    return {name: redact(name, value) for name, value in ordered.items()}


def _formatter(shared: list[Processor], out: TextIO) -> logging.Formatter:
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            _redacted,
            _Text(colors=out.isatty()),
        ],
    )


def _json_formatter(shared: list[Processor]) -> logging.Formatter:
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            _redacted,
            structlog.processors.JSONRenderer(default=str),
        ],
    )
