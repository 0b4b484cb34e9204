"""The client of programs, with and without asyncio, against a gateway on a real broker; the test writes what tracker
and sink would."""

import asyncio
import json
import tarfile
import threading
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest

import stream_infer
from connectors.formats.jsonl import error_line
from stream_infer.cli.composition import source_opener
from stream_infer.clients import calls
from stream_infer.clients.client import Client
from stream_infer.clients.errors import (
    Conflict,
    GatewayUnavailable,
    JobIncomplete,
    RequestRefused,
    TooLarge,
    UnknownApi,
    UnknownJob,
    WaitTimeout,
)
from stream_infer.clients.gateway import Gateway
from stream_infer.clients.planning import Plan
from stream_infer.clients.steps import Retries
from stream_infer.dead_letters import dead_letter, read_dead_letter
from stream_infer.errors import Stage
from stream_infer.headers import item_headers, item_id_of, read_item
from stream_infer.jobs.counts import Counts
from stream_infer.jobs.events import Reopened
from stream_infer.jobs.log_lines import LogLine, encode_line
from stream_infer.jobs.manifest import Kind
from stream_infer.jobs.spec import Job, decode_job
from stream_infer.jobs.status import Cause, State
from stream_infer.records import Failure, OutgoingRecord
from stream_infer.uploads import UPLOADS
from tests.support.gateway import GatewayHarness, result_of
from tests.support.items import message_at
from tests.support.settings import settings_for

MANY = 12_000  # more items than travel in a request
PNG = b"\x89PNG"


@pytest.fixture(scope="module")
def harness(bootstrap_servers: str, tmp_path_factory: pytest.TempPathFactory) -> GatewayHarness:
    folder = tmp_path_factory.mktemp("client")
    return GatewayHarness(settings_for(bootstrap_servers, f"t-client-{time.time_ns()}", folder))


@pytest.fixture(scope="module")
def url(harness: GatewayHarness) -> Iterator[str]:
    with harness.gateway() as client:
        yield client.url


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    with stream_infer.client(url) as client:
        yield client


def kept(harness: GatewayHarness, job_id: str) -> Job:
    """What `{p}.jobs` has of it."""
    [message] = [each for each in harness.read(harness.topics.jobs) if each.key == job_id.encode()]
    return decode_job(message.value or b"")


def sent(harness: GatewayHarness, uri: str) -> bytes:
    """The bytes of an upload."""
    folder = f"{UPLOADS}{uri.removeprefix('upload:').partition('/')[0]}"
    keys = sorted(found.key for found in harness.store.list(folder))
    return b"".join(harness.store.get(key) for key in keys if not key.endswith(".json"))


def succeed(harness: GatewayHarness, job_id: str, items: int) -> None:
    counts = Counts(enqueued=items, succeeded=items)
    harness.status(job_id, state=State.SUCCEEDED, exhausted=True, counts=counts, times={"succeeded": time.time()})


def test_items_that_are_few_travel_in_the_request(harness: GatewayHarness, client: Client) -> None:
    job = client.submit("echo", [1, {"a": "ü"}], config={"top": 3}, timeout=60.0)
    written = kept(harness, job.id)
    assert (job.api, str(job.state), job.is_final) == ("echo", "validating", False)
    assert (written.config, written.timeout, written.items) == ({"top": 3}, 60.0, 2)
    assert harness.store.get(written.submission or "") == '1\n{"a":"ü"}\n'.encode()


def test_items_that_are_many_are_sent_as_a_file(harness: GatewayHarness, client: Client) -> None:
    for items in (({"n": n} for n in range(MANY)), [{"n": n} for n in range(MANY)]):
        written = kept(harness, client.submit("echo", items).id)
        assert written.jsonl is not None
        lines = sent(harness, written.jsonl.uri).splitlines()
        assert [json.loads(line)["n"] for line in lines] == list(range(MANY))


def test_a_tables_rows_are_items(harness: GatewayHarness, client: Client) -> None:
    import pandas as pd

    written = kept(harness, client.submit("echo", pd.DataFrame({"x": [0.5, None], "s": ["a", "b"]})).id)
    assert written.jsonl is not None
    assert sent(harness, written.jsonl.uri) == b'{"x": 0.5, "s": "a"}\n{"x": null, "s": "b"}\n'


