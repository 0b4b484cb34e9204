"""An API's own endpoint, asked as Cortex's clients ask; the test itself writes what the tracker would."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from stream_infer.jobs.counts import Counts
from stream_infer.jobs.events import StopRequested, Submitted
from stream_infer.jobs.spec import decode_job
from stream_infer.jobs.status import Cause, State
from stream_infer.ports import SourceItem
from stream_infer.records import Payload
from tests.support.gateway import GatewayHarness
from tests.support.settings import settings_for

SPEC = {"workers": 9, "item_list": {"items": [1, 2, 3], "batch_size": 2}, "config": {"a": 1}, "timeout": 60}


@pytest.fixture(scope="module")
def harness(bootstrap_servers: str, tmp_path_factory: pytest.TempPathFactory) -> GatewayHarness:
    folder = tmp_path_factory.mktemp("gateway")
    predictor = {"type": "cortex", "path": "predictor.py"}
    settings = settings_for(
        bootstrap_servers,
        f"t-cortex-{time.time_ns()}",
        folder,
        api={"predictor": predictor, "workers": {"max": 2}},
        fetch={"allowed_s3_prefixes": ["s3://b/in"]},
    )
    return GatewayHarness(settings)


def read_source(_job: Any) -> Iterator[SourceItem]:
    lines = [("s3://b/in/x.json#line=1", 1), ("s3://b/in/x.json#line=2", 2), ("s3://b/in/y.json#line=1", 3)]
    return (SourceItem(Payload(b"1"), source, str(cursor)) for source, cursor in lines)


@pytest.fixture(scope="module")
def url(harness: GatewayHarness) -> Iterator[str]:
    with harness.gateway(read_source=read_source) as client:
        yield client.url


def ask(method: str, url: str, **more: Any) -> requests.Response:
    return requests.request(method, url, timeout=60, **more)


@pytest.mark.parametrize("path", ["/echo", "/batch/echo"])
def test_a_job_is_submitted_looked_at_and_stopped(harness: GatewayHarness, url: str, path: str) -> None:
    endpoint = url + path
    answer = ask("POST", endpoint, json=SPEC)
    job = answer.json()
    assert answer.status_code == 200
    assert {name: job[name] for name in ("api_name", "kind", "workers", "config", "timeout")} == {
        "api_name": "echo",
        "kind": "BatchAPI",
        "workers": 2,
        "config": {"a": 1},
        "timeout": 60,
    }
    job_id = job["job_id"]
    [written] = [message for message in harness.read(harness.topics.jobs) if message.key == job_id.encode()]
    kept = decode_job(written.value or b"")
    assert (kept.batch_size, kept.items, kept.workers) == (2, 3, 2)
    [submitted] = harness.events(job_id)
    assert isinstance(submitted, Submitted)
    assert submitted.has_hook

    counts = Counts(enqueued=3, succeeded=2)
    harness.status(job_id, state=State.RUNNING, exhausted=True, counts=counts, times={"running": time.time()})
    for look in (
        lambda: ask("GET", endpoint, params={"jobID": job_id}),
        lambda: ask("GET", f"{endpoint}/{job_id}"),
    ):
        deadline = time.monotonic() + 60
        while (status := look().json().get("job_status", {})).get("status") != "running":
            assert time.monotonic() < deadline, status
        assert (status["total_batch_count"], status["batches_in_queue"]) == (2, 1)
        assert status["job_id"] == job_id

    harness.status(job_id, state=State.STOPPING, cause=Cause.STOP, counts=counts)
    stopped = ask("DELETE", endpoint, params={"jobID": job_id})
    assert (stopped.status_code, stopped.json()) == (200, {"message": f"stopped job {job_id}"})
    assert len([event for event in harness.events(job_id) if isinstance(event, StopRequested)]) <= 1
    assert ask("GET", endpoint, params={"jobID": job_id}).json()["job_status"]["status"] == "stopped"


def test_a_dry_run_names_the_files_and_changes_nothing(harness: GatewayHarness, url: str) -> None:
    before = len(harness.read(harness.topics.jobs))
    files = {"workers": 1, "delimited_files": {"s3_paths": ["s3://b/in/"], "batch_size": 1}}

    answer = ask("POST", f"{url}/echo", json=files, params={"dryRun": "true"})

    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.text == "s3://b/in/x.json\ns3://b/in/y.json\nvalidations passed"
    assert ask("POST", f"{url}/echo", json=SPEC, params={"dryRun": "true"}).text == "validations passed"
    assert len(harness.read(harness.topics.jobs)) == before


@pytest.mark.parametrize(
    ("method", "path", "more", "code", "said"),
    [
        ("POST", "/echo", {"json": {"workers": 1}}, 422, "exactly one source"),
        ("POST", "/echo", {"json": {**SPEC, "sqs_dead_letter_queue": {"arn": "x"}}}, 422, "stream-infer dlq"),
        ("POST", "/echo", {"json": {**SPEC, "wrkers": 1}}, 422, "wrkers"),
        ("POST", "/echo", {"data": b"{", "headers": {"content-type": "application/json"}}, 400, "not JSON"),
        ("POST", "/echo", {"data": {"a": 1}}, 415, "application/json"),
        ("GET", "/echo", {}, 400, "/echo?jobID=JOB"),
        ("GET", "/echo", {"params": {"jobID": "nothing"}}, 404, "No job is named 'nothing'"),
        ("DELETE", "/echo", {"params": {"jobId": "x"}}, 400, "jobID"),
        ("POST", "/food/echo", {"json": {}}, 404, "answers no requests"),
    ],
)
def test_an_error_has_a_message(url: str, method: str, path: str, more: dict[str, Any], code: int, said: str) -> None:
    answer = ask(method, url + path, **more)

    assert answer.status_code == code, answer.text
    assert answer.headers["content-type"].startswith("application/json")
    body = answer.json()
    assert said in body["message"]
    assert body["error"] == body["message"]
    assert body["kind"]


def test_a_path_of_no_api_is_answered_as_all_others_are(url: str) -> None:
    for method, path in (("GET", "/nothing"), ("POST", "/batch/nothing"), ("POST", "/food/nothing")):
        answer = ask(method, url + path, json={})
        assert answer.status_code == 404
        assert answer.headers["content-type"].startswith("application/problem+json")
