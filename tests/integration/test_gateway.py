"""The gateway on a real broker; the test itself writes what tracker, worker and sink would."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import urllib3

from connectors.formats.jsonl import error_line
from stream_infer.dead_letters import dead_letter, read_dead_letter
from stream_infer.errors import ConfigError, ServiceUnavailable, SourceError, Stage
from stream_infer.headers import item_headers, item_id_of, read_item
from stream_infer.jobs.counts import Counts
from stream_infer.jobs.events import StopRequested, Submitted
from stream_infer.jobs.log_lines import LogLine, encode_line
from stream_infer.jobs.manifest import Kind
from stream_infer.jobs.spec import decode_job
from stream_infer.jobs.status import Cause, State
from stream_infer.ports import SourceItem
from stream_infer.records import Failure, Message, OutgoingRecord, Payload
from tests.support.gateway import GatewayHarness, HttpClient, result_of
from tests.support.items import message_at
from tests.support.settings import settings_for

NDJSON = "application/x-ndjson"
LIMITS = {"request_bytes": 20_000, "inline_items": 100, "payload_bytes": 1000}


@pytest.fixture(scope="module")
def harness(bootstrap_servers: str, tmp_path_factory: pytest.TempPathFactory) -> GatewayHarness:
    """Shared by all tests here, since creating topics takes seconds: a test looks at its own jobs only."""
    folder = tmp_path_factory.mktemp("gateway")
    return GatewayHarness(settings_for(bootstrap_servers, f"t-gateway-{time.time_ns()}", folder, limits=LIMITS))


@pytest.fixture(scope="module")
def client(harness: GatewayHarness) -> Iterator[HttpClient]:
    with harness.gateway() as client:
        yield client


def inline(*items: Any, **more: Any) -> dict[str, Any]:
    return {"item_list": {"items": list(items)}, **more}


def test_a_submission_keeps_its_items_and_writes_the_job_and_its_event_once(
    harness: GatewayHarness, client: HttpClient
) -> None:
    spec = inline({"a": 12345678901234567890123}, "two", config={"top": 3}, timeout=60)
    job = client("POST", "/v1/apis/echo/jobs", spec, status=202)
    assert client.headers["Location"] == job["links"]["self"] == f"/v1/jobs/{job['job_id']}"
    assert job["api_name"] == "echo"
    assert job["kind"] == "BatchAPI"
    assert job["state"] == "validating"
    assert job["config"] == {"top": 3}
    [written] = [
        decode_job(message.value or b"")
        for message in harness.read(harness.topics.jobs)
        if message.key == job["job_id"].encode()
    ]
    assert written.submission is not None
    assert harness.store.get(written.submission) == b'{"a":12345678901234567890123}\n"two"\n'
    [event] = harness.events(job["job_id"])
    assert event == Submitted(job_id=job["job_id"], at=written.submitted_at, api="echo", timeout_s=60)
    assert client("GET", job["links"]["self"], status=200)["job_id"] == job["job_id"]


def test_one_idempotency_key_is_one_job_on_every_replica_and_no_other_body(
    harness: GatewayHarness, client: HttpClient
) -> None:
    with harness.gateway() as second:
        first = client("POST", "/v1/apis/echo/jobs", inline(1), status=202, Idempotency_Key="k1")
        again = second("POST", "/v1/apis/echo/jobs", inline(1), status=202, Idempotency_Key="k1")
        assert again["job_id"] == first["job_id"]
        assert second.headers["Idempotency-Replayed"] == "true"
        problem = second("POST", "/v1/apis/echo/jobs", inline(2), status=422, Idempotency_Key="k1")
        assert first["job_id"] in problem["detail"]
        assert problem["job_id"] == first["job_id"]
        other = client("POST", "/v1/apis/echo/jobs", inline(1), status=202, Idempotency_Key="k2")
        assert other["job_id"] != first["job_id"]
    assert len(harness.events(first["job_id"])) == 1


def test_two_submissions_at_once_under_one_key_are_one_job(harness: GatewayHarness, client: HttpClient) -> None:
    ids: list[str] = []

    def submit() -> None:
        one = HttpClient(client.url)
        ids.append(one("POST", "/v1/apis/echo/jobs", inline(1), status=202, Idempotency_Key="k3")["job_id"])
        one.close()

    threads = [threading.Thread(target=submit) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == 4
    assert len(set(ids)) == 1
    assert len(harness.events(ids[0])) == 1


def test_of_two_submissions_at_once_to_two_replicas_under_one_key_the_first_has_it_as_it_was_asked(
    harness: GatewayHarness, client: HttpClient
) -> None:
    """Each looks whether there is such a job before the other one's is there, if nothing keeps them apart."""
    rounds = 12
    with harness.gateway() as second, urllib3.PoolManager(retries=False, timeout=60) as pool:
        for number in range(rounds):
            both = threading.Barrier(2, timeout=30)
            answers: dict[int, tuple[int, Any]] = {}

            def submit(body: int, url: str, key: str, both: threading.Barrier = both, answers: Any = answers) -> None:
                headers = {"Idempotency-Key": key, "Content-Type": "application/json"}
                both.wait()
                answer = pool.request(
                    "POST", f"{url}/v1/apis/echo/jobs", body=json.dumps(inline(body)).encode(), headers=headers
                )
                answers[body] = (answer.status, answer.json())

            threads = [
                threading.Thread(target=submit, args=(body, url, f"race-{number}"))
                for body, url in enumerate((client.url, second.url))
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

            assert sorted(status for status, _ in answers.values()) == [202, 422], answers
            [(winner, job_id)] = [(body, told["job_id"]) for body, (status, told) in answers.items() if status == 202]
            [written] = [m.value for m in harness.read(harness.topics.jobs) if m.key == job_id.encode()]
            assert harness.store.get(decode_job(written or b"").submission or "") == b"%d\n" % winner
            assert len(harness.events(job_id)) == 1


def test_a_client_sees_its_own_writes_at_once_on_another_replica(harness: GatewayHarness, client: HttpClient) -> None:
    with harness.gateway() as second:
        for number in range(5):
            job = client("POST", "/v1/apis/echo/jobs", inline(number), status=202)
            assert second("GET", job["links"]["self"], status=200)["state"] == "validating"
            assert second("GET", "/v1/jobs?limit=1", status=200)["jobs"][0]["job_id"] == job["job_id"]


def test_the_list_is_filtered_and_paged_with_the_newest_first(harness: GatewayHarness, client: HttpClient) -> None:
    ids = [client("POST", "/v1/apis/echo/jobs", inline(n), status=202)["job_id"] for n in range(5)]
    harness.status(ids[1], state=State.RUNNING, counts=Counts(enqueued=3, succeeded=1))
    page = client("GET", "/v1/jobs?limit=3", status=200)
    assert [job["job_id"] for job in page["jobs"]] == ids[:1:-1]
    assert page["has_more"]
    rest = client("GET", f"/v1/jobs?limit=2&after={page['jobs'][-1]['job_id']}", status=200)
    assert [job["job_id"] for job in rest["jobs"]] == [ids[1], ids[0]]
    everything = client("GET", "/v1/jobs?limit=100", status=200)
    assert not everything["has_more"]
    oldest = everything["jobs"][-1]["job_id"]
    assert client("GET", f"/v1/jobs?after={oldest}", status=200) == {"jobs": [], "has_more": False}
    [running_job] = client("GET", "/v1/jobs?state=running&api=echo", status=200)["jobs"]
    assert running_job["counts"]["waiting"] == 2
    harness.status(ids[1], state=State.SUCCEEDED, counts=Counts(enqueued=3, succeeded=3))
    assert ids[1] not in str(client("GET", "/v1/jobs?state=running", status=200))


def test_an_api_says_how_busy_it_is_and_not_how_its_predictor_is_configured(
    harness: GatewayHarness, client: HttpClient
) -> None:
    before = client("GET", "/v1/apis/echo", status=200)
    job_id = client("POST", "/v1/apis/echo/jobs", inline(1), status=202)["job_id"]
    harness.status(job_id, state=State.RUNNING, counts=Counts(enqueued=9, succeeded=1), rate=4.0)
    deadline = time.monotonic() + 60
    while (api := client("GET", "/v1/apis", status=200)["apis"][0])["rate"] == before["rate"]:  # up to a second old
        assert time.monotonic() < deadline
    assert api["active_jobs"] == before["active_jobs"] + 1
    assert api["waiting_items"] == before["waiting_items"] + 8
    assert api["rate"] == before["rate"] + 4
    harness.status(job_id, state=State.SUCCEEDED)
    assert "config" not in json.dumps(api["predictor"])


def test_a_stop_is_answered_when_the_status_shows_it(harness: GatewayHarness, client: HttpClient) -> None:
    job_id = client("POST", "/v1/apis/echo/jobs", inline(1), status=202)["job_id"]

    def track() -> None:
        while not any(isinstance(event, StopRequested) for event in harness.events(job_id)):
            pass
        harness.status(job_id, state=State.STOPPING, cause=Cause.STOP)

    tracker = threading.Thread(target=track)
    tracker.start()
    stopped = client("DELETE", f"/v1/jobs/{job_id}", status=200)
    tracker.join()
    assert (stopped["state"], stopped["cause"]) == ("stopping", "stopped")
    harness.status(job_id, state=State.STOPPED, cause=Cause.STOP)
    again = client("DELETE", f"/v1/jobs/{job_id}", status=200)
    assert again["is_final"]
    assert sum(isinstance(event, StopRequested) for event in harness.events(job_id)) == 1


def test_a_stop_that_no_tracker_sees_is_accepted_within_the_bound(
    harness: GatewayHarness, client: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream_infer.gateway.submitting.STOP_WAIT_S", 0.2)
    job_id = client("POST", "/v1/apis/echo/jobs", inline(1), status=202)["job_id"]
    assert client("DELETE", f"/v1/jobs/{job_id}", status=202)["state"] == "validating"


def test_results_come_in_the_order_of_the_items_from_committed_objects_alone(
    harness: GatewayHarness, client: HttpClient
) -> None:
    job = client("POST", "/v1/apis/echo/jobs", inline(1), status=202)
    job_id, path = job["job_id"], job["links"]["results"]
    assert client("GET", path, status=200) == b""

    def lines(*ordinals: int) -> list[bytes]:
        return [result_of(job_id, ordinal) for ordinal in ordinals]

    harness.commit_object(job_id, Kind.RESULTS, "b.jsonl", lines(1, 4, 6), (1, 6))
    harness.commit_object(job_id, Kind.RESULTS, "a.jsonl", lines(0, 2, 3, 10), (0, 10))
    harness.commit_object("another", Kind.RESULTS, "x.jsonl", [b"{}\n"], (0, 0))
    harness.store.put(f"echo/{job_id}/results/orphan.jsonl", b"{}\n")
    answer = client("GET", path, status=200)
    assert client.headers["content-type"] == NDJSON
    found = [json.loads(line) for line in answer.splitlines()]
    assert [line["item_id"] for line in found] == [item_id_of(job_id, n) for n in (0, 1, 2, 3, 4, 6, 10)]
    assert found[1]["output"] == {"n": 1}
    assert client("GET", job["links"]["failures"], status=200) == b""


def test_failures_are_read_like_results(harness: GatewayHarness, client: HttpClient) -> None:
    job = client("POST", "/v1/apis/echo/jobs", inline(1), status=202)
    item = read_item(message_at(headers=item_headers(job_id=job["job_id"], item_id=item_id_of(job["job_id"], 0))))
    record = dead_letter(item, Failure(Stage.DECODE, "X", "no JSON"), "dlq", predictor="p", worker="w", api_version="1")
    line = error_line(read_dead_letter(message_at("dlq", value=record.value, headers=record.headers)))
    harness.commit_object(job["job_id"], Kind.ERRORS, "e.jsonl", [line], (0, 0))
    [failure] = client("GET", job["links"]["failures"], status=200).splitlines()
    assert json.loads(failure)["error"]["stage"] == "decode"


def test_a_committed_object_that_is_gone_is_a_problem_and_not_a_short_answer(
    harness: GatewayHarness, client: HttpClient
) -> None:
    job = client("POST", "/v1/apis/echo/jobs", inline(1), status=202)
    harness.commit_object(job["job_id"], Kind.RESULTS, "a.jsonl", [result_of(job["job_id"], 0)], (0, 0))
    key = f"echo/{job['job_id']}/results/a.jsonl"
    harness.store.delete(key)
    assert key in client("GET", job["links"]["results"], status=503)["detail"]
    large = [result_of(job["job_id"], n) for n in range(10_000)]
    harness.commit_object(job["job_id"], Kind.RESULTS, "0.jsonl", large, (0, 9999))
    harness.commit_object(job["job_id"], Kind.RESULTS, "a.jsonl", [result_of(job["job_id"], 20_000)], (20_000, 20_000))
    harness.store.delete(key)
    with pytest.raises(urllib3.exceptions.HTTPError):
        client("GET", job["links"]["results"], status=200)


def test_items_go_straight_to_the_topic(harness: GatewayHarness, client: HttpClient) -> None:
    body = b"".join(b'{"n": %d}\n\n' % n for n in range(2500))
    answer = client("POST", "/v1/apis/echo/items", status=202, raw=body, content_type=NDJSON)
    assert answer["accepted"] == 2500
    items = [item for item in map(read_item, harness.read(answer["topic"])) if answer["request_id"] in item.item_id]
    assert sorted(json.loads(item.message.value or b"")["n"] for item in items) == list(range(2500))
    by_id = {item.item_id: item for item in items}
    assert json.loads(by_id[answer["last_item_id"]].message.value or b"") == {"n": 2499}
    assert by_id[answer["first_item_id"]].job_id is None


def test_a_bad_line_ends_the_upload_and_says_what_is_published(harness: GatewayHarness, client: HttpClient) -> None:
    post: Callable[..., Any] = lambda raw, status: client(  # noqa: E731
        "POST", "/v1/apis/echo/items", status=status, raw=raw, content_type=NDJSON
    )
    before = len(harness.read(harness.topics.api("echo").items))
    problem = post(b'{"n": 1}\n\n{"n": 2}\n{"n": }\n{"n": 4}\n', 400)
    assert (problem["line"], problem["accepted"], problem["column"]) == (4, 2, 7)
    assert "Line 4" in problem["detail"]
    assert "2 items before it are published" in problem["detail"]
    assert len(harness.read(harness.topics.api("echo").items)) == before + 2
    problem = post(b'1\n"' + b"x" * 2000 + b'"\n3\n', 413)
    assert (problem["line"], problem["accepted"]) == (2, 1)
    assert "limits.payload_bytes" in problem["detail"]
    assert post(b"1\n" + b"[" * 900, 400)["line"] == 2
    assert post(b"\n\n", 422)["accepted"] == 0
    assert len(harness.read(harness.topics.api("echo").items)) == before + 4


def test_dead_letters_are_grouped_listed_and_shown(harness: GatewayHarness, client: HttpClient) -> None:
    job = client("POST", "/v1/apis/echo/jobs", inline(1), status=202)
    refused = Failure(Stage.PREDICT, "ValueError", "negative", "Traceback …")
    undecodable = Failure(Stage.DECODE, "UndecodableItem", "no JSON")
    harness.reject(
        (job["job_id"], b'{"n": -1}', refused), (None, b"\xff", undecodable), (job["job_id"], b"{}", refused)
    )
    listed = client("GET", "/v1/apis/echo/dlq", status=200)
    assert [(group["stage"], group["exception"], group["count"]) for group in listed["groups"]] == [
        ("predict", "ValueError", 2),
        ("decode", "UndecodableItem", 1),
    ]
    assert listed["groups"][0]["message"] == "negative"
    [decode_only] = client("GET", "/v1/apis/echo/dlq?stage=decode", status=200)["dead_letters"]
    assert decode_only["exception"] == "UndecodableItem"
    times = [letter["timestamp"] for letter in listed["dead_letters"]]
    assert times == sorted(times, reverse=True)
    assert (listed["scanned"], listed["is_complete"]) == (3, True)
    assert len(client("GET", "/v1/apis/echo/dlq?limit=1", status=200)["dead_letters"]) == 1
    of_job = client("GET", job["links"]["dlq"], status=200)
    assert [letter["item_id"] for letter in of_job["dead_letters"]] == [
        item_id_of(job["job_id"], 2), item_id_of(job["job_id"], 0),
    ]  # fmt: skip
    shown = client("GET", f"{job['links']['dlq']}/{of_job['dead_letters'][-1]['ref']}", status=200)
    assert (shown["payload"], shown["payload_encoding"], shown["stacktrace"]) == ({"n": -1}, "json", "Traceback …")
    assert {"name": "__connect.errors.stage", "value": "predict", "base64": None} in shown["headers"]
    [foreign] = [letter["ref"] for letter in listed["dead_letters"] if letter["job_id"] is None]
    assert client("GET", f"/v1/apis/echo/dlq/{foreign}", status=200)["payload_encoding"] == "base64"
    for path in (f"{job['links']['dlq']}/{foreign}", "/v1/apis/echo/dlq/0-999999", "/v1/apis/echo/dlq/77-0"):
        client("GET", path, status=404)
    assert "PARTITION-OFFSET" in client("GET", "/v1/apis/echo/dlq/newest", status=404)["detail"]


def test_of_a_talkative_jobs_log_a_dead_letter_shows_what_was_said_next_to_its_failure(
    harness: GatewayHarness, client: HttpClient
) -> None:
    """Its record was written 3 s later."""
    job = client("POST", "/v1/apis/echo/jobs", inline(1), status=202)
    job_id, failed_at = job["job_id"], time.time() - 3.0
    lines = [
        LogLine(at=failed_at + (n - 300) / 100, job_id=job_id, role="worker", who="w", line=f"line {n}")
        for n in range(600)
    ]
    harness.send(*(OutgoingRecord(harness.topics.logs, job_id.encode(), encode_line(line)) for line in lines))
    item = read_item(Message("p.echo.items", 0, 0, b"k", b"{}", item_headers(job_id=job_id), 0))
    failure = Failure(Stage.PREDICT, "ValueError", "negative")
    names = {"predictor": "P", "worker": "w", "api_version": "v"}
    harness.send(dead_letter(item, failure, harness.topics.api("echo").dlq, **names, failed_at=failed_at))

    [letter] = client("GET", job["links"]["dlq"], status=200)["dead_letters"]
    shown = client("GET", f"{job['links']['dlq']}/{letter['ref']}", status=200)

    said = [int(line["line"].removeprefix("line ")) for line in shown["log"]]
    assert len(said) == 200
    assert said == list(range(said[0], said[0] + 200))
    assert abs(said[0] - 200) <= 1


def test_a_dry_run_changes_nothing_and_shows_what_would_come(harness: GatewayHarness) -> None:
    [folder] = harness.settings.fetch.allowed_directories
    seen: list[Any] = []
    before = (harness.read(harness.topics.jobs), list(harness.store.list("")))

    def read_source(job: Any) -> Iterator[SourceItem]:
        seen.append(job.directory)
        yield from (SourceItem(Payload(b'{"a": 1}'), f"file:///{n}", str(n)) for n in range(3))
        if job.config.get("breaks"):
            raise SourceError("line 4 is broken")

    with harness.gateway(read_source=read_source) as client:
        answer = client("POST", "/v1/apis/echo/jobs?dry_run=true", inline(*range(12)), status=200)
        assert (answer["items"], answer["preview"]) == (12, list(range(10)))
        answer = client("POST", "/v1/apis/echo/jobs?dry_run=true", {"directory": {"path": folder.as_uri()}}, status=200)
        assert (answer["items"], answer["preview"]) == (3, ["file:///0", "file:///1", "file:///2"])
        assert [directory.path for directory in seen] == [str(folder)]
        client("POST", "/v1/apis/echo/jobs?dry_run=true", {}, status=422)
        client("POST", "/v1/apis/echo/jobs?limit=3", {}, status=400)
        spec = {"directory": {"path": folder.as_uri()}, "config": {"breaks": True}}
        path, lines = "/v1/apis/echo/jobs?dry_run=true&limit=", {"status": 200, "accept": "application/x-ndjson"}
        listed = [json.loads(line) for line in client("POST", f"{path}2", spec, **lines).splitlines()]
        assert listed[0] == {
            "ordinal": 0,
            "source": "file:///0",
            "content_type": "application/json",
            "bytes": 8,
            "item": {"a": 1},
        }
        assert [line.get("source") for line in listed] == ["file:///0", "file:///1", None]
        assert listed[2] == {"items": 2, "is_all": False}
        listed = [json.loads(line) for line in client("POST", f"{path}9", spec, **lines).splitlines()]
        assert listed[3] == {"items": 3, "is_all": True, "error": "line 4 is broken"}
        listed = [json.loads(line) for line in client("POST", f"{path}9", inline(7, 8), **lines).splitlines()]
        assert listed == [{"ordinal": 0, "item": 7}, {"ordinal": 1, "item": 8}, {"items": 2, "is_all": True}]
    assert (harness.read(harness.topics.jobs), list(harness.store.list(""))) == before


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "said"),
    [
        ("GET", "/nothing/here", None, 404, "/openapi.json"),
        ("POST", "/v1/apis/ecco/jobs", b"{}", 404, "Did you mean 'echo'? Known APIs: echo"),
        ("GET", "/v1/apis/ecco", None, 404, "Known APIs: echo"),
        ("GET", "/v1/jobs/none", None, 404, "GET /v1/jobs lists"),
        ("DELETE", "/v1/jobs/none", None, 404, "none"),
        ("GET", "/v1/jobs/none/results", None, 404, "none"),
        ("GET", "/v1/jobs/none/dlq", None, 404, "none"),
        ("PUT", "/v1/jobs", b"{}", 405, "it has GET, HEAD"),
        ("POST", "/v1/apis/echo/jobs", b'{"item_list": ', 400, "line 1, column 14"),
        ("POST", "/v1/apis/echo/jobs", b"[" * 5000, 400, "recursion"),
        ("POST", "/v1/apis/echo/jobs", b"\xff\xfe", 400, "not JSON"),
        ("POST", "/v1/apis/echo/jobs", b"[]", 422, "JSON object"),
        ("POST", "/v1/apis/echo/jobs", b"{}", 422, "exactly one source"),
        ("POST", "/v1/apis/echo/jobs", b'{"item_lst": {"items": [1]}}', 422, "Did you mean 'item_list'?"),
        ("POST", "/v1/apis/echo/jobs", b'{"item_list": {"items": []}}', 422, "/item_list/items"),
        ("POST", "/v1/apis/echo/jobs", b'{"item_list": {"items": [1e999]}}', 422, "/item_list/items/0"),
        ("POST", "/v1/apis/echo/jobs", b'{"item_list": {"items": [1], "bach_size": 2}}', 422, "'batch_size'"),
        ("POST", "/v1/apis/echo/jobs", b'{"jsonl": {"uri": "file:///etc/passwd"}}', 422, "fetch.allowed_directories"),
        ("POST", "/v1/apis/echo/jobs", b'{"jsonl": {"uri": "s3://b/x"}}', 422, "fetch.allowed_s3_prefixes"),
        ("POST", "/v1/apis/echo/jobs", b'{"directory": {"path": "photos"}}', 422, "file:///absolute/path"),
        (
            "POST",
            "/v1/apis/echo/jobs",
            b'{"item_list": {"items": [' + b"1," * 100 + b"1]}}",
            413,
            "limits.inline_items",
        ),
        ("POST", "/v1/apis/echo/jobs", b'{"item_list": {"items": ["' + b"x" * 1000 + b'"]}}', 413, "payload_bytes"),
        ("POST", "/v1/apis/echo/jobs", b" " * 30_000, 413, "limits.request_bytes"),
        ("POST", "/v1/apis/echo/jobs?dryrun=true", b"{}", 400, "Did you mean 'dry_run'?"),
        ("POST", "/v1/apis/echo/jobs?dry_run=maybe", b'{"item_list": {"items": [1]}}', 400, "true nor false"),
        ("GET", "/v1/jobs?limit=0", None, 400, "from 1 to 100"),
        ("GET", "/v1/jobs?state=runing", None, 400, "Did you mean 'running'?"),
        ("GET", "/v1/jobs?api=ecco", None, 404, "Known APIs: echo"),
        ("GET", "/v1/jobs?after=none", None, 404, "none"),
    ],
)
def test_a_wrong_request_is_told_what_is_wrong_where_and_what_to_do(
    client: HttpClient, method: str, path: str, body: bytes | None, status: int, said: str
) -> None:
    headers = {} if body is None else {"content_type": "application/json"}
    assert said in client(method, path, raw=body, status=status, **headers)["detail"]


