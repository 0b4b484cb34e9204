"""Webhooks on a real broker; the test itself writes what the tracker would. Their receiver is the standard's own."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stream_infer.cli.app import main
from stream_infer.cli.composition import poster_of
from stream_infer.jobs import deliveries
from stream_infer.jobs.counts import Counts
from stream_infer.jobs.status import Cause, State
from stream_infer.kafka.admin import group_lag
from stream_infer.records import OutgoingRecord
from stream_infer.webhooks import new_secret
from tests.support.gateway import GatewayHarness, HttpClient
from tests.support.gateway_process import gateway_process
from tests.support.receiver import Receiver, receiving, until
from tests.support.settings import settings_for

OLD, NEW, OF_JOB = new_secret(), new_secret(), new_secret()
SPEC = {"item_list": {"items": [1]}}


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with receiving(OLD) as receiver:
        yield receiver


@pytest.fixture(scope="module")
def harness(bootstrap_servers: str, tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> GatewayHarness:
    """Shared by the tests here, since creating topics takes seconds: a test looks at its own jobs only."""
    webhooks = {"url": receiver.url, "secrets": [NEW, OLD], "allow_private_addresses": True, "timeout": 60.0}
    folder = tmp_path_factory.mktemp("webhooks")
    return GatewayHarness(settings_for(bootstrap_servers, f"t-webhooks-{time.time_ns()}", folder, webhooks=webhooks))


@pytest.fixture(scope="module")
def client(harness: GatewayHarness) -> Iterator[HttpClient]:
    with harness.gateway(poster=poster_of(harness.settings)) as client:
        yield client


@pytest.fixture(autouse=True)
def _anew(monkeypatch: pytest.MonkeyPatch, receiver: Receiver) -> None:
    """Attempts come after 0.1 s, then 0.4 s and so on; and the receiver has heard of nothing."""
    monkeypatch.setattr(deliveries, "FIRST_S", 0.1)
    receiver.secret, receiver.held = OLD, None
    receiver.answers, receiver.told, receiver.refused = [], [], []


def submitted(client: HttpClient, **options: Any) -> str:
    return str(client("POST", "/v1/apis/echo/jobs", {**SPEC, **options}, status=202)["job_id"])


def end(harness: GatewayHarness, job_id: str, state: State = State.SUCCEEDED, **fields: Any) -> None:
    harness.status(job_id, state=state, times={state.value: time.time()}, exhausted=True, **fields)


def told(client: HttpClient, job_id: str, is_so: Callable[[Any], bool]) -> Any:
    """The job's webhook once the one event that it has is so."""

    def look() -> Any:
        return client("GET", f"/v1/jobs/{job_id}", status=200)["webhook"]

    return until(look, lambda webhook: len(webhook["deliveries"]) == 1 and is_so(webhook["deliveries"][0]))


def all_noted(harness: GatewayHarness) -> None:
    """Returns once what was said of jobs so far is, with the group's place behind it."""
    group, topic = harness.topics.webhooks_group, harness.topics.status
    until(lambda: sum(group_lag(harness.settings, group, [topic]).values()), lambda lag: lag == 0)


def is_in(state: str) -> Callable[[Any], bool]:
    return lambda delivery: delivery["state"] == state


def test_the_end_of_a_job_is_told_signed_until_its_receiver_takes_it(
    harness: GatewayHarness, client: HttpClient, receiver: Receiver
) -> None:
    receiver.answers = [500, (503, {"Retry-After": "1"}), (302, {"Location": "/elsewhere"})]
    job_id = submitted(client)
    assert client("GET", f"/v1/jobs/{job_id}", status=200)["webhook"]["deliveries"] == []
    harness.status(job_id, state=State.RUNNING)
    end(harness, job_id, State.COMPLETED_WITH_FAILURES, counts=Counts(enqueued=3, succeeded=2, rejected=1))

    webhook = told(client, job_id, is_in("delivered"))

    first, second, third, last = receiver.told
    assert {one.id for one in receiver.told} == {webhook["deliveries"][0]["id"]}
    assert {json.dumps(one.event) for one in receiver.told} == {json.dumps(first.event)}
    assert last.signatures == 2
    assert third.at - second.at >= 1.0
    assert first.event["type"] == "job.completed_with_failures"
    assert first.event["data"]["job_id"] == job_id
    assert first.event["data"]["counts"]["succeeded"] == 2
    [delivery] = webhook["deliveries"]
    assert (delivery["attempts"], delivery["status"], delivery["event"]) == (4, 200, "job.completed_with_failures")
    assert webhook["url"].endswith("/hook?…")
    assert receiver.refused == []


