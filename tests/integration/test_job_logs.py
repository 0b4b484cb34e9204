"""A job's log on a real broker: from those who speak of it to those who listen."""

import http.client
import json
import logging
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import structlog

from connectors.fetchers.by_scheme import open_fetcher
from connectors.policy import FetchPolicy
from stream_infer.cli.app import main
from stream_infer.clients.errors import UnknownJob
from stream_infer.clients.gateway import Gateway
from stream_infer.clients.job import follow_lines, past_lines
from stream_infer.engine.engine import Engine
from stream_infer.engine.policy import EnginePolicy
from stream_infer.engine.task import Task
from stream_infer.gateway import logs as gateway_logs
from stream_infer.headers import item_headers
from stream_infer.jobs.log_lines import decode_line
from stream_infer.jobs.status import State
from stream_infer.predictors.spec import PredictorSpec
from stream_infer.records import OutgoingRecord, Payload
from stream_infer.settings import KafkaSettings
from stream_infer.telemetry import job_logs
from stream_infer.telemetry.job_logs import job_log
from stream_infer.telemetry.logs import configure_logs
from stream_infer.worker.run import run
from tests.support.gateway import GatewayHarness, HttpClient
from tests.support.interrupts import hear_ctrl_c
from tests.support.roles import give_up, running
from tests.support.settings import PREDICTORS, settings_for

WAIT_S = 60.0


@pytest.fixture(scope="module")
def harness(bootstrap_servers: str, tmp_path_factory: pytest.TempPathFactory) -> GatewayHarness:
    folder = tmp_path_factory.mktemp("job-logs")
    return GatewayHarness(settings_for(bootstrap_servers, f"t-job-logs-{time.time_ns()}", folder))


@pytest.fixture(scope="module")
def client(harness: GatewayHarness) -> Iterator[HttpClient]:
    with harness.gateway() as client:
        yield client


@pytest.fixture
def job(client: HttpClient) -> str:
    return str(client("POST", "/v1/apis/echo/jobs", {"item_list": {"items": [1]}}, status=202)["job_id"])


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def end(harness: GatewayHarness, job: str) -> None:
    harness.status(job, state=State.SUCCEEDED, times={"succeeded": time.time()})


@contextmanager
def connect(url: str, path: str, **headers: str) -> Iterator[http.client.HTTPResponse]:
    """The answer, on a connection of its own that ends with it."""
    with closing(http.client.HTTPConnection(urlsplit(url).netloc, timeout=WAIT_S)) as connection:
        connection.request("GET", path, headers=headers)
        with connection.getresponse() as answer:
            yield answer


def test_lines_of_two_workers_arrive_as_they_are_said_until_the_job_has_ended(
    harness: GatewayHarness, client: HttpClient, job: str
) -> None:
    kafka, heard = harness.settings.kafka, []
    gateway = Gateway(client.url)

    def listen() -> None:
        for line in follow_lines(gateway, job):
            heard.append(line)  # noqa: PERF402 - the test looks at it meanwhile

    listener = threading.Thread(target=listen)
    slot = f"{kafka.topic_prefix}.echo.worker.h"
    with job_log(kafka, "worker", f"{slot}.0") as first, job_log(kafka, "worker", f"{slot}.1") as second:
        first.line({job}, "before anybody listened")
        listener.start()
        until(lambda: len(heard) == 1)
        second.line({job, "another"}, "from the second")
        until(lambda: len(heard) == 2)
        end(harness, job)
        first.line({job}, "a last word")
    listener.join(WAIT_S)

    assert not listener.is_alive(), "the stream ends with the job"
    assert [(line.who, line.line) for line in heard] == [
        ("echo.worker.h.0", "before anybody listened"),
        ("echo.worker.h.1", "from the second"),
        ("echo.worker.h.0", "a last word"),
    ]
    assert list(past_lines(gateway, job)) == heard
    gateway.close()


