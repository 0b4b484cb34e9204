"""How jobs go on, told to those who follow them; and what their dead letters hold. On a real broker."""

import http.client
import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest

from stream_infer.cli.composition import fetcher_of
from stream_infer.errors import Stage
from stream_infer.gateway import events
from stream_infer.jobs.counts import Counts
from stream_infer.jobs.status import State
from stream_infer.records import REFERENCE, Failure
from tests.support.gateway import GatewayHarness, HttpClient
from tests.support.settings import settings_for

WAIT_S = 30.0
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(64))
WHY = Failure(Stage.PREDICT, "builtins.ValueError", "no cat")


@pytest.fixture(scope="module")
def harness(bootstrap_servers: str, tmp_path_factory: pytest.TempPathFactory) -> GatewayHarness:
    folder = tmp_path_factory.mktemp("events")
    return GatewayHarness(settings_for(bootstrap_servers, f"t-events-{time.time_ns()}", folder))


@pytest.fixture(scope="module")
def client(harness: GatewayHarness) -> Iterator[HttpClient]:
    with harness.gateway(fetcher=fetcher_of(harness.settings)) as client:
        yield client


@pytest.fixture
def job(client: HttpClient) -> str:
    return str(client("POST", "/v1/apis/echo/jobs", {"item_list": {"items": [1]}}, status=202)["job_id"])


@contextmanager
def connect(client: HttpClient, path: str) -> Iterator[http.client.HTTPResponse]:
    with closing(http.client.HTTPConnection(urlsplit(client.url).netloc, timeout=WAIT_S)) as connection:
        connection.request("GET", path)
        with connection.getresponse() as answer:
            yield answer


@contextmanager
def following(client: HttpClient, path: str) -> Iterator[Iterator[tuple[str, Any]]]:
    """The events of a path as (name, data), as they come."""
    with connect(client, path) as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "text/event-stream"
        assert answer.headers["X-Accel-Buffering"] == "no", "or nginx holds events back"
        assert answer.headers["Cache-Control"] == "no-store, no-transform"
        yield events_in(answer)


def events_in(answer: http.client.HTTPResponse) -> Iterator[tuple[str, Any]]:
    name = ""
    for line in answer:
        if line.startswith(b"event: "):
            name = line[7:].strip().decode()
        elif line.startswith(b"data: "):
            yield name, json.loads(line[6:])


def test_a_job_is_told_as_it_is_whenever_it_changes_and_to_its_end(
    harness: GatewayHarness, client: HttpClient, job: str
) -> None:
    with following(client, f"/v1/jobs/{job}/events") as told:
        assert next(told)[1]["state"] == "validating"
        harness.status(job, state=State.RUNNING, counts=Counts(enqueued=10, succeeded=4), exhausted=True)
        name, running = next(told)
        assert (name, running["state"], running["counts"]["waiting"]) == ("job", "running", 6)
        assert running == client("GET", f"/v1/jobs/{job}", status=200)
        harness.status(job, state=State.SUCCEEDED, counts=Counts(enqueued=10, succeeded=10), exhausted=True)
        assert next(told)[1]["is_final"]
        assert list(told) == [("end", {"state": "succeeded"})]


def test_of_a_job_that_has_ended_the_end_is_told(harness: GatewayHarness, client: HttpClient, job: str) -> None:
    harness.status(job, state=State.FAILED)
    with following(client, f"/v1/jobs/{job}/events") as told:
        assert [name for name, _ in told] == ["job", "end"]
    client("GET", "/v1/jobs/none/events", status=404)


def test_changes_of_all_jobs_are_told_of_one_api_where_it_is_asked_for(
    harness: GatewayHarness, client: HttpClient, job: str
) -> None:
    with following(client, "/v1/events") as told, following(client, "/v1/events?api=echo") as of_echo:
        later = client("POST", "/v1/apis/echo/jobs", {"item_list": {"items": [1]}}, status=202)["job_id"]
        harness.status(job, state=State.RUNNING)
        for stream in (told, of_echo):
            seen = {next(stream)[1]["job_id"], next(stream)[1]["job_id"]}
            assert seen == {later, job}
    assert "Did you mean 'echo'" in client("GET", "/v1/events?api=ecko", status=404)["detail"]