def test_no_secret_and_no_token_stands_anywhere_but_in_the_job_that_brought_it(
    harness: GatewayHarness, client: HttpClient, receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    receiver.secret, receiver.answers = OF_JOB, [500]
    job_id = submitted(client, webhook={"url": receiver.url, "secret": OF_JOB})
    end(harness, job_id)
    told(client, job_id, is_in("delivered"))

    topics = harness.topics
    shown = [client("GET", path, status=200) for path in (f"/v1/jobs/{job_id}", "/v1/jobs", "/v1/webhooks")]
    shown += [client("GET", f"/v1/jobs/{job_id}/logs", status=200), capsys.readouterr()]
    kept = [harness.read(topic) for topic in (topics.status, topics.webhooks, topics.progress, topics.logs)]
    for secret in (OF_JOB, OLD, NEW, "hunter2"):
        assert secret not in repr(shown)
        assert secret not in repr(kept)
    assert OF_JOB in repr(harness.read(topics.jobs))


@pytest.mark.parametrize(
    ("state", "cause"), [(State.STOPPED, Cause.STOP), (State.TIMED_OUT, Cause.TIMEOUT), (State.FAILED, Cause.FAILURE)]
)
def test_each_way_to_end_is_an_event_of_its_own(
    harness: GatewayHarness, client: HttpClient, receiver: Receiver, state: State, cause: Cause
) -> None:
    job_id = submitted(client)
    end(harness, job_id, state, cause=cause)

    assert receiver.wait(1)[0].event["type"] == f"job.{state.value}"


def test_a_receiver_that_says_410_is_asked_no_more(
    harness: GatewayHarness, client: HttpClient, receiver: Receiver
) -> None:
    receiver.answers = [410]
    job_id = submitted(client)
    end(harness, job_id)

    assert told(client, job_id, is_in("gone"))["deliveries"][0]["attempts"] == 1
    receiver.answers = [500]
    another = submitted(client)
    end(harness, another)
    told(client, another, is_in("delivered"))  # and its second attempt came later than one of the other would have
    assert [one.event["data"]["job_id"] for one in receiver.told] == [job_id, another, another]


def test_only_the_events_that_were_asked_for_are_told(
    harness: GatewayHarness, client: HttpClient, receiver: Receiver
) -> None:
    quiet = submitted(client, webhook={"url": receiver.url, "events": ["job.failed"]})
    heard = submitted(client)
    end(harness, quiet)
    end(harness, heard)

    receiver.wait(1)
    all_noted(harness)
    assert [one.event["data"]["job_id"] for one in receiver.told] == [heard]
    assert client("GET", f"/v1/jobs/{quiet}", status=200)["webhook"]["deliveries"] == []


def test_a_job_that_runs_again_is_told_of_again_under_another_id(
    harness: GatewayHarness, client: HttpClient, receiver: Receiver
) -> None:
    job_id = submitted(client)
    end(harness, job_id, State.COMPLETED_WITH_FAILURES)
    receiver.wait(1)
    end(harness, job_id, State.COMPLETED_WITH_FAILURES)  # said again, it says nothing new
    harness.status(job_id, state=State.RUNNING, generation=2)
    end(harness, job_id, generation=2)

    receiver.wait(2)
    all_noted(harness)
    first, second = receiver.told
    assert first.id != second.id
    assert [one.event["data"]["generation"] for one in (first, second)] == [1, 2]


def test_a_place_that_nothing_may_be_sent_to_is_refused_or_where_a_name_hides_it_tried_and_said_to_be_that(
    bootstrap_servers: str, topic_prefix: str, tmp_path: Path, receiver: Receiver
) -> None:
    harness = GatewayHarness(settings_for(bootstrap_servers, topic_prefix, tmp_path, webhooks={"secrets": [OLD]}))
    with harness.gateway(poster=poster_of(harness.settings)) as client:
        refused = client("POST", "/v1/apis/echo/jobs", {**SPEC, "webhook": receiver.url}, status=422)
        assert "webhooks.allow_private_addresses" in refused["detail"]
        job_id = submitted(client, webhook=receiver.url.replace("127.0.0.1", "localhost"))
        end(harness, job_id)

        webhook = told(client, job_id, lambda delivery: delivery["attempts"] >= 2)

    assert "is not a public address: it is loopback" in webhook["deliveries"][0]["reason"]
    assert (receiver.told, receiver.refused) == ([], [])


def test_a_gateway_that_is_killed_while_it_tells_leaves_that_to_another_one_which_tells_it_under_the_same_id(
    bootstrap_servers: str, topic_prefix: str, tmp_path: Path, receiver: Receiver
) -> None:
    receiver.held = threading.Event()
    webhooks = {"url": receiver.url, "secrets": [OLD], "allow_private_addresses": True}
    harness = GatewayHarness(settings_for(bootstrap_servers, topic_prefix, tmp_path, webhooks=webhooks))
    settings = harness.settings
    settings = settings.model_copy(update={"kafka": settings.kafka.model_copy(update={"session_timeout": 6.0})})
    with gateway_process(settings, tmp_path) as first:
        asked = HttpClient(first.url)
        job_id = submitted(asked)
        asked.close()
        end(harness, job_id)
        receiver.wait(1)
        first.process.kill()
        first.process.wait()
    receiver.held.set()
    with gateway_process(settings, tmp_path) as second:
        asked = HttpClient(second.url)
        webhook = told(asked, job_id, is_in("delivered"))
        asked.close()
    before, after = receiver.told
    assert before.id == after.id == webhook["deliveries"][0]["id"]
    assert before.event == after.event


def test_several_gateways_share_the_telling_and_each_end_is_told_under_one_id(
    harness: GatewayHarness, client: HttpClient, receiver: Receiver
) -> None:
    count = 20
    with harness.gateway(poster=poster_of(harness.settings)) as second:
        jobs = [submitted((client, second)[number % 2]) for number in range(count)]
        for job_id in jobs:
            end(harness, job_id)

        def delivered() -> set[str]:
            found = second("GET", "/v1/webhooks?state=delivered", status=200)["deliveries"]
            return {one["job_id"] for one in found} & set(jobs)

        until(delivered, lambda found: len(found) == count)
    of_job = {(one.event["data"]["job_id"], one.id) for one in receiver.told}
    assert len(of_job) == count
    assert {job_id for job_id, _ in of_job} == set(jobs)


def test_what_was_told_is_read_page_by_page_the_newest_first(
    harness: GatewayHarness, client: HttpClient, receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = [submitted(client) for _ in range(5)]
    for job_id in jobs:
        end(harness, job_id)
        told(client, job_id, is_in("delivered"))

    pages, edge = [], ""
    while not pages or pages[-1]["has_more"]:
        pages.append(client("GET", f"/v1/webhooks?api=echo&limit=2{edge}", status=200))
        edge = f"&after={pages[-1]['deliveries'][-1]['id']}"
    found = [one for page in pages for one in page["deliveries"]]
    assert [one["job_id"] for one in found[:5]] == jobs[::-1]
    assert len({one["id"] for one in found}) == len(found)
    assert client("GET", f"/v1/webhooks?job_id={jobs[0]}{edge}", status=200)["deliveries"] == []

    with pytest.raises(SystemExit):
        main(["webhooks", "ls", "--limit", "2", "--gateway", client.url])
    older = pages[0]["deliveries"][-1]["id"]
    assert f"--after {older}" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["webhooks", "ls", "--limit", "2", "--after", older, "-o", "json", "--gateway", client.url])
    assert json.loads(capsys.readouterr().out) == pages[1]


def test_what_was_told_is_told_again_from_the_command_line_with_the_same_id(
    harness: GatewayHarness, client: HttpClient, receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*arguments: str) -> tuple[int, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            main([*arguments, "--gateway", client.url])
        return int(caught.value.code or 0), capsys.readouterr().out

    receiver.answers = [410]
    job_id = submitted(client)
    end(harness, job_id)
    told(client, job_id, is_in("gone"))
    code, out = run("webhooks", "ls", job_id)
    assert (code, "gone" in out, "webhooks replay" in out) == (0, True, True)
    assert "it answers 410 Gone" in run("get", job_id)[1]

    assert run("webhooks", "replay", job_id) == (0, f"1 event is told again\n  stream-infer webhooks ls {job_id}\n")
    told(client, job_id, is_in("delivered"))
    assert len(json.loads(run("webhooks", "ls", "echo", "-o", "json")[1])["deliveries"]) >= 1
    [delivery] = json.loads(run("webhooks", "ls", job_id, "-o", "json")[1])["deliveries"]
    assert run("webhooks", "replay", delivery["id"])[0] == 0
    assert [one.id for one in receiver.wait(3)] == [delivery["id"]] * 3
    told(client, job_id, is_in("delivered"))

    assert run("webhooks", "replay", "--state", "given_up")[0] == 1
    assert run("webhooks", "replay", "msg_nothing")[0] == 1
    assert run("webhooks", "replay")[0] == 2
    assert run("webhooks", "ls", "nobody")[0] == 2
    for path, body, status in (
        ("/v1/webhooks?job_id=nobody", None, 404),
        ("/v1/webhooks?api=nobody", None, 404),
        ("/v1/webhooks?state=lost", None, 400),
        ("/v1/webhooks?after=msg_nothing", None, 400),
        ("/v1/webhooks/replay", {}, 422),
        ("/v1/webhooks/replay", {"job_id": "nobody"}, 404),
        ("/v1/webhooks/replay", {"state": "lost"}, 422),
    ):
        client("GET" if body is None else "POST", path, body, status=status)


def test_what_was_told_of_a_job_is_forgotten_with_it_and_the_group_has_read_all_there_is(
    harness: GatewayHarness, client: HttpClient, receiver: Receiver
) -> None:
    job_id = submitted(client)
    end(harness, job_id)
    told(client, job_id, is_in("delivered"))
    harness.send(OutgoingRecord(harness.topics.status, job_id.encode(), None))

    def found() -> Any:
        return client("GET", f"/v1/webhooks?job_id={job_id}", status=200)["deliveries"]

    until(found, lambda deliveries: deliveries == [])
    key = f"{job_id}/job.succeeded/1".encode()
    assert [said.value for said in harness.read(harness.topics.webhooks) if said.key == key][-1] is None
    all_noted(harness)


def test_an_end_that_came_while_there_was_no_gateway_is_told_by_the_next_one(
    bootstrap_servers: str, topic_prefix: str, tmp_path: Path, receiver: Receiver
) -> None:
    webhooks = {"url": receiver.url, "secrets": [OLD], "allow_private_addresses": True}
    harness = GatewayHarness(settings_for(bootstrap_servers, topic_prefix, tmp_path, webhooks=webhooks))
    with harness.gateway(poster=poster_of(harness.settings)) as first:
        job_id = submitted(first)
    end(harness, job_id, State.FAILED)

    with harness.gateway(poster=poster_of(harness.settings)) as second:
        webhook = told(second, job_id, is_in("delivered"))

    assert [one.id for one in receiver.told] == [webhook["deliveries"][0]["id"]]
    assert receiver.told[0].event["type"] == "job.failed"


def test_an_end_for_which_there_is_no_place_any_more_is_told_once_there_is_one_and_somebody_asks(
    bootstrap_servers: str, topic_prefix: str, tmp_path: Path, receiver: Receiver
) -> None:
    webhooks = {"url": receiver.url, "secrets": [OLD], "allow_private_addresses": True}
    harness = GatewayHarness(settings_for(bootstrap_servers, topic_prefix, tmp_path, webhooks=webhooks))
    nowhere = harness.settings.model_copy(
        update={"webhooks": harness.settings.webhooks.model_copy(update={"url": None})}
    )
    with harness.gateway(poster=poster_of(harness.settings)) as client:
        job_id = submitted(client)
    end(harness, job_id)
    with harness.gateway(nowhere, poster=poster_of(nowhere)) as client:
        until(
            lambda: client("GET", f"/v1/webhooks?job_id={job_id}&state=withdrawn", status=200)["deliveries"],
            lambda found: len(found) == 1,
        )
    assert receiver.told == []

    with harness.gateway(poster=poster_of(harness.settings)) as client:
        client("POST", "/v1/webhooks/replay", {"state": "withdrawn"}, status=202)
        told(client, job_id, is_in("delivered"))
    assert len(receiver.told) == 1


def test_an_event_that_nobody_can_read_or_that_is_nobodys_holds_up_no_other(
    harness: GatewayHarness, client: HttpClient, receiver: Receiver
) -> None:
    for value in (b"{", b"{}", b'{"kind":"delivery"}', b"\xff"):
        harness.send(OutgoingRecord(harness.topics.webhooks, b"strange/job.failed/1", value))
    harness.status("nobody", state=State.FAILED)
    job_id = submitted(client)
    end(harness, job_id)

    assert receiver.wait(1)[0].event["data"]["job_id"] == job_id
