"""Dead letters run again, on real roles: each ends once more and no oftener, whoever asks, is fenced or is killed."""

import http.client
import json
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from connectors.formats import jsonl
from stream_infer.cli.app import main
from stream_infer.cli.composition import fetcher_of, source_opener
from stream_infer.errors import Fenced, TransactionAborted
from stream_infer.gateway.board import KnownJob
from stream_infer.gateway.dead_letters import abandoned as abandoned_replays
from stream_infer.gateway.dead_letters import replay as replaying
from stream_infer.gateway.dead_letters import replay_resource
from stream_infer.gateway.dead_letters.choice import JobIsRunning, ReplayStopped, Request
from stream_infer.gateway.dead_letters.replay import Replay
from stream_infer.gateway.dead_letters.search import topic_ends
from stream_infer.headers import item_headers, read_item
from stream_infer.intake.run import run as run_intake
from stream_infer.jobs.events import Counted, Exhausted, Reopened, encode_event
from stream_infer.jobs.replays import ReplayMark, read_replays
from stream_infer.jobs.spec import decode_job, encode_job
from stream_infer.jobs.status import JobStatus, State, decode_status
from stream_infer.kafka.partitioner import partition_of
from stream_infer.kafka.producer import TransactionalProducer
from stream_infer.kafka.views import read_compacted
from stream_infer.records import OutgoingRecord, Position
from stream_infer.sink.role import run as run_sink
from stream_infer.tracker import run as run_tracker
from stream_infer.worker.run import run as run_worker
from tests.support.gateway import GatewayHarness, HttpClient
from tests.support.gateway_process import gateway_process
from tests.support.roles import give_up, running
from tests.support.settings import predictor, settings_for

WAIT_S = 60.0
CHUNK = 3


class Killed(Exception):
    """Stands for the end of the process: nothing after it happens."""


class Roles(GatewayHarness):
    """All roles but the gateway in threads; `mended` is the file that mends the predictor."""

    def __init__(self, bootstrap_servers: str, folder: Path) -> None:
        self.mended = folder / "mended"
        api = {
            "predictor": predictor("mending.py:Mending", mended=str(self.mended)),
            "breaker": {"max_ratio": 1},
        }
        parts = {"intake": {"chunk_items": CHUNK}, "sink": {"flush_age": 1.0, "eof_linger": 0.1}}
        super().__init__(settings_for(bootstrap_servers, f"t-replay-{time.time_ns()}", folder, api=api, **parts))

    def start(self, opened: ExitStack) -> HttpClient:
        settings, store = self.settings, self.store
        opened.enter_context(running(lambda stop, ready: run_tracker(settings, stop, ready)))
        opened.enter_context(
            running(
                lambda stop, ready: run_intake(
                    settings, store, source_opener(settings, store), stop=stop, on_ready=ready
                )
            )
        )
        opened.enter_context(running(lambda stop, ready: run_sink(settings, store, jsonl, stop, ready)))
        self.start_worker(opened)
        return opened.enter_context(self.gateway())

    def start_worker(self, opened: ExitStack) -> None:
        api, fetcher = self.settings.apis[0], fetcher_of(self.settings)
        opened.enter_context(
            running(
                lambda stop, ready: run_worker(
                    self.settings, api, fetcher, self.store, stop=stop, on_ready=ready, on_unavailable=give_up
                )
            )
        )

    def result_ids(self, job_id: str) -> Counter[str]:
        items = map(read_item, self.read(self.topics.api("echo").results))
        return Counter(item.item_id for item in items if item.job_id == job_id)

    def find(self, job_id: str) -> KnownJob | None:
        """What a gateway knows of it, read anew."""
        place, kafka = partition_of(job_id, self.settings.jobs.partitions), self.settings.kafka
        job = read_compacted(kafka, self.topics.jobs, place, decode_job).get(job_id)
        status = read_compacted(kafka, self.topics.status, place, decode_status).get(job_id)
        return None if job is None or status is None else KnownJob(job, status)

    def peek(self, job_id: str) -> KnownJob | None:
        return self.find(job_id)

    def replayed(self, job_id: str) -> list[Position]:
        """Of the job's dead letters those that are remembered."""
        found = read_replays(self.settings.kafka, self.topics.replays, job_id=job_id).replayed
        return [Position(topic, *place) for topic, places in found.items() for place in places]

    def replay(self, job_id: str | None, jobs: Any = None) -> Replay:
        return Replay(self.settings, self.store, jobs or self, Request("echo", job_id))


