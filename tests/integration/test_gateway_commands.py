"""The commands that talk to a gateway, as a user types them; the test writes what the other roles would."""

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from rich.console import Console

from stream_infer.cli import completion
from stream_infer.cli.app import main
from stream_infer.cli.following import follow
from stream_infer.clients.gateway import Gateway
from stream_infer.errors import Stage
from stream_infer.jobs.counts import Counts
from stream_infer.jobs.manifest import Kind
from stream_infer.jobs.status import Cause, State
from stream_infer.records import Failure
from stream_infer.uploads import UPLOADS, upload_of
from tests.support.gateway import GatewayHarness, HttpClient, result_of
from tests.support.interrupts import hear_ctrl_c
from tests.support.settings import settings_for


class Ended(NamedTuple):
    code: int
    out: str
    err: str


Command = Callable[..., Ended]


@pytest.fixture(scope="module")
def harness(bootstrap_servers: str, tmp_path_factory: pytest.TempPathFactory) -> GatewayHarness:
    folder = tmp_path_factory.mktemp("commands")
    return GatewayHarness(settings_for(bootstrap_servers, f"t-commands-{time.time_ns()}", folder))


@pytest.fixture(scope="module")
def client(harness: GatewayHarness) -> Iterator[HttpClient]:
    with harness.gateway() as client:
        yield client


@pytest.fixture
def command(client: HttpClient, capsysbinary: pytest.CaptureFixture[bytes]) -> Command:
    """Runs one command in this process."""

    def run(*arguments: str) -> Ended:
        capsysbinary.readouterr()
        with pytest.raises(SystemExit) as caught:
            main([*arguments, "--gateway", client.url])
        out, err = capsysbinary.readouterr()
        return Ended(int(caught.value.code or 0), out.decode(), err.decode())

    return run


def submitted(command: Command, *items: str) -> str:
    ended = command("submit", "echo", *items, "--output", "json")
    assert ended.code == 0, ended.err
    return str(json.loads(ended.out)["job_id"])


def test_a_job_is_submitted_and_said_how_to_go_on(command: Command, harness: GatewayHarness) -> None:
    ended = command("submit", "echo", '{"n": 1}', "hello", "--config", "top=2", "--timeout", "60")
    assert ended.code == 0
    assert "stream-infer get" in ended.out
    [body] = json.loads(command("get", "echo", "--limit", "1", "--output", "json").out)["jobs"]
    assert (body["config"], body["timeout"]) == ({"top": 2}, 60)
    assert harness.store.get(body["source"]["item_list"]["submission"]) == b'{"n":1}\n"hello"\n'


def test_a_dry_run_says_what_would_come(command: Command) -> None:
    ended = command("submit", "echo", "1", "2", "--dry-run")
    assert ended.code == 0
    assert ended.out == "  1\n  2\necho would get 2 items.\n"
    ended = command("submit", "echo", "1", "2", "3", "--dry-run", "--limit", "2")
    assert ended.out == "  1\n  2\necho would get more than 2 items; see --limit.\n"
    ended = command("submit", "echo", "1", "--dry-run", "--output", "json")
    assert [json.loads(line) for line in ended.out.splitlines()] == [
        {"ordinal": 0, "item": 1},
        {"items": 1, "is_all": True},
    ]


def test_a_file_that_the_gateway_may_not_read_is_sent(
    command: Command, harness: GatewayHarness, tmp_path: Path
) -> None:
    (tmp_path / "my items.jsonl").write_text("1\n2\n")
    ended = command("submit", "echo", "--file", str(tmp_path / "my items.jsonl"), "--output", "json")
    assert ended.code == 0, ended.err
    assert "my items.jsonl is sent to the gateway, which does not read it here: 4 bytes." in ended.err
    uri = json.loads(ended.out)["source"]["jsonl"]["uri"]
    upload = upload_of(uri)
    assert upload is not None
    assert upload.name == "my_items.jsonl"
    assert harness.store.get(upload.part(0)) == b"1\n2\n"

    (tmp_path / "none.jsonl").write_text("")
    before = list(harness.store.list(UPLOADS))
    ended = command("submit", "echo", "--file", str(tmp_path / "none.jsonl"), "--dry-run")
    assert (ended.code, list(harness.store.list(UPLOADS))) == (2, before)
    ended = command("submit", "nobody", "--file", str(tmp_path / "my items.jsonl"))
    assert (ended.code, list(harness.store.list(UPLOADS))) == (2, before)


