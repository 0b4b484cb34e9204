"""What Kafka's clients say in passing is quiet, what matters stays. The lines are those of real runs."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from stream_infer.errors import ServiceUnavailable
from stream_infer.telemetry.logs import configure_logs
from stream_infer.telemetry.noise import SAY_AGAIN_AFTER_S, NoiseFilter

CLIENT = "[stream-infer.intake#consumer-4] [thrd:GroupCoordinator]"
PASSING = (
    f"GETPID {CLIENT}: Failed to acquire transactional PID from broker TxnCoordinator/1: "
    "Broker: Coordinator load in progress: retrying"
)
REFUSED = (
    f"FAIL {CLIENT}: GroupCoordinator: 127.0.0.1:34333: Connect to ipv4#127.0.0.1:34333 failed: Connection refused "
    "(after 0ms in state CONNECT, 23 identical error(s) suppressed)"
)
LOST_BY_AIOKAFKA = (
    "Unable connect to node with id 1: [Errno 111] Connect call failed ('127.0.0.1', 34333)",
    "Unable to update metadata from [1]",
    "Group Coordinator Request failed: NodeNotReadyError: Attempt to send a request to node which is not ready.",
    "Failed fetch messages from 1: NodeNotReadyError: Attempt to send a request to node which is not ready.",
)
MATTERS = (
    f"FAIL {CLIENT}: sasl_ssl://b:9092/1: SASL authentication error: Authentication failed (after 5ms in state AUTH)",
    f"SESSTMOUT {CLIENT}: Consumer group session timed out (in join-state steady) after 10004 ms",
    f"TXNERR {CLIENT}: Current transaction failed in state BeginCommit: 1 message(s) timed out (_TIMED_OUT)",
    f"GETPID {CLIENT}: Failed to acquire transactional PID: Broker: Producer fenced: retrying",
    f"FAIL {CLIENT}: ssl://b:9092/1: SSL handshake failed: certificate verify failed (after 5ms)",
)


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield io.StringIO()
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


def record(text: str, name: str = "stream_infer.kafka", level: int = logging.ERROR) -> logging.LogRecord:
    return logging.LogRecord(name, level, __file__, 1, "%s", (text,), None)


def said(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_coordinator_that_is_loading_is_told_at_debug_only(stream: io.StringIO) -> None:
    configure_logs("up", style="json", stream=stream)
    logging.getLogger("stream_infer.kafka").warning("%s", PASSING)
    assert said(stream) == []
    configure_logs("up", style="json", level=logging.DEBUG, stream=stream)
    logging.getLogger("stream_infer.kafka").warning("%s", PASSING)
    assert [line["level"] for line in said(stream)] == ["debug"]


def test_a_collector_that_is_away_is_one_line_in_half_a_minute(stream: io.StringIO) -> None:
    configure_logs("worker", style="json", stream=stream)
    for module in ("exporter.otlp.proto.http.trace_exporter", "sdk._shared_internal"):
        for number in range(5):
            logging.getLogger(f"opentelemetry.{module}").error("Failed to export spans batch %d", number)

    [line] = said(stream)
    assert line["event"].startswith("Failed to export spans batch 0; for 30 s")


def test_of_a_lost_connection_there_is_one_line_per_broker_and_half_a_minute() -> None:
    now = 100.0
    noise = NoiseFilter(lambda: now)
    first = record(REFUSED)
    assert noise.filter(first)
    assert "Connection refused" in first.getMessage()
    assert "--debug" in first.getMessage()
    assert not any(noise.filter(record(REFUSED)) for _ in range(100))
    assert not noise.filter(record(REFUSED.replace("[thrd:GroupCoordinator]", "[thrd:127.0.0.1:34333/1]")))
    assert noise.filter(record(REFUSED.replace("34333", "34334")))
    now += SAY_AGAIN_AFTER_S
    assert noise.filter(record(REFUSED))


def test_the_tracker_s_client_is_held_to_the_same() -> None:
    noise = NoiseFilter(lambda: 0.0)
    kept = [text for text in LOST_BY_AIOKAFKA * 100 if noise.filter(record(text, "aiokafka.consumer.fetcher"))]
    assert len(kept) == 1


@pytest.mark.parametrize("text", MATTERS)
def test_what_somebody_has_to_mend_is_never_held_back(text: str) -> None:
    noise = NoiseFilter(lambda: 0.0)
    assert [noise.filter(record(REFUSED))] == [True]
    for _ in range(3):
        line = record(text)
        assert noise.filter(line)
        assert (line.levelno, line.getMessage()) == (logging.ERROR, text)


def test_an_error_of_ours_that_nobody_waited_for_is_one_line(stream: io.StringIO) -> None:
    configure_logs("gateway", style="text", stream=stream)
    log = logging.getLogger("asyncio")
    for error in (ServiceUnavailable("Kafka has not answered"), ValueError("a bug")):
        log.error("Future exception was never retrieved\nfuture: <Future>", exc_info=(type(error), error, None))
    ours, *theirs = stream.getvalue().splitlines()
    assert "Future exception was never retrieved: Kafka has not answered" in ours
    assert any("ValueError: a bug" in line for line in theirs)


def test_what_ends_the_tracker_is_told_in_one_line(stream: io.StringIO) -> None:
    configure_logs("tracker", style="text", stream=stream)
    error = ServiceUnavailable("Kafka has not answered")
    logging.getLogger("stream_infer.tracker.app").error("[^App]: Crashed", exc_info=(type(error), error, None))
    [line] = stream.getvalue().splitlines()
    assert "[^App]: Crashed: Kafka has not answered" in line


def test_a_fault_of_the_tracker_s_client_is_told_without_its_stack(stream: io.StringIO) -> None:
    configure_logs("tracker", style="text", stream=stream)
    error = ConnectionError("Connection at 127.0.0.1:9092 closed")
    log = logging.getLogger("aiokafka.producer.sender")
    log.error("Unexpected error in sender routine", exc_info=(type(error), error, None))
    [line] = stream.getvalue().splitlines()
    assert "Unexpected error in sender routine: ConnectionError: Connection at 127.0.0.1:9092 closed" in line