@pytest.fixture(scope="module")
def roles(bootstrap_servers: str, tmp_path_factory: pytest.TempPathFactory) -> Roles:
    return Roles(bootstrap_servers, tmp_path_factory.mktemp("replay"))


@pytest.fixture(scope="module")
def client(roles: Roles) -> Iterator[HttpClient]:
    with ExitStack() as opened:
        yield roles.start(opened)


@pytest.fixture(autouse=True)
def broken(roles: Roles, monkeypatch: pytest.MonkeyPatch) -> None:
    roles.mended.unlink(missing_ok=True)
    monkeypatch.setattr(replay_resource, "_SHOWN_WITHIN_S", 60.0)


def until(look: Callable[[], Any], is_so: Callable[[Any], bool]) -> Any:
    deadline = time.monotonic() + WAIT_S
    while not is_so(seen := look()):
        assert time.monotonic() < deadline, seen
        time.sleep(0.05)
    return seen


def ended(client: HttpClient, job_id: str, generation: int = 1) -> Any:
    """The job once it is final in `generation`."""
    return until(
        lambda: client("GET", f"/v1/jobs/{job_id}", status=200),
        lambda job: job["is_final"] and job["generation"] == generation,
    )


def failed_job(client: HttpClient, bad: int, good: int = 2, **spec: Any) -> str:
    """A job that has ended with `bad` rejected and `good` succeeded items."""
    items = [{"n": -n} for n in range(1, bad + 1)] + [{"n": n} for n in range(good)]
    job = client("POST", "/v1/apis/echo/jobs", {"item_list": {"items": items}, **spec}, status=202)
    counts = ended(client, job["job_id"])["counts"]
    assert (counts["rejected"], counts["succeeded"]) == (bad, good)
    return str(job["job_id"])


def replay(client: HttpClient, owner: str, status: int = 200, **body: Any) -> Any:
    return client("POST", f"/v1/{owner}/dlq/replay", body, status=status)


def lines(data: bytes) -> list[Any]:
    return [json.loads(line) for line in data.splitlines()]


def success(roles: Roles, job_id: str) -> bool:
    return roles.store.exists(f"echo/{job_id}/_SUCCESS")


def check_all_succeeded(roles: Roles, client: HttpClient, job_id: str, bad: int, good: int = 2) -> None:
    """Every item has one result, the job's counts, its manifest and its endpoints say the same."""
    job = ended(client, job_id, 2)
    assert job["state"] == "succeeded"
    counts = {"enqueued": bad + good, "succeeded": bad + good, "rejected": 0, "waiting": 0, "reopened": bad}
    assert counts.items() <= job["counts"].items()
    assert roles.result_ids(job_id) == Counter({f"{job_id}-{n}": 1 for n in range(bad + good)})
    results = lines(client("GET", f"/v1/jobs/{job_id}/results", status=200))
    assert [line["item_id"] for line in results] == [f"{job_id}-{n}" for n in range(bad + good)]
    assert client("GET", f"/v1/jobs/{job_id}/failures", status=200) == b""
    manifest = json.loads(roles.store.get(f"echo/{job_id}/manifest.json"))
    assert {record["kind"] for record in manifest["objects"]} == {"results"}
    assert {record["generation"] for record in manifest["objects"]} == {1, 2}
    assert sum(record["count"] for record in manifest["objects"]) == bad + good
    assert success(roles, job_id)