def test_a_body_of_another_type_is_refused(client: HttpClient) -> None:
    for path in ("jobs", "items"):
        problem = client("POST", f"/v1/apis/echo/{path}", raw=b"{}", status=415, content_type="text/plain")
        assert "application/" in problem["detail"]


def test_every_error_has_its_pointer(client: HttpClient) -> None:
    body = {"item_list": {"items": [1]}, "timeout": -1, "confg": {}}
    problem = client("POST", "/v1/apis/echo/jobs", body, status=422)
    assert {error["pointer"] for error in problem["errors"]} == {"/timeout", "/confg"}


def test_health_readiness_and_the_document_are_served(client: HttpClient) -> None:
    assert client("GET", "/healthz", status=200) == {"status": "ok"}
    assert client("GET", "/readyz", status=200) == {"status": "ready"}
    assert client("GET", "/openapi.json", status=200)["openapi"] == "3.1.0"


def test_a_store_that_is_down_is_unavailable_and_leaves_no_job(harness: GatewayHarness) -> None:
    class DownStore:
        def __getattr__(self, name: str) -> Any:
            def fail(*_: Any) -> Any:
                raise ServiceUnavailable("the store at s3://bucket does not answer")

            return fail

    before = harness.read(harness.topics.jobs)
    with harness.gateway(store=DownStore()) as client:
        problem = client("POST", "/v1/apis/echo/jobs", inline(1), status=503)
        assert "s3://bucket" in problem["detail"]
        assert client.headers["Retry-After"] == "5"
        assert "Store: " in client("GET", "/readyz", status=503)["detail"]
    assert harness.read(harness.topics.jobs) == before


def test_a_port_that_is_taken_and_an_address_beyond_this_machine_are_refused(
    harness: GatewayHarness, client: HttpClient
) -> None:
    for listen, said in ((client.url.removeprefix("http://"), "is taken"), ("0.0.0.0:0", "other machines")):
        gateway = harness.settings.gateway.model_copy(update={"listen": listen})
        with (
            pytest.raises(ConfigError, match=said),
            ExitStack() as stack,
        ):
            stack.enter_context(harness.gateway(harness.settings.model_copy(update={"gateway": gateway})))