def test_a_job_that_changes_all_the_time_is_told_four_times_a_second_at_most(
    harness: GatewayHarness, client: HttpClient, job: str
) -> None:
    stop = threading.Event()

    def change() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            harness.status(job, state=State.RUNNING, counts=Counts(enqueued=10**6, succeeded=number))

    changing = threading.Thread(target=change)
    with following(client, f"/v1/jobs/{job}/events") as told:
        changing.start()
        try:
            began = time.monotonic()
            counts = [next(told)[1]["counts"]["succeeded"] for _ in range(9)]
            assert time.monotonic() - began > 7 * 0.25
        finally:
            stop.set()
            changing.join()
    assert counts == sorted(counts)


def test_followers_that_go_make_room_and_the_gateway_ends_in_spite_of_those_that_stay(
    harness: GatewayHarness, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "MAX_FOLLOWERS", 1)
    path = f"/v1/jobs/{job}/events"
    with ExitStack() as staying:
        with harness.gateway() as client:
            with following(client, path):
                assert "followers" in client("GET", path, status=503)["detail"]
            deadline = time.monotonic() + WAIT_S
            while staying.enter_context(connect(client, path)).status != 200:
                assert time.monotonic() < deadline
                time.sleep(0.1)
            began = time.monotonic()
        assert time.monotonic() - began < 30


def test_how_fast_a_job_has_gone_is_made_of_its_rows(harness: GatewayHarness, client: HttpClient, job: str) -> None:
    began = client("GET", f"/v1/jobs/{job}", status=200)["submitted_at"]
    for seconds, ended in ((2, 20), (4, 80)):
        harness.status(
            job, state=State.RUNNING, submitted_at=began, counts=Counts(enqueued=100, succeeded=ended),
            rate_since=began + seconds, rate_ended=ended,
        )  # fmt: skip
    found = client("GET", f"/v1/jobs/{job}/throughput", status=200)

    assert (found["job_id"], found["generation"]) == (job, 1)
    assert [(round(p["at"] - began, 3), p["ended"], round(p["rate"], 3)) for p in found["points"]] == [
        (0, 0, 0), (2, 20, 10), (4, 80, 30),
    ]  # fmt: skip
    with harness.gateway() as another:
        assert another("GET", f"/v1/jobs/{job}/throughput", status=200) == found
    client("GET", "/v1/jobs/none/throughput", status=404)


def test_a_payload_is_brought_as_it_is_from_the_letter_or_from_where_it_lies(
    harness: GatewayHarness, client: HttpClient, job: str
) -> None:
    place = harness.settings.fetch.allowed_directories[0] / "cat.png"
    place.write_bytes(PNG)
    inside, outside = json.dumps({"uri": place.as_uri()}).encode(), b'{"uri":"file:///etc/hostname"}'
    letters = ((PNG, "image/png"), (b"<script>", "text/html"), (inside, REFERENCE), (outside, REFERENCE))
    harness.reject(*((job, value, WHY, kind) for value, kind in letters))
    listed = client("GET", f"/v1/jobs/{job}/dlq", status=200)["dead_letters"]
    refs = {letter["item_id"]: letter["ref"] for letter in listed}
    paths = [f"/v1/jobs/{job}/dlq/{refs[f'{job}-{number}']}/payload" for number in range(4)]

    for path in (paths[0], paths[2], paths[0].replace(f"jobs/{job}", "apis/echo")):
        assert client("GET", path, status=200) == PNG
        assert client.headers["Content-Type"] == "image/png"
        assert client.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert client("GET", paths[1], status=200) == b"<script>"
    assert client.headers["Content-Type"] == "application/octet-stream"
    assert client("GET", paths[3], status=409)["type"].endswith(":no-payload")
    client("GET", f"/v1/jobs/{job}/dlq/0-999/payload", status=404)
    client("GET", f"/v1/jobs/{job}/dlq/x/payload", status=404)