def test_a_replay_moves_a_jobs_items_from_rejected_to_succeeded_in_a_generation_finalized_again(
    roles: Roles, client: HttpClient
) -> None:
    job_id = failed_job(client, bad=7, timeout=600)
    deadline = client("GET", f"/v1/jobs/{job_id}", status=200)["deadline"]
    listed = client("GET", f"/v1/jobs/{job_id}/dlq", status=200)
    [group] = listed["groups"]
    assert (group["stage"], group["exception"], group["count"]) == ("predict", "mending.NegativeNumber", 7)
    assert group["message"] == "negative"
    assert group["example"] in [letter["ref"] for letter in listed["dead_letters"]]
    roles.mended.touch()

    done = replay(client, f"jobs/{job_id}")

    assert (done["replayed"], done["already_replayed"], done["generation"], done["is_complete"]) == (7, 0, 2, True)
    check_all_succeeded(roles, client, job_id, bad=7)
    assert client("GET", f"/v1/jobs/{job_id}", status=200)["deadline"] > deadline
    events = [event for event in roles.events(job_id) if event.generation == 2]
    assert [type(event) for event in events[:2]] == [Reopened, Counted]
    taken_back = [event.delta for event in events if isinstance(event, Counted) and event.delta.reopened]
    assert [delta.reopened for delta in taken_back] == [3, 3, 1], "as many as a transaction holds"
    assert [delta.rejected for delta in taken_back] == [-3, -3, -1]
    assert len([event for event in events if isinstance(event, Exhausted)]) == 1
    after = client("GET", f"/v1/jobs/{job_id}/dlq", status=200)
    assert (after["groups"], after["dead_letters"], after["replayed"]) == ([], [], 7)
    again = client("GET", f"/v1/jobs/{job_id}/dlq?replayed=true", status=200)
    assert [letter["is_replayed"] for letter in again["dead_letters"]] == [True] * 7

    second = replay(client, f"jobs/{job_id}")

    assert (second["replayed"], second["already_replayed"], second["generation"]) == (0, 7, None)
    check_all_succeeded(roles, client, job_id, bad=7)


def test_what_fails_again_is_a_new_dead_letter_and_may_run_again(roles: Roles, client: HttpClient) -> None:
    job_id = failed_job(client, bad=4)
    refs = [letter["ref"] for letter in client("GET", f"/v1/jobs/{job_id}/dlq", status=200)["dead_letters"]]

    assert replay(client, f"jobs/{job_id}", refs=refs[:3])["replayed"] == 3
    job = ended(client, job_id, 2)
    assert (job["state"], job["counts"]["rejected"], job["counts"]["reopened"]) == ("completed_with_failures", 4, 3)
    failures = lines(client("GET", f"/v1/jobs/{job_id}/failures", status=200))
    assert [line["item_id"] for line in failures] == [f"{job_id}-{n}" for n in range(4)], "each once"
    manifest = json.loads(roles.store.get(f"echo/{job_id}/manifest.json"))
    errors = [record for record in manifest["objects"] if record["kind"] == "errors"]
    stored = [line for record in errors for line in lines(roles.store.get(record["key"]))]
    assert sorted(line["item_id"] for line in stored) == [f"{job_id}-{n}" for n in range(4)]
    assert sum(record["count"] for record in errors) == 4

    roles.mended.touch()
    assert (
        replay(client, f"jobs/{job_id}", exception="NegativeNumber", message="negat", stage="predict")["replayed"] == 4
    )
    job = ended(client, job_id, 3)
    assert (job["state"], job["counts"]["rejected"], job["counts"]["reopened"]) == ("succeeded", 0, 7)
    assert roles.result_ids(job_id) == Counter({f"{job_id}-{n}": 1 for n in range(6)})