@pytest.mark.parametrize(
    ("state", "cause", "code"),
    [(State.SUCCEEDED, None, 0), (State.COMPLETED_WITH_FAILURES, None, 1), (State.STOPPED, Cause.STOP, 1)],
)
def test_waiting_ends_with_the_job_and_its_exit_code(
    command: Command, harness: GatewayHarness, client: HttpClient, state: State, cause: Cause | None, code: int
) -> None:
    before = {job["job_id"] for job in client("GET", "/v1/jobs?limit=100", status=200)["jobs"]}

    def track() -> None:
        other = HttpClient(client.url)
        while not (new := {j["job_id"] for j in other("GET", "/v1/jobs?limit=100", status=200)["jobs"]} - before):
            pass
        [job_id] = new
        harness.status(job_id, state=State.RUNNING, exhausted=True, counts=Counts(enqueued=2, succeeded=1), rate=1.0)
        harness.status(job_id, state=state, cause=cause, exhausted=True, counts=Counts(enqueued=2, succeeded=2))
        other.close()

    tracker = threading.Thread(target=track)
    tracker.start()
    ended = command("submit", "echo", "1", "2", "--wait")
    tracker.join()
    assert ended.code == code
    assert f"{state}, 2/2 items" in ended.out


def test_ctrl_c_while_waiting_leaves_the_job_running_and_says_how_to_go_on(client: HttpClient) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "stream_infer", "submit", "echo", "1", "--wait", "--gateway", client.url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hear_ctrl_c,  # noqa: PLW1509 - takes no lock
    )
    assert process.stdout is not None
    job_id = process.stdout.readline().partition(":")[0]
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert f"Job {job_id} goes on." in err
    assert "Traceback" not in err
    assert client("GET", f"/v1/jobs/{job_id}", status=200)["cause"] is None


def test_a_terminal_sees_a_live_bar(command: Command, harness: GatewayHarness, client: HttpClient) -> None:
    job_id = submitted(command, "1", "2")
    counts = Counts(enqueued=2, succeeded=1, rejected=1)
    harness.status(job_id, state=State.COMPLETED_WITH_FAILURES, exhausted=True, counts=counts)
    out = io.StringIO()
    gateway = Gateway(client.url)
    job = follow(gateway, job_id, Console(file=out, force_terminal=True, width=100))
    gateway.close()
    assert job.is_final
    assert "━" in out.getvalue()
    assert "2/2 items, 1 failed" in out.getvalue()


def test_get_finds_apis_and_jobs_by_their_names(command: Command, harness: GatewayHarness) -> None:
    job_id = submitted(command, "1")
    for arguments in ((), ("echo",), (job_id,), ("echo", job_id)):
        assert job_id in command("get", *arguments).out
    assert "native" in command("get").out
    harness.status(job_id, state=State.FAILED, errors=("the source is gone",))
    assert "the source is gone" in command("get", job_id, "--watch").out


def test_results_are_a_table_or_lines_or_a_file(command: Command, harness: GatewayHarness, tmp_path: Any) -> None:
    job_id = submitted(command, "1")
    assert "no results" in command("results", job_id).out
    lines = [result_of(job_id, n) for n in range(60)]
    harness.commit_object(job_id, Kind.RESULTS, "a.jsonl", lines, (0, 59))
    table = command("results", job_id).out
    assert '{"n": 0}' in table
    assert "more than these 50" in table
    assert command("results", job_id, "--output", "json").out.encode() == b"".join(lines)
    path = tmp_path / "r.jsonl"
    assert "60 results are in" in command("results", job_id, "--output", str(path)).out
    assert path.read_bytes() == b"".join(lines)