def test_a_page_goes_on_where_the_one_before_ended(
    harness: GatewayHarness, client: HttpClient, job: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with job_log(harness.settings.kafka, "worker") as log:
        for number in range(5):
            log.line({job}, f"line {number}")
    path = f"/v1/jobs/{job}/logs"
    first = client("GET", f"{path}?limit=3", status=200)
    assert ([line["line"] for line in first["lines"]], first["has_more"]) == (["line 0", "line 1", "line 2"], True)
    second = client("GET", f"{path}?after={first['next']}", status=200)
    assert ([line["line"] for line in second["lines"]], second["has_more"]) == (["line 3", "line 4"], False)
    assert client("GET", f"{path}?after={second['next']}", status=200)["lines"] == []
    client("GET", f"{path}?after=x", status=400)
    client("GET", "/v1/jobs/none/logs?follow=true", status=404)
    with pytest.raises(UnknownJob):
        next(past_lines(Gateway(client.url), "none"))

    with pytest.raises(SystemExit) as ended:
        main(["logs", job, "--output", "json", "--gateway", client.url])

    assert ended.value.code in (0, None)
    assert [json.loads(line)["line"] for line in capsys.readouterr().out.splitlines()] == [
        f"line {n}" for n in range(5)
    ]


def test_ctrl_c_ends_a_follower_quietly(harness: GatewayHarness, client: HttpClient, job: str) -> None:
    with job_log(harness.settings.kafka, "worker", f"{harness.settings.kafka.topic_prefix}.w") as log:
        log.line({job}, "hello\x1b[2J")
    command = [sys.executable, "-m", "stream_infer", "logs", job, "--follow", "--gateway", client.url]
    follower = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=hear_ctrl_c,  # noqa: PLW1509 - takes no lock
    )
    assert follower.stdout is not None
    try:
        line = follower.stdout.readline()
        follower.send_signal(signal.SIGINT)
        rest, said = follower.communicate(timeout=WAIT_S)
    finally:
        follower.kill()
        follower.wait()

    assert re.fullmatch(rb"\d\d:\d\d:\d\d w \| hello\n", line)
    assert (follower.returncode, rest, said) == (130, b"", b"")


def test_what_anybody_else_wrote_to_the_topic_is_passed_over(
    harness: GatewayHarness, client: HttpClient, job: str
) -> None:
    harness.send(*(OutgoingRecord(harness.topics.logs, job.encode(), value) for value in (b"\xff", None, b"{}", b"[")))
    with job_log(harness.settings.kafka, "worker") as log:
        log.line({job}, "hello")

    assert [line["line"] for line in client("GET", f"/v1/jobs/{job}/logs", status=200)["lines"]] == ["hello"]


def test_a_stream_is_resumed_by_its_last_events_id(harness: GatewayHarness, client: HttpClient, job: str) -> None:
    with job_log(harness.settings.kafka, "worker") as log:
        log.line({job}, "one")
        log.line({job}, "two")
    end(harness, job)
    path, accept = f"/v1/jobs/{job}/logs", "text/event-stream"
    with connect(client.url, path, Accept=accept) as answer:
        whole = answer.read().decode()
    ids = [line.partition(" ")[2] for line in whole.splitlines() if line.startswith("id:")]
    assert whole.endswith('event: end\ndata: {"state":"succeeded"}\n\n')

    with connect(client.url, path, **{"Accept": accept, "Last-Event-ID": ids[0]}) as answer:
        rest = answer.read().decode()

    assert '"line":"two"' in rest
    assert '"line":"one"' not in rest


def test_a_follower_that_goes_makes_room_and_the_gateway_ends_in_spite_of_those_that_stay(
    harness: GatewayHarness, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway_logs, "MAX_FOLLOWERS", 1)
    path = f"/v1/jobs/{job}/logs?follow=true"
    answers: list[http.client.HTTPResponse] = []
    with ExitStack() as staying:
        with harness.gateway() as client:
            with connect(client.url, path):
                assert "followers" in client("GET", path, status=503)["detail"]
                assert client.headers["Retry-After"]

            def follow() -> bool:
                answers.append(staying.enter_context(connect(client.url, path)))
                return answers[-1].status == 200

            until(follow)
            began = time.monotonic()
        assert time.monotonic() - began < 30
        assert b"event: end" not in answers[-1].read()