def test_a_folder_that_the_gateway_reads_is_named_and_any_other_is_sent(
    harness: GatewayHarness, client: Client, tmp_path: Path
) -> None:
    allowed = Path(harness.settings.fetch.allowed_directories[0]) / "pictures"
    elsewhere = tmp_path / "pictures"
    for folder in (allowed, elsewhere):
        folder.mkdir()
        (folder / "1.jpg").write_bytes(b"\xff\xd8")
        (folder / "2.jpg").write_bytes(b"")
    here = kept(harness, client.submit("echo", allowed, includes=["*.jpg"]).id)
    assert here.directory is not None
    assert (here.directory.path, here.directory.includes) == (str(allowed), ["*.jpg"])
    for source in (elsewhere, sorted(elsewhere.iterdir())):
        packed = kept(harness, client.submit("echo", source).id)
        assert packed.tar is not None
        with tarfile.open(fileobj=BytesIO(sent(harness, packed.tar.uri))) as archive:
            assert archive.getnames() == ["1.jpg", "2.jpg"]


def test_a_file_that_the_gateway_may_not_read_is_sent_with_the_rest_of_the_spec(
    harness: GatewayHarness, client: Client, tmp_path: Path
) -> None:
    (tmp_path / "t.csv").write_text("a\n1\n")
    for source in (tmp_path / "t.csv", {"csv": {"uri": (tmp_path / "t.csv").as_uri(), "header": False}}):
        written = kept(harness, client.submit("echo", source, workers=1).id)
        assert written.csv is not None
        assert sent(harness, written.csv.uri) == b"a\n1\n"
        assert written.csv.header is isinstance(source, Path)
        assert written.workers == 1


def test_a_job_that_is_refused_leaves_no_upload(harness: GatewayHarness, client: Client) -> None:
    before = len(list(harness.store.list(UPLOADS)))
    with pytest.raises(RequestRefused, match="workers") as error:
        client.submit("echo", ({"n": n} for n in range(MANY)), workers=99)
    assert error.value.status == 422
    assert len(list(harness.store.list(UPLOADS))) == before
    with pytest.raises(UnknownApi, match="Known APIs: echo"):
        client.submit("ech", [1])