def test_a_stop_is_said_to_be_under_way_only_when_it_is(
    command: Command, harness: GatewayHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream_infer.gateway.submitting.STOP_WAIT_S", 0.2)
    job_id = submitted(command, "1")
    assert "has not shown it yet" in command("stop", job_id).out
    harness.status(job_id, state=State.STOPPING, cause=Cause.STOP)
    assert f"Job {job_id} is stopping" in command("stop", job_id).out
    harness.status(job_id, state=State.STOPPED, cause=Cause.STOP)
    assert json.loads(command("stop", job_id, "--output", "json").out)["state"] == "stopped"


def test_dead_letters_are_counted_listed_and_shown(command: Command, harness: GatewayHarness) -> None:
    job_id = submitted(command, "1")
    assert "no dead letters" in command("dlq", "ls", job_id).out
    harness.reject((job_id, b'{"n": -1}', Failure(Stage.PREDICT, "builtins.ValueError", "negative", "Traceback x")))
    listed = command("dlq", "ls", job_id).out
    assert "builtins.ValueError" in listed
    assert "negative" in listed
    [letter] = json.loads(command("dlq", "ls", "echo", "--output", "json").out)["dead_letters"]
    for arguments in ((), (letter["ref"],)):
        shown = command("dlq", "show", job_id, *arguments).out
        assert '"n": -1' in shown
        assert "Traceback x" in shown
        assert shown.count("Traceback x") == 1
    assert json.loads(command("dlq", "show", "echo", letter["ref"], "--output", "json").out)["payload"] == {"n": -1}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("submit", "ecco", "1"), "Did you mean 'echo'?"),
        (
            ("submit", "echo", "--file", "s3://elsewhere/x.jsonl"),
            '      allowed_s3_prefixes:\n        - "s3://elsewhere"',
        ),
        (("submit", "echo"), "ITEM"),
        (("get", "none"), "no API or job is named 'none'. Known APIs: echo; `stream-infer get` lists"),
        (("dlq", "ls", "none"), "no API or job is named 'none'"),
        (("results", "none"), "No job is named 'none'"),
        (("stop", "none"), "`stream-infer get` lists what is known"),
        (("dlq", "show", "echo", "7-7"), "no dead letter 7-7"),
    ],
)
def test_a_mistake_ends_with_2_and_one_sentence(command: Command, arguments: tuple[str, ...], said: str) -> None:
    ended = command(*arguments)
    assert ended.code == 2
    assert said in ended.err
    assert "Traceback" not in ended.err


def test_a_shell_is_offered_the_apis_and_the_newest_jobs(
    command: Command, client: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(completion, "PATIENCE_S", 60.0)  # how short it is elsewhere is test_completion.py's
    job_id = submitted(command, "1")

    def offered(line: str) -> list[str]:
        asked = {"_STREAM_INFER_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
        monkeypatch.setattr(os, "environ", {**os.environ, **asked})
        out = io.StringIO()
        with redirect_stdout(out), pytest.raises(SystemExit):
            main([])
        return out.getvalue().split()

    at = f"--gateway {client.url}"
    assert offered(f"stream-infer submit {at} ec") == ["echo"]
    assert job_id in offered(f"stream-infer logs {at} ")
    assert offered(f"stream-infer dlq ls {at} {job_id[:-1]}") == [job_id]
    assert job_id in offered(f"stream-infer get {at} echo ")
    assert offered(f"stream-infer get {at} nobody ") == []
    assert offered(f"stream-infer delete {at} ") == [], "none is there that was deployed"

    # The gateway is the one that the command would ask.
    monkeypatch.setenv("STREAM_INFER_GATEWAY", client.url)
    assert job_id in offered("stream-infer logs ")


def test_what_is_read_is_the_same_in_json_and_in_yaml(command: Command, harness: GatewayHarness) -> None:
    job_id = submitted(command, "1")
    lines = [result_of(job_id, 0)]
    harness.commit_object(job_id, Kind.RESULTS, "a.jsonl", lines, (0, 0))

    as_json, as_yaml = (command("get", job_id, "--output", output).out for output in ("json", "yaml"))
    assert yaml.safe_load(as_yaml) == json.loads(as_json)
    [result] = yaml.safe_load_all(command("results", job_id, "--output", "yaml").out)
    assert result == json.loads(lines[0])
    items = command("submit", "echo", "1", "2", "--dry-run", "--output", "yaml").out
    assert [*yaml.safe_load_all(items)][-1] == {"items": 2, "is_all": True}
