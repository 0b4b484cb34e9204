"""What Kafka's clients, asyncio and aiohttp say, made as loud as it deserves. At level DEBUG nothing is held back."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable

from stream_infer.errors import StreamInferError

SAY_AGAIN_AFTER_S = 30.0

_LIBRDKAFKA = "stream_infer.kafka"
_AIOKAFKA = "aiokafka"
_COLLECTOR = "opentelemetry"
_HTTP_SERVER = "aiohttp.server"

# A broker that has just started, or hands a coordinator over, answers so for a moment; the client asks again by itself.
_PASSING = re.compile(
    r"Broker: (Coordinator load in progress|Coordinator not available|Not coordinator)\b.*: retrying$"
)

# The connection is gone, nothing else: measured, 1,200 such lines a minute of Kafka's absence. What is refused for a
# reason (SASL, TLS, authorization, fencing) and every failed transaction are not among them.
_CONNECTION_LOST = {
    _LIBRDKAFKA: re.compile(
        r"^(FAIL|ERROR|REQTMOUT) \[.*("
        r"Connect to \S+ failed|Connection (refused|reset|setup timed out|closed)|Disconnected|Failed to resolve"
        r"|ApiVersionRequest failed: Local: Timed out|Timed out \S+ (in flight|in-flight)|brokers are down)"
    ),
    _AIOKAFKA: re.compile(
        r"^Unable (to )?connect|^Unable to update metadata|^Marking the coordinator dead"
        r"|(KafkaConnection|NodeNotReady|RequestTimedOut|CoordinatorNotAvailable)Error"
    ),
    # Whatever keeps spans from leaving is said again for each batch of them, and the work goes on without.
    _COLLECTOR: re.compile(""),
}
# Whose faults the tracker tells itself, when they end it; where in them it was is nobody's business but theirs.
_TRACKERS_CLIENTS = frozenset({_AIOKAFKA, "faust", "mode"})
_TRACKER = "stream_infer.tracker."
_TRACKER_APP = "stream_infer.tracker.app"  # Faust logs there, with its traceback, what ends it; the role then tells it
_ADDRESS = re.compile(r"\b[\w.-]+:\d{2,5}(?![\w.])")  # not the "thrd:127" of "[thrd:127.0.0.1:9092/1]"


class NoiseFilter(logging.Filter):
    """For a handler. Of a lost connection a process speaks once per broker and 30 s; `now` in seconds."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._now = now
        self._due: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        family = record.name.partition(".")[0] if record.name != _LIBRDKAFKA else _LIBRDKAFKA
        if family == "asyncio" or record.name == _TRACKER_APP:
            _tell_in_one_line(record)
        if family in _TRACKERS_CLIENTS or record.name.startswith(_TRACKER):
            _leave_out_the_stack(record)
        if record.name == _HTTP_SERVER and _is_no_request(record):
            return self._tell_now_and_then(record, _HTTP_SERVER)
        if family in _CONNECTION_LOST:
            text = record.getMessage()
            if _PASSING.search(text):
                return _lower(record)
            if _CONNECTION_LOST[family].search(text):
                return self._tell_now_and_then(record, _COLLECTOR if family == _COLLECTOR else _address_in(text))
        return True

    def _tell_now_and_then(self, record: logging.LogRecord, key: str) -> bool:
        if not self._is_due(key):
            return _lower(record)
        record.msg, record.args = f"{record.getMessage()}; for {SAY_AGAIN_AFTER_S:.0f} s only --debug tells more", ()
        return True

    def _is_due(self, key: str) -> bool:
        now = self._now()
        if now < self._due.get(key, now):
            return False
        self._due[key] = now + SAY_AGAIN_AFTER_S
        return True


def _is_no_request(record: logging.LogRecord) -> bool:
    """Whoever reaches the port may send what is no HTTP: aiohttp tells each with a traceback, as of a fault of ours."""
    error = record.exc_info[1] if record.exc_info else None
    if error is None or type(error).__module__ != "aiohttp.http_exceptions":
        return False
    what = str(error).strip().partition("\n")[0].rstrip(":")
    record.msg, record.args = f"{record.getMessage()}: {type(error).__name__}: {what}", ()
    record.exc_info, record.exc_text = None, None
    record.levelno, record.levelname = logging.WARNING, "WARNING"
    return True


def _address_in(text: str) -> str:
    address = _ADDRESS.search(text)
    return address[0] if address else ""


def _lower(record: logging.LogRecord) -> bool:
    record.levelno, record.levelname = logging.DEBUG, "DEBUG"
    return logging.getLogger().getEffectiveLevel() <= logging.DEBUG


def _leave_out_the_stack(record: logging.LogRecord) -> None:
    error = record.exc_info[1] if record.exc_info else None
    if error is not None and logging.getLogger().getEffectiveLevel() > logging.DEBUG:
        text = f"{record.getMessage()}: {type(error).__name__}: {error}"
        record.msg, record.args, record.exc_info, record.exc_text = text, (), None, None


def _tell_in_one_line(record: logging.LogRecord) -> None:
    """An error of ours speaks for itself. Past bug: one that came after its waiter's timeout was a traceback."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, StreamInferError):
        heading = record.getMessage().partition("\n")[0]
        record.msg, record.args, record.exc_info, record.exc_text = f"{heading}: {error}", (), None, None
        record.levelno, record.levelname = logging.WARNING, "WARNING"