def test_two_who_replay_at_once_replay_each_item_once(roles: Roles, client: HttpClient) -> None:
    job_id = failed_job(client, bad=10)
    roles.mended.touch()
    with roles.gateway() as other:
        answers: list[tuple[int, Any]] = []

        def ask(one: HttpClient) -> None:
            answer = one._pool.request(
                "POST", f"{one.url}/v1/jobs/{job_id}/dlq/replay", body=b"{}",
                headers={"content-type": "application/json"},
            )  # fmt: skip
            answers.append((answer.status, answer.json()))

        threads = [threading.Thread(target=ask, args=(one,)) for one in (client, client, other, other)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert {status for status, _ in answers} <= {200, 409}, answers
    until(lambda: client._pool.request("POST", f"{client.url}/v1/jobs/{job_id}/dlq/replay", body=b"{}", headers={
        "content-type": "application/json"}).status, lambda status: status == 200)  # fmt: skip
    check_all_succeeded(roles, client, job_id, bad=10)


class DyingAfter:
    """A replay's view of jobs that ends it once it has looked so often between transactions."""

    def __init__(self, roles: Roles, looks: int, error: Exception) -> None:
        self.find = roles.find
        self._roles = roles
        self._looks = looks
        self._error = error

    def peek(self, job_id: str) -> KnownJob | None:
        self._looks -= 1
        if self._looks < 0:
            raise self._error
        return self._roles.peek(job_id)


def test_a_replay_that_was_killed_in_the_middle_is_gone_on_with(roles: Roles, client: HttpClient) -> None:
    job_id = failed_job(client, bad=8)
    roles.mended.touch()
    killed = roles.replay(job_id, DyingAfter(roles, 1, Killed()))

    with pytest.raises(Killed):
        killed.run()

    assert killed.progress.replayed == 6
    until(lambda: roles.find(job_id), lambda known: known.status.generation == 2 and known.status.counts.succeeded == 8)
    job = client("GET", f"/v1/jobs/{job_id}", status=200)
    assert not job["is_final"], "nobody has said that this was all"
    until(lambda: success(roles, job_id), lambda there: not there)
    done = replay(client, f"jobs/{job_id}")
    assert (done["replayed"], done["already_replayed"], done["generation"]) == (2, 6, 2)
    check_all_succeeded(roles, client, job_id, bad=8)


def test_a_gateway_killed_in_the_middle_of_a_replay_leaves_what_the_same_command_goes_on_with(
    roles: Roles, client: HttpClient, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job_id, bad = failed_job(client, bad=450), 450
    roles.mended.touch()
    one_by_one = roles.settings.intake.model_copy(update={"chunk_items": 1})
    with (
        gateway_process(roles.settings.model_copy(update={"intake": one_by_one}), tmp_path) as gateway,
        closing(http.client.HTTPConnection(urlsplit(gateway.url).netloc, timeout=WAIT_S)) as connection,
    ):
        connection.request("POST", f"/v1/jobs/{job_id}/dlq/replay", b"{}", {"content-type": "application/json"})
        until(lambda: client("GET", f"/v1/jobs/{job_id}", status=200)["counts"]["reopened"], lambda count: count > 20)
        gateway.process.send_signal(signal.SIGKILL)
        assert gateway.process.wait(WAIT_S) == -signal.SIGKILL

    with pytest.raises(SystemExit) as left:
        main(["dlq", "replay", job_id, "--wait", "--output", "json", "--gateway", client.url])

    assert left.value.code in (0, None), capsys.readouterr().err
    told = [event for event in roles.events(job_id) if event.generation == 2]
    reopened = [event.delta.reopened for event in told if isinstance(event, Counted) and event.delta.reopened]
    killed_after = reopened.count(1)
    assert 20 < killed_after < bad - CHUNK, "each of the first gateway's transactions held one"
    assert sum(reopened) == bad
    assert [type(event) for event in told].count(Reopened) == [type(event) for event in told].count(Exhausted) == 1
    check_all_succeeded(roles, client, job_id, bad=bad)


def test_what_a_replay_had_not_committed_when_it_was_killed_never_was(roles: Roles, client: HttpClient) -> None:
    job_id = failed_job(client, bad=4)
    roles.mended.touch()
    dead = Producer(
        {
            "bootstrap.servers": roles.settings.kafka.bootstrap,
            "transactional.id": f"{roles.topics.prefix}.echo.replay",
            "transaction.timeout.ms": 60_000,
        }
    )
    dead.init_transactions(10)
    dead.begin_transaction()
    for message in roles.read(roles.topics.api("echo").dlq):
        dead.produce(roles.topics.api("echo").items, message.value, message.key, headers=list(message.headers))
    event = Reopened(job_id=job_id, at=time.time(), generation=2)
    dead.produce(roles.topics.progress, encode_event(event), job_id.encode())
    dead.flush(10)

    assert replay(client, f"jobs/{job_id}")["replayed"] == 4

    check_all_succeeded(roles, client, job_id, bad=4)
    dead.purge()


def test_a_job_whose_replay_died_ends_when_another_job_is_replayed(roles: Roles, client: HttpClient) -> None:
    left, other = failed_job(client, bad=4), failed_job(client, bad=1)
    roles.mended.touch()
    with pytest.raises(Killed):
        roles.replay(left, DyingAfter(roles, 0, Killed())).run()
    assert replay(client, f"jobs/{other}")["replayed"] == 1
    job = ended(client, left, 2)
    assert (job["counts"]["rejected"], job["counts"]["succeeded"]) == (1, 5)
    assert replay(client, f"jobs/{left}")["replayed"] == 1
    assert ended(client, left, 3)["state"] == "succeeded"


def test_a_job_whose_replay_died_and_that_nobody_replays_again_ends_by_itself(
    roles: Roles, client: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = failed_job(client, bad=8)
    roles.mended.touch()
    with pytest.raises(Killed):
        roles.replay(job_id, DyingAfter(roles, 1, Killed())).run()
    monkeypatch.setattr(abandoned_replays, "LOOK_EVERY_S", 0.1)
    monkeypatch.setattr(abandoned_replays, "ABANDONED_AFTER_S", 3.0)
    with roles.gateway():
        job = ended(client, job_id, 2)
    assert job["times"]["finalizing_at"] > replays_of(roles, job_id)[0].at + 3.0, "not while somebody may be at it"
    assert (job["counts"]["rejected"], job["counts"]["succeeded"]) == (2, 8)
    assert replay(client, f"jobs/{job_id}")["replayed"] == 2
    assert ended(client, job_id, 3)["state"] == "succeeded"


def test_a_replay_that_goes_on_for_long_says_so(
    roles: Roles, client: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = failed_job(client, bad=8)
    monkeypatch.setattr(replaying, "MARK_EVERY_S", 0.0)
    assert replay(client, f"jobs/{job_id}")["replayed"] == 8
    ended(client, job_id, 2)
    marks = replays_of(roles, job_id)
    assert [mark.is_open for mark in marks] == [True] * (len(marks) - 1) + [False]
    assert len(marks) > 2, "opened, renewed, closed"


def replays_of(roles: Roles, job_id: str) -> list[ReplayMark]:
    """Every mark of the job that was ever written."""
    key = f"job:{job_id}".encode()
    records = roles.read(roles.topics.replays)
    return [ReplayMark.model_validate_json(record.value) for record in records if record.key == key and record.value]


def test_a_replay_that_was_fenced_stops(roles: Roles, client: HttpClient) -> None:
    job_id = failed_job(client, bad=8)
    roles.mended.touch()
    seen: list[Any] = []

    class Overtaken(DyingAfter):
        def peek(self, job_id: str) -> KnownJob | None:
            if not seen:
                until(lambda: roles.find(job_id), lambda known: known.status.generation == 2)
                seen.append(replay(client, f"jobs/{job_id}"))
            return roles.peek(job_id)

    fenced = roles.replay(job_id, Overtaken(roles, 99, Killed()))
    with pytest.raises(Fenced):
        fenced.run()
    assert fenced.progress.replayed + seen[0]["replayed"] == 8
    check_all_succeeded(roles, client, job_id, bad=8)


def test_only_a_final_job_is_replayed(roles: Roles, client: HttpClient) -> None:
    job_id = failed_job(client, bad=4)
    status = roles.find(job_id)
    assert status is not None
    busy = client("POST", "/v1/apis/echo/jobs", {"item_list": {"items": [{"n": 1}]}}, status=202)["job_id"]
    ended(client, busy)
    fake = "running-" + str(time.time_ns())
    key = fake.encode()
    job = status.job.model_copy(update={"job_id": fake})
    roles.send(OutgoingRecord(roles.topics.jobs, key, encode_job(job)))
    roles.status(fake, state=State.RUNNING, submitted_at=time.time())
    problem = replay(client, f"jobs/{fake}", status=409)
    assert problem["type"].endswith(":job-not-final")
    assert "is running" in problem["detail"]
    with pytest.raises(JobIsRunning):
        roles.replay(fake).run()
    roles.status(fake, state=State.SUCCEEDED, submitted_at=time.time())


def test_a_job_that_is_stopped_while_it_is_replayed_ends(roles: Roles, client: HttpClient) -> None:
    job_id = failed_job(client, bad=8)

    class Stopped(DyingAfter):
        def peek(self, job_id: str) -> KnownJob | None:
            until(lambda: roles.find(job_id), lambda known: known.status.generation == 2)
            client("DELETE", f"/v1/jobs/{job_id}", status=200)
            return roles.peek(job_id)

    stopped = roles.replay(job_id, Stopped(roles, 99, Killed()))
    with pytest.raises(ReplayStopped, match="stopped"):
        stopped.run()
    job = ended(client, job_id, 2)
    assert (job["state"], job["counts"]["waiting"], success(roles, job_id)) == ("stopped", 0, False)
    roles.mended.touch()
    assert replay(client, f"jobs/{job_id}")["generation"] == 3
    job = ended(client, job_id, 3)
    assert (job["state"], success(roles, job_id), job["counts"]["rejected"]) == ("stopped", False, 0)
    assert job["counts"]["succeeded"] + job["counts"]["skipped"] == 10


def rows_of(roles: Roles, job_id: str, generation: int) -> list[JobStatus]:
    """Every row of the job in that generation that was ever written."""
    records = roles.read(roles.topics.status)
    rows = [decode_status(record.value) for record in records if record.key == job_id.encode() and record.value]
    return [row for row in rows if row is not None and row.generation == generation]


def stop(roles: Roles, client: HttpClient, job_id: str) -> None:
    until(lambda: roles.find(job_id), lambda known: known.status.generation == 2)
    client("DELETE", f"/v1/jobs/{job_id}", status=200)


def test_a_job_that_is_stopped_just_as_a_replay_has_looked_does_not_end_before_the_replay_has(
    roles: Roles, client: HttpClient
) -> None:
    job_id = failed_job(client, bad=8)
    seen: list[KnownJob] = []

    class TooEarly(DyingAfter):
        def peek(self, job_id: str) -> KnownJob | None:
            if seen:
                return roles.peek(job_id)
            until(lambda: roles.find(job_id), lambda known: known.status.generation == 2)
            seen.append(roles.peek(job_id))
            stop(roles, client, job_id)
            until(lambda: roles.find(job_id), lambda known: not known.status.counts.waiting and is_sunk(known.status))
            return seen[0]

    with pytest.raises(ReplayStopped, match="stopped"):
        roles.replay(job_id, TooEarly(roles, 99, Killed())).run()

    assert ended(client, job_id, 2)["counts"]["reopened"] == 2 * CHUNK
    finals = [row.counts for row in rows_of(roles, job_id, 2) if row.state in (State.FINALIZING, State.STOPPED)]
    assert all(counts == finals[0] for counts in finals)
    assert (finals[0].reopened, finals[0].waiting) == (2 * CHUNK, 0)
    assert [mark.is_open for mark in replays_of(roles, job_id)] == [True, False]


def is_sunk(status: JobStatus) -> bool:
    return status.counts.written == status.counts.sunk


def test_a_replay_whose_transaction_is_aborted_looks_again_before_it_repeats_it(
    roles: Roles, client: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = failed_job(client, bad=8)
    tries: list[int] = []

    class Aborting(TransactionalProducer):
        def transact(self, records: Any, offsets: Any, *args: Any) -> None:
            tries.append(len(records))
            if len(tries) == 2:
                stop(roles, client, job_id)
                raise TransactionAborted("by the test")
            super().transact(records, offsets, *args)

    monkeypatch.setattr(replaying, "TransactionalProducer", Aborting)
    with pytest.raises(ReplayStopped, match="stopped"):
        roles.replay(job_id).run()

    job = ended(client, job_id, 2)
    assert (job["state"], job["counts"]["reopened"]) == ("stopped", CHUNK)
    assert len(tries) == 3, "opened, aborted, closed"


def test_a_stopped_job_whose_replay_died_ends_by_itself(
    roles: Roles, client: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = failed_job(client, bad=8)
    with pytest.raises(Killed):
        roles.replay(job_id, DyingAfter(roles, 1, Killed())).run()
    stop(roles, client, job_id)
    monkeypatch.setattr(abandoned_replays, "LOOK_EVERY_S", 0.1)
    monkeypatch.setattr(abandoned_replays, "ABANDONED_AFTER_S", 3.0)
    with roles.gateway():
        job = ended(client, job_id, 2)
    assert (job["state"], job["counts"]["reopened"], job["counts"]["waiting"]) == ("stopped", 2 * CHUNK, 0)
    [last] = [mark for mark in replays_of(roles, job_id) if not mark.is_open]
    assert job["times"]["finalizing_at"] >= last.at, "not before somebody has said that this was all"


def test_dead_letters_of_no_job_and_of_other_writers_run_again(roles: Roles, client: HttpClient) -> None:
    job_id = failed_job(client, bad=1)
    names = roles.topics.api("echo")
    key, value = b"k", b'{"n": 5}'
    before = len(roles.read(names.results))
    foreign = [
        (("mine", b"1"), ("__connect.errors.topic", b"orders"), ("__connect.errors.stage", b"TASK_PUT")),
        (("kafka_dlt-original-topic", b"orders"), ("kafka_dlt-original-offset", (7).to_bytes(8, "big")),
         ("kafka_dlt-exception-cause-fqcn", b"java.lang.Boom")),
        (("__dlq.errors.topic", b"orders"), ("__dlq.errors.group", b"g"), ("si-job-id", job_id.encode())),
    ]  # fmt: skip
    roles.send(*(OutgoingRecord(names.dlq, key, value, headers) for headers in foreign))
    roles.send(OutgoingRecord(names.items, b"own", b'{"n": -5}', item_headers(item_id="own-1")))
    of_none = until(
        lambda: [one for one in client("GET", "/v1/apis/echo/dlq", status=200)["dead_letters"] if not one["job_id"]],
        lambda found: len(found) == 4,
    )
    assert {one["writer"] for one in of_none} == {"worker", "kafka-connect", "spring", "share-group"}
    shown = next(one for one in of_none if one["writer"] == "spring")
    assert (shown["exception"], shown["origin"]["offset"]) == ("java.lang.Boom", 7)
    letter = client("GET", f"/v1/jobs/{job_id}/dlq", status=200)["dead_letters"][0]
    refused = replay(client, "apis/echo", refs=[letter["ref"]])
    assert (refused["replayed"], refused["of_jobs"], refused["unknown"]) == (0, 1, [])
    roles.mended.touch()

    done = replay(client, "apis/echo")

    assert (done["replayed"], done["job_id"], done["generation"]) == (4, None, None)
    assert done["of_jobs"] >= 1
    results = until(lambda: roles.read(names.results), lambda found: len(found) == before + 4)
    fresh = [read_item(message) for message in results]
    assert {"own-1", *(f"{names.dlq}-{one['ref']}" for one in of_none if one["writer"] != "worker")} <= {
        item.item_id for item in fresh
    }
    assert replay(client, "apis/echo")["replayed"] == 0
    assert ended(client, job_id)["counts"]["rejected"] == 1
    assert client("GET", f"/v1/jobs/{job_id}", status=200)["generation"] == 1


def test_a_dead_letter_that_was_replayed_long_ago_does_not_run_again_while_it_is_there(
    roles: Roles, client: HttpClient
) -> None:
    job_id = failed_job(client, 2)
    roles.mended.touch()
    assert replay(client, f"jobs/{job_id}")["replayed"] == 2
    ended(client, job_id, 2)
    jobs = roles.settings.jobs.model_copy(update={"retention": 0.001})
    settings = roles.settings.model_copy(update={"jobs": jobs})
    replayed = set(roles.replayed(job_id))

    later = Replay(settings, roles.store, roles, Request("echo", job_id))
    later.run()

    assert (later.progress.replayed, later.progress.already_replayed) == (0, 2)
    assert set(roles.replayed(job_id)) == replayed

    dlq = roles.topics.api("echo").dlq
    admin = AdminClient({"bootstrap.servers": settings.kafka.bootstrap, "log_level": 0})
    ends = topic_ends(settings.kafka, dlq)
    for gone in admin.delete_records([TopicPartition(dlq, number, end) for number, end in ends.items()]).values():
        gone.result()
    Replay(settings, roles.store, roles, Request("echo", job_id)).run()
    assert roles.replayed(job_id) == []


def test_payloads_are_exported_to_the_byte_and_can_be_submitted_again(
    roles: Roles, client: HttpClient, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    job_id = failed_job(client, bad=3)

    def command(*arguments: str) -> tuple[int, str, str]:
        capsysbinary.readouterr()
        with pytest.raises(SystemExit) as caught:
            main([*arguments, "--gateway", client.url])
        out, err = capsysbinary.readouterr()
        return int(caught.value.code or 0), out.decode(), err.decode()

    code, out, err = command("dlq", "export", job_id)
    assert code == 0, err
    assert sorted(line["payload"]["n"] for line in lines(out.encode())) == [-3, -2, -1]
    folder = tmp_path / "out"
    code, out, err = command("dlq", "export", job_id, "--dir", str(folder))
    assert (code, "3 payloads" in out) == (0, True), err
    index = [json.loads(line) for line in (folder / "index.jsonl").read_text().splitlines()]
    by_item = {entry["item_id"]: (folder / entry["file"]).read_bytes() for entry in index}
    assert by_item == {f"{job_id}-{n}": b'{"n":-%d}' % (n + 1) for n in range(3)}
    code, out, err = command("dlq", "show", job_id, index[0]["ref"])
    assert (code, "negative" in out, "NegativeNumber" in out) == (0, True, True), err
    code, out, err = command("dlq", "ls", job_id, "--output", "json", "--exception", "KeyError")
    assert (code, json.loads(out)["groups"]) == (0, [])
    roles.mended.touch()
    code, out, err = command("submit", "echo", *(data.decode() for data in by_item.values()), "--wait")
    assert code == 0, err
    code, out, err = command("dlq", "replay", job_id, index[0]["ref"], "--output", "json")
    assert (code, json.loads(out)["replayed"]) == (0, 1), err
    ended(client, job_id, 2)
    code, out, err = command("dlq", "replay", job_id, "--wait")
    assert (code, "2 dead letters run again in generation 3" in out) == (0, True), out + err
    code, out, err = command("dlq", "replay", job_id, "0-999999")
    assert (code, "has no dead letter" in err) == (2, True), out + err
    code, out, err = command("dlq", "replay", job_id, "nonsense")
    assert (code, "PARTITION-OFFSET" in err) == (2, True), out + err


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"refs": []}, 422, "/refs"),
        ({"refs": ["0-1"], "stage": "predict"}, 422, "either"),
        ({"exeption": "x"}, 422, "exception"),
        ({"refs": ["x"]}, 404, "PARTITION-OFFSET"),
        ({"refs": ["0-99999999"]}, 404, "0-99999999"),
    ],
)
def test_a_wrong_request_is_told_what_is_wrong(client: HttpClient, body: Any, status: int, said: str) -> None:
    assert said in replay(client, "apis/echo", status=status, **body)["detail"]