def test_a_flood_is_taken_quickly_and_every_line_is_published_or_counted(
    harness: GatewayHarness, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = 100_000
    monkeypatch.setattr(job_logs, "_FLUSH_S", 30.0)
    monkeypatch.setattr(job_logs, "CLOSE_TIMEOUT_S", 60.0)
    with job_log(harness.settings.kafka, "worker") as log:
        began = time.monotonic()
        for number in range(lines):
            log.line({job}, f"line {number}")
        took = time.monotonic() - began
    records = [message for message in harness.read(harness.topics.logs) if message.key == job.encode()]
    said = [line.line for message in records if (line := decode_line(message.key, message.value)) is not None]
    dropped = [int(line.split()[1]) for line in said if line.endswith("dropped")]

    assert took < 30, "300 µs a line at most"
    assert 1000 <= len(said) - len(dropped) < 1000 + 200 * (took + 10)
    assert len(said) - len(dropped) + sum(dropped) == lines


def test_with_kafka_away_nobody_waits() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        away = KafkaSettings(bootstrap_servers=f"127.0.0.1:{unused.getsockname()[1]}")
        began = time.monotonic()
        with job_log(away, "worker") as log:
            for number in range(20_000):
                log.line({f"j{number % 10}"}, f"line {number}")
            said = time.monotonic() - began
        ended = time.monotonic() - began

    assert said < 15
    assert ended - said < 15


def test_events_of_a_role_that_bear_the_job_stand_in_its_log(
    harness: GatewayHarness, client: HttpClient, job: str
) -> None:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    configure_logs("sink", style="json")
    try:
        with job_log(harness.settings.kafka, "sink"):
            structlog.get_logger("x").info("step_done", job_id=job, step="assemble", password="hunter2")
            structlog.get_logger("x").info("step_done", step="of no job")
    finally:
        root.handlers[:], root.level = before
        logging.captureWarnings(capture=False)
        structlog.reset_defaults()

    [line] = client("GET", f"/v1/jobs/{job}/logs", status=200)["lines"]
    assert (line["source"], line["role"], line["line"]) == ("role", "sink", "step_done")
    assert line["fields"] == {"step": "assemble", "password": "***"}


def test_what_two_workers_predictors_print_is_in_the_log_of_the_job_that_they_work_on(
    bootstrap_servers: str, topic_prefix: str, tmp_path: Path
) -> None:
    harness = GatewayHarness(settings_for(bootstrap_servers, topic_prefix, tmp_path, "talking.py:Talking"))
    settings, names = harness.settings, harness.topics.api("echo")
    fetcher = open_fetcher(FetchPolicy())

    def worker(stop: threading.Event, ready: Callable[[], None]) -> None:
        run(settings, settings.apis[0], fetcher, harness.store, stop=stop, on_ready=ready, on_unavailable=give_up)

    with harness.gateway() as client, running(worker), running(worker):
        job = client("POST", "/v1/apis/echo/jobs", {"item_list": {"items": [1]}}, status=202)["job_id"]
        headers = item_headers(job_id=job, item_id="x")
        gateway = Gateway(client.url)

        def have_both_spoken() -> bool:
            """The second worker has its partition a moment after it is ready."""
            harness.send(*(OutgoingRecord(names.items, None, b'"x"', headers, partition=number) for number in (0, 1)))
            return len({line.who for line in past_lines(gateway, job)}) == 2

        until(have_both_spoken)
        lines = list(past_lines(gateway, job))
        gateway.close()

    said = {line.line for line in lines if line.source == "predictor"}
    assert said == {"printed x", "INFO talking: logged x"}, "and nothing of what it said while loading"


def test_what_a_predictor_prints_and_logs_are_lines_alike() -> None:
    said: list[str] = []
    spec = PredictorSpec(type="native", target=f"{PREDICTORS / 'talking.py'}:Talking", config={})
    engine = Engine(spec, EnginePolicy(), on_line=said.append)
    try:
        engine.start()
        engine.wait_ready(WAIT_S)
        engine.submit(Task(1, Payload(b'"x"')))
        until(lambda: bool(engine.poll(0.1)))
    finally:
        engine.close(5.0)

    assert said == ["loading", "printed x", "INFO talking: logged x"]