def test_a_submission_whose_answer_is_lost_is_one_job(
    harness: GatewayHarness, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = Gateway(url, retries=Retries(first_s=0.01))
    send, lost = httpx.Client.send, []

    def lose_the_first(self: httpx.Client, request: httpx.Request, **more: Any) -> httpx.Response:
        response = send(self, request, **more)
        if request.method == "POST" and not lost:
            response.close()
            lost.append(response.status_code)
            raise httpx.ReadError("lost")
        return response

    monkeypatch.setattr(httpx.Client, "send", lose_the_first)
    with closing(gateway):
        job = Client(gateway).submit("echo", [1, 2, 3])
    assert lost == [202]
    assert len(harness.events(job.id)) == 1


def test_a_key_of_the_callers_is_the_same_job_in_another_run(client: Client, url: str) -> None:
    key = f"monday-{time.time_ns()}"
    with stream_infer.client(url) as another:
        assert client.submit("echo", [1], idempotency_key=key).id == another.submit("echo", [1], idempotency_key=key).id
        with pytest.raises(RequestRefused, match="Idempotency-Key") as error:
            another.submit("echo", [2], idempotency_key=key)
    assert error.value.kind == "idempotency-conflict"


def test_jobs_are_listed_over_all_pages_newest_first(
    harness: GatewayHarness, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [client.submit("echo", [n]).id for n in range(5)]
    pages = calls.jobs
    monkeypatch.setattr(calls, "jobs", lambda **asked: pages(**{**asked, "limit": 2}))
    assert [job.id for job in client.jobs(api="echo")][:5] == ids[::-1]
    assert client.get_job(ids[0]).id == ids[0]
    harness.status(ids[1], state=State.FAILED, errors=("why",))
    until(lambda: ids[1] in {job.id for job in client.jobs(state="failed")})
    with pytest.raises(UnknownJob, match="stream-infer get"):
        client.get_job("none")


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_job_is_waited_for_and_read(harness: GatewayHarness, client: Client, tmp_path: Path) -> None:
    job = client.submit("echo", list(range(3)))
    with pytest.raises(WaitTimeout, match="goes on"):
        job.wait(timeout=0.2, progress=False)
    commit(harness, job.id)
    seen: list[str] = []
    ended = threading.Timer(0.3, succeed, (harness, job.id, 3))
    ended.start()
    assert job.wait(timeout=30, progress=lambda status: seen.append(str(status.state))) is job
    ended.join()
    assert seen[-1] == str(job.state) == "succeeded"
    assert job.require_success().counts.succeeded == 3

    results = list(job.results())
    assert [(result.item_id, result.output) for result in results[:2]] == [
        (f"{job.id}-0", {"n": 0}),
        (f"{job.id}-1", {"n": 1}),
    ]
    assert results[2].output == PNG
    assert list(job.results().to_dataframe()["output.n"][:2]) == [0, 1]
    assert job.results().download(tmp_path / "out") == tmp_path / "out" / "results.jsonl"
    assert (tmp_path / "out" / "item-2.png").read_bytes() == PNG
    [failure] = job.failures()
    assert (failure.stage, failure.exception, failure.message) == ("predict", "builtins.KeyError", "'x'")
    assert job.failures().download(tmp_path / "out").read_bytes().count(b"\n") == 1
    assert next(job.results()).output == {"n": 0}, "whoever has enough stops"


def commit(harness: GatewayHarness, job_id: str) -> None:
    """Two results of JSON, one of bytes, and a failure."""
    packed = {"base64": b64encode(PNG).decode(), "content_type": "image/png"}
    picture = json.dumps({"item_id": f"{job_id}-2", "content_type": "image/png", "output": packed}).encode() + b"\n"
    lines = [result_of(job_id, 0), result_of(job_id, 1), picture]
    harness.commit_object(job_id, Kind.RESULTS, "a.jsonl", lines, (0, 2))
    headers = item_headers(job_id=job_id, item_id=item_id_of(job_id, 3))
    item = read_item(message_at("echo.items", 0, 3, b"1", headers))
    failure = Failure(Stage.PREDICT, "builtins.KeyError", "'x'", "")
    letter = dead_letter(item, failure, "echo.dlq", predictor="Echo", worker="w", api_version="1")
    line = error_line(read_dead_letter(message_at("echo.dlq", 0, 0, letter.value or b"", letter.headers)))
    harness.commit_object(job_id, Kind.ERRORS, "b.jsonl", [line], (3, 3))


def test_a_stop_and_an_end_with_failures_are_told(harness: GatewayHarness, client: Client) -> None:
    job = client.submit("echo", [1])
    counts = Counts(enqueued=1, skipped=1)
    harness.status(job.id, state=State.STOPPED, cause=Cause.STOP, exhausted=True, counts=counts)
    until(lambda: client.get_job(job.id).is_final)
    assert str(job.stop().state) == "stopped"
    assert str(client.stop_job(job.id).state) == "stopped"
    with pytest.raises(JobIncomplete, match="stopped, 1/1 item, 1 skipped"):
        job.require_success()


def fail(harness: GatewayHarness, job_id: str) -> None:
    """Its two items: with a KeyError and a ValueError."""
    failures = (Failure(Stage.PREDICT, f"builtins.{name}", "'x'", "") for name in ("KeyError", "ValueError"))
    harness.reject(*((job_id, b"1", failure) for failure in failures))
    counts = Counts(enqueued=2, rejected=2, written=2, sunk=2)
    harness.status(job_id, state=State.COMPLETED_WITH_FAILURES, generation=1, exhausted=True, counts=counts)


def run_again(harness: GatewayHarness, job_id: str) -> threading.Thread:
    """As the tracker does, once the replay has said so."""

    def show() -> None:
        until(lambda: any(isinstance(event, Reopened) for event in harness.events(job_id)))
        harness.status(job_id, state=State.ENQUEUING, generation=2)

    shown = threading.Thread(target=show)
    shown.start()
    return shown


def test_dead_letters_run_again_and_the_job_is_the_one_that_runs(harness: GatewayHarness, client: Client) -> None:
    job = client.submit("echo", [1, 1])
    with pytest.raises(Conflict, match="once it has reached a final state"):
        job.replay()
    fail(harness, job.id)
    job.refresh()
    assert job.is_final
    with pytest.raises(RequestRefused, match="refs"):
        job.replay(refs=[])
    shown = run_again(harness, job.id)
    done = job.replay(exception="KeyError")
    shown.join()
    assert (done.replayed, done.generation, done.is_complete, done.refused) == (1, 2, True, [])
    assert (job.status.generation, job.is_final) == (2, False)

    # Those that belong to no job.
    harness.reject((None, b"2", Failure(Stage.DECODE, "builtins.TypeError", "it is bytes", "")))
    assert client.replay("echo", stage="predict").replayed == 0
    assert client.replay("echo", message="bytes").replayed == 1
    assert client.replay("echo", message="bytes").already_replayed == 1


def test_what_would_be_enqueued_is_listed_and_nothing_is(harness: GatewayHarness, client: Client) -> None:
    before = len(harness.read(harness.topics.jobs))
    plan = client.dry_run("echo", [1, {"a": "ü"}, "x"], limit=2, config={"a": 1})
    assert ([one.item for one in plan.items], plan.is_all, plan.error) == ([1, {"a": "ü"}], False, None)
    assert client.dry_run("echo", [1]).is_all
    with pytest.raises(UnknownApi):
        client.dry_run("nothing", [1])
    assert len(harness.read(harness.topics.jobs)) == before


def test_a_file_that_is_sent_for_a_plan_is_removed_again(harness: GatewayHarness, tmp_path: Path) -> None:
    (tmp_path / "items.jsonl").write_text('{"n": 1}\n{broken\n')
    opened = source_opener(harness.settings, harness.store)
    before = len(list(harness.store.list(UPLOADS)))
    with (
        harness.gateway(read_source=lambda job: opened(job).read(None)) as gateway,
        stream_infer.client(gateway.url) as reading,
    ):
        plan = reading.dry_run("echo", tmp_path / "items.jsonl")
    first, second = plan.items
    assert (first.item, first.bytes, plan.is_all) == ({"n": 1}, 8, True)
    assert (first.source or "").endswith("#line=1")
    assert (second.item, (second.error or "")[:8]) == (None, "not JSON")
    assert len(list(harness.store.list(UPLOADS))) == before


def say(harness: GatewayHarness, job_id: str, *lines: str) -> None:
    for line in lines:
        said = LogLine(at=time.time(), job_id=job_id, role="worker", who="w.0", line=line, fields={})
        harness.send(OutgoingRecord(harness.topics.logs, job_id.encode(), encode_line(said)))


def test_logs_are_read_and_followed_to_the_jobs_end(harness: GatewayHarness, client: Client) -> None:
    job = client.submit("echo", [1])
    say(harness, job.id, "one", "two")
    until(lambda: len(list(job.logs())) == 2)
    ended = threading.Timer(0.3, lambda: (say(harness, job.id, "three"), succeed(harness, job.id, 1)))
    ended.start()
    assert [line.line for line in job.logs(follow=True)] == ["one", "two", "three"]
    ended.join()


def test_an_apis_fields_can_be_had_as_items(client: Client, url: str) -> None:
    [api] = client.apis()
    assert api["endpoint"] == api.endpoint == f"{url}/echo"
    assert client.get_api("echo")["name"] == "echo"
    with pytest.raises(KeyError):
        api["nothing"]
    with pytest.raises(UnknownApi):
        client.get_api("nothing")


def test_what_is_over_a_limit_is_told_though_it_is_not_read_to_its_end(
    harness: GatewayHarness, bootstrap_servers: str
) -> None:
    limited = harness.settings.model_copy(
        update={"limits": harness.settings.limits.model_copy(update={"upload_bytes": 100_000})}
    )
    with (
        harness.gateway(limited) as gateway,
        stream_infer.client(gateway.url) as client,
        pytest.raises(TooLarge, match=r"limits\.upload_bytes"),
    ):
        client.submit("echo", ("x" * 1000 for _ in range(MANY)))


def test_a_gateway_that_is_away_is_not_asked_forever(url: str) -> None:
    with stream_infer.client("http://127.0.0.1:9", tries=1) as client, pytest.raises(GatewayUnavailable):
        client.apis()


def test_coroutines_have_all_of_it(harness: GatewayHarness, url: str, tmp_path: Path) -> None:
    async def items() -> AsyncIterator[dict[str, int]]:
        for n in range(5):
            yield {"n": n}

    async def program() -> None:
        async with stream_infer.async_client(url) as client:
            job = await client.submit("echo", items(), config={"a": 1})
            written = kept(harness, job.id)
            assert written.jsonl is not None
            assert len(sent(harness, written.jsonl.uri).splitlines()) == 5
            many = await asyncio.gather(*(client.submit("echo", [n]) for n in range(5)))
            assert len({one.id for one in many}) == 5
            with pytest.raises(UnknownApi):
                await client.submit("nothing", [1])
            with pytest.raises(WaitTimeout):
                await job.wait(timeout=0.1, progress=False)
            commit(harness, job.id)
            say(harness, job.id, "one")
            succeed(harness, job.id, 3)
            assert (await job.wait(timeout=30, progress=False)).is_final
            assert [result.output async for result in job.results()][:2] == [{"n": 0}, {"n": 1}]
            assert (await job.results().download(tmp_path)).name == "results.jsonl"
            assert len(await job.results().to_dataframe()) == 3
            assert [failure.stage async for failure in job.failures()] == ["predict"]
            assert [line.line async for line in job.logs(follow=True)] == ["one"]
            assert [line.line async for line in job.logs()] == ["one"]
            assert job.id in [one.id async for one in client.jobs(api="echo")]
            assert (await client.get_job(job.id)).id == (await job.refresh()).id
            plan = await client.dry_run("echo", items(), limit=3)
            assert isinstance(plan, Plan)
            failed = await client.submit("echo", [1, 1])
            fail(harness, failed.id)
            shown = run_again(harness, failed.id)
            assert (await failed.replay()).replayed == 2
            shown.join()
            assert (failed.status.generation, failed.is_final) == (2, False)
            assert (await client.replay("echo", stage="predict")).replayed == 0
            assert (await client.get_api("echo"))["endpoint"] == f"{url}/echo"
            assert [api.name for api in await client.apis()] == ["echo"]
            assert str((await client.stop_job(job.id)).state) == str((await job.stop()).state) == "succeeded"

    asyncio.run(program())
