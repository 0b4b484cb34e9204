"""A Cortex user: a cortex.yaml, predictors that are not touched, and `requests` on the APIs' own endpoints."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import requests

from stream_infer.local.free_ports import find_free
from tests.support.gateway import seen
from tests.support.ports import free_neighbours
from tests.support.s3_fixture import S3Server
from tests.support.terminal import Terminal, on_a_terminal
from tests.support.up_process import UpProcess, up_in, wait_for

PROJECT = Path(__file__).parents[1] / "predictors" / "cortex"
CORTEX_YAML = """\
- name: iris
  kind: BatchAPI
  predictor:
    type: python
    path: predictor.py
    config: {factor: 10}
  compute: {cpu: 1, mem: 1Gi}
  networking: {endpoint: iris}
- name: stateful
  kind: BatchAPI
  handler: {type: python, path: stateful.py}
"""
HOTDOG_YAML = """\
- kind: deployment
  name: food
- kind: api
  name: hotdog
  predictor: {path: hotdog.py, metadata: {kinds: {dog.jpg: hotdog, cat.jpg: not hotdog}}}
- kind: RealtimeAPI
  name: menu
  predictor: {type: python, path: menu.py, config: {kinds: {dog.jpg: hotdog, cat.jpg: not hotdog}}}
- kind: RealtimeAPI
  name: kitchen
  handler: {type: python, path: kitchen.py, config: {kinds: {dog.jpg: hotdog, cat.jpg: not hotdog}}}
"""
FINAL = {
    "succeeded", "completed_with_failures", "worker_error", "enqueue_failed", "stopped", "timed_out",
}  # fmt: skip


@pytest.fixture
def project(tmp_path: Path) -> Path:
    shutil.copytree(PROJECT, tmp_path / "project", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "project"


@pytest.fixture
def up_with(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Starts `up -f cortex.yaml`; the rest of its configuration is in the environment, as a cortex.yaml has none."""
    with contextlib.ExitStack() as closing:

        def start(text: str, **environ: str) -> tuple[UpProcess, str]:
            [port] = find_free(1)
            variables = {
                "STREAM_INFER__STATE_DIR": str(project.parent / "state"),
                "STREAM_INFER__STORE": (project.parent / "store").as_uri(),
                "STREAM_INFER__GATEWAY__LISTEN": f"127.0.0.1:{port}",
                "STREAM_INFER__JOBS__PARTITIONS": "2",
                **environ,
            }
            for name, value in variables.items():
                monkeypatch.setenv(name, value)
            (project / "cortex.yaml").write_text(text)
            up = closing.enter_context(up_in(project.parent, project / "cortex.yaml"))
            return up, up.wait_until_ready()["gateway"]

        yield start


def cli(*arguments: str) -> str:
    command = [sys.executable, "-m", "stream_infer", *arguments]
    environ = {**os.environ, "COLUMNS": "200"}
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60, env=environ).stdout


def submit(endpoint: str, spec: dict[str, Any], **params: str) -> requests.Response:
    return requests.post(endpoint, json=spec, params=params, timeout=60)


def wait_until_final(endpoint: str, job_id: str, up: UpProcess) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        found = seen(f"{endpoint}?jobID={job_id}")
        status: dict[str, Any] = found["job_status"] if found else {"status": "not seen"}
        return status if status["status"] in FINAL and "end_time" in status else None

    found: dict[str, Any] = wait_for(look, 120.0, up.text)
    return found


def objects(client: Any, bucket: str, prefix: str) -> dict[str, Any]:
    listed = client.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])
    return {
        entry["Key"].removeprefix(prefix): json.loads(client.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read())
        for entry in listed
    }


@pytest.mark.timeout(400)
def test_a_batch_api_serves_its_user_as_cortex_did(up_with: Any, s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    client = s3.client()
    for name in ("a", "b", "c"):
        client.put_object(Bucket=s3.bucket, Key=f"in/{name}.txt", Body=b"x")
    client.put_object(Bucket=s3.bucket, Key="in/values.json", Body=b"1\n2\n3\n4\n5\n")
    up, gateway = up_with(
        CORTEX_YAML,
        STREAM_INFER__FETCH__ALLOWED_S3_PREFIXES=f"[s3://{s3.bucket}/in]",
        STREAM_INFER__APIS__IRIS__RETRY__DELAYS="[0.5, 1.0]",
    )
    endpoint, dest = f"{gateway}/iris", f"s3://{s3.bucket}/out"
    assert "iris.compute (line 7) is ignored" in up.text()

    # Inline items, in batches of two: the predictor's own objects, and its aggregate at the end.
    spec = {"workers": 1, "item_list": {"items": list(range(7)), "batch_size": 2}, "config": {"dest_s3_dir": dest}}
    answer = submit(endpoint, spec)
    assert answer.status_code == 200, answer.text
    job = answer.json()
    assert (job["api_name"], job["kind"], job["workers"]) == ("iris", "BatchAPI", 1)
    assert job["config"] == {"dest_s3_dir": dest}
    assert job["api_id"]
    status = wait_until_final(endpoint, job["job_id"], up)
    assert status["status"] == "succeeded", up.text()
    assert (status["total_batch_count"], status["batches_in_queue"]) == (4, 0)
    assert status["batch_metrics"]["succeeded"] == 4
    written = objects(client, s3.bucket, f"out/{job['job_id']}/")
    aggregated = written.pop("aggregated_results.json")
    batches = sorted([entry["item"] for entry in batch] for batch in written.values())
    assert batches == [[0, 1], [2, 3], [4, 5], [6]]
    assert sorted((entry["item"], entry["value"]) for entry in aggregated["results"]) == [(n, n * 10) for n in range(7)]
    assert aggregated["batches"] == 4, "one instance has seen them all"
    assert aggregated["results"][0]["label"] == "iris", "it found its file in the project"
    assert "loaded for iris 1 4" in up.text()

    # `get` shows what Cortex's did.
    api = requests.get(f"{gateway}/v1/apis/iris", timeout=60).json()
    assert (api["available"], api["up_to_date"]) == (1, 1), api
    assert api["avg_latency"] > 0
    shown = cli("get", "iris", "--gateway", gateway)
    for said in ("status", "up-to-date", "available", "requested", "last update", "avg latency", f"{endpoint}", "7/7"):
        assert said in shown

    # Lines of objects; the API's config is the job's where it says so.
    spec = {
        "workers": 1,
        "delimited_files": {"s3_paths": [f"s3://{s3.bucket}/in/"], "includes": ["**.json"], "batch_size": 3},
        "config": {"dest_s3_dir": dest, "factor": 100},
    }
    dry = submit(endpoint, spec, dryRun="true")
    assert dry.status_code == 200
    assert dry.text.splitlines() == [f"s3://{s3.bucket}/in/values.json", "validations passed"]
    job_id = submit(endpoint, spec).json()["job_id"]
    assert wait_until_final(endpoint, job_id, up)["status"] == "succeeded"
    results = objects(client, s3.bucket, f"out/{job_id}/")["aggregated_results.json"]["results"]
    assert sorted(entry["value"] for entry in results) == [100, 200, 300, 400, 500]

    # Paths of objects, at the other path, and as older clients ask.
    batch_endpoint = f"{gateway}/batch/iris"
    spec = {
        "workers": 1,
        "file_path_lister": {
            "s3_paths": [f"s3://{s3.bucket}/in/"],
            "excludes": ["**.json", "**b.txt"],
            "batch_size": 5,
        },
        "config": {"dest_s3_dir": dest, "factor": 1},
    }
    job_id = submit(batch_endpoint, spec).json()["job_id"]
    assert wait_until_final(batch_endpoint, job_id, up)["status"] == "succeeded"
    assert requests.get(f"{endpoint}/{job_id}", timeout=60).json()["job_status"]["job_id"] == job_id
    results = objects(client, s3.bucket, f"out/{job_id}/")["aggregated_results.json"]["results"]
    assert sorted(entry["item"] for entry in results) == [f"s3://{s3.bucket}/in/a.txt", f"s3://{s3.bucket}/in/c.txt"]

    # What goes wrong says so where Cortex's clients look.
    for wrong, code in [
        ({"workers": 1}, 422),
        ({"item_list": {"items": [1]}, "sqs_dead_letter_queue": {"arn": "arn", "max_receive_count": 1}}, 422),
        ({"item_lst": {"items": [1]}}, 422),
    ]:
        refused = submit(endpoint, wrong)
        assert refused.status_code == code
        assert refused.json()["message"] == refused.json()["error"]
    assert requests.get(endpoint, params={"jobID": "nothing"}, timeout=60).status_code == 404
    assert "jobID=JOB" in requests.get(endpoint, timeout=60).json()["message"]

    # A predictor that cannot be made for a job fails that job, with what its constructor raised.
    job_id = submit(endpoint, {"workers": 1, "item_list": {"items": [1, 2], "batch_size": 1}}).json()["job_id"]
    assert wait_until_final(endpoint, job_id, up)["status"] in ("worker_error", "enqueue_failed")
    ours = requests.get(f"{gateway}/v1/jobs/{job_id}", timeout=60).json()
    assert ours["state"] == "failed"
    assert "'dest_s3_dir' field was not provided" in " ".join(ours["errors"])


@pytest.fixture
def watching() -> Iterator[Any]:
    """`get API --watch` on a terminal of its own."""
    with contextlib.ExitStack() as closing:
        yield lambda api, gateway: closing.enter_context(on_a_terminal("get", api, "--watch", "--gateway", gateway))


class Shown(NamedTuple):
    """A job's line in `get --watch`, at some moment."""

    state: str
    ended: int


def shown(terminal: Terminal, job_id: str) -> list[Shown]:
    found = re.findall(rf"{job_id} +stateful +(\w+) +(\d+)/\d+", terminal.text())
    return [Shown(state, int(ended)) for state, ended in found]


def test_a_constructor_that_fails_is_the_jobs_fault_and_one_that_fails_once_is_nobodys(
    up_with: Any, project: Path
) -> None:
    up, gateway = up_with(
        CORTEX_YAML,
        STREAM_INFER__APIS__STATEFUL__WORKERS__MAX="1",
        STREAM_INFER__APIS__STATEFUL__RETRY__DELAYS="[0.5, 1.0]",
        STREAM_INFER__APIS__STATEFUL__BATCHING__LOAD_TIMEOUT="15",
    )
    endpoint = f"{gateway}/stateful"
    items = {"items": list(range(20)), "batch_size": 4}

    def ends(config: dict[str, Any]) -> tuple[dict[str, Any], str]:
        job_id = submit(endpoint, {"workers": 1, "item_list": items, "config": config}).json()["job_id"]
        status = wait_until_final(endpoint, job_id, up)["status"]
        ours: dict[str, Any] = requests.get(f"{gateway}/v1/jobs/{job_id}", timeout=60).json()
        return ours, status

    for how in ({"refuses": True}, {"dies": "segfault"}):
        job, status = ends({"once": str(project.parent / f"passing {next(iter(how))}"), **how})
        assert (status, job["counts"]["succeeded"]) == ("succeeded", 20), up.text()

    for how, said in (
        ({"refuses": True}, "raised ValueError: no such model (3 times)"),
        ({"dies": "exit"}, "exited with status 3 while it made its instance (3 times)"),
        ({"takes": 3600}, "hung for 15 s, its deadline for loading, while it made its instance"),
    ):
        job, _ = ends(how)
        assert job["state"] == "failed", up.text()
        assert said in " ".join(job["errors"])
        assert job["counts"]["succeeded"] == 0

    # The worker and its other jobs are none the worse.
    job, status = ends({})
    assert (status, job["counts"]["succeeded"]) == ("succeeded", 20), up.text()


def test_what_a_constructor_and_its_batches_need_may_be_away_for_longer_than_a_job_has_attempts(
    up_with: Any, project: Path
) -> None:
    up, gateway = up_with(
        CORTEX_YAML,
        STREAM_INFER__APIS__STATEFUL__WORKERS__MAX="1",
        STREAM_INFER__APIS__STATEFUL__RETRY__DELAYS="[3, 3]",
        STREAM_INFER__APIS__STATEFUL__BREAKER__WINDOW="10",
    )
    away = project.parent / "away"
    config = {"away": str(away), "pause": 0.2}
    items = {"items": list(range(80)), "batch_size": 2}
    endpoint = f"{gateway}/stateful"
    job_id = submit(endpoint, {"workers": 1, "item_list": items, "config": config}).json()["job_id"]
    job = f"{gateway}/v1/jobs/{job_id}"
    wait_for(lambda: (found := seen(job)) and found["counts"]["succeeded"], 60.0, up.text)

    away.touch()
    # Probes, each of which makes the instance in vain: at once, and after 1, 2 and 4 s more.
    made = f"making one for {job_id}"
    wait_for(lambda: up.text().count(made) >= 5, 60.0, up.text)
    assert wait_for(lambda: seen(job), 60.0, up.text)["state"] == "running", up.text()
    away.unlink()

    # Of the items that were tried before the breaker tripped, some may have had all their attempts by then.
    assert wait_until_final(endpoint, job_id, up)["status"] in ("succeeded", "completed_with_failures"), up.text()
    ended = wait_for(lambda: seen(job), 60.0, up.text)["counts"]
    assert ended["succeeded"] + ended["rejected"] == 80, up.text()
    assert ended["succeeded"] > 60, up.text()


def test_a_job_can_be_stopped_two_jobs_keep_their_states_apart_and_get_shows_it_as_it_goes(
    up_with: Any, watching: Any
) -> None:
    # One worker: where another one comes, it gets a share of the partitions, and with it of the jobs.
    up, gateway = up_with(CORTEX_YAML, STREAM_INFER__APIS__STATEFUL__WORKERS__MAX="1")
    endpoint = f"{gateway}/stateful"
    watched = watching("stateful", gateway)
    wait_for(lambda: "no jobs yet" in watched.text(), 30.0, watched.text)
    for column in ("status", "up-to-date", "available", "requested", "last update", "avg latency"):
        assert column in watched.text()
    assert endpoint in watched.text()
    wait_for(lambda: api_line("idle", 0, 0, 0).search(watched.text()), 30.0, watched.text)  # at zero
    items = {"items": [[n] for n in range(40)], "batch_size": 4}
    job_ids = [
        submit(endpoint, {"workers": 1, "item_list": items, "config": {"says": name}}).json()["job_id"]
        for name in ("one", "two")
    ]
    for job_id, name in zip(job_ids, ("one", "two"), strict=True):
        assert wait_until_final(endpoint, job_id, up)["status"] == "succeeded", up.text()
        results = requests.get(f"{gateway}/v1/jobs/{job_id}/results", timeout=60).text.splitlines()
        outputs = [json.loads(line)["output"] for line in results]
        assert {output[0] for output in outputs} == {job_id}
        assert max(output[1] for output in outputs) == 40
        assert len({output[2] for output in outputs}) == 10
        assert {len(output[3]) for output in outputs} == {4}
        wait_for(lambda text=f"{job_id} is complete after 40 items, as {name}": text in up.text(), 60.0, up.text)
        wait_for(lambda job_id=job_id: ("succeeded", 40) in shown(watched, job_id), 60.0, watched.text)
        counts = [line.ended for line in shown(watched, job_id)]
        assert counts == sorted(counts), "none ever falls"
    wait_for(lambda: api_line("live", 1, 1, 1).search(watched.text()), 60.0, watched.text)

    # One that has not been made yet can be stopped, too.
    slow = submit(endpoint, {"workers": 1, "item_list": items, "config": {"takes": 120}}).json()["job_id"]
    wait_for(lambda: (found := seen(f"{gateway}/v1/jobs/{slow}")) and found["counts"]["waiting"], 60.0, up.text)
    assert status_of(endpoint, slow) in ("enqueuing", "running")
    wait_for(lambda: shown(watched, slow), 30.0, watched.text)
    stopped = requests.delete(endpoint, params={"jobID": slow}, timeout=60)
    assert (stopped.status_code, stopped.json()) == (200, {"message": f"stopped job {slow}"})
    assert status_of(endpoint, slow) == "stopped"
    wait_for(lambda: shown(watched, slow)[-1].state in ("stopping", "stopped"), 60.0, watched.text)
    before = shown(watched, slow)[0]
    assert (before.state in ("validating", "enqueuing", "running"), before.ended) == (True, 0)

    # A gateway that is away for a moment does not end the watching.
    os.kill(up.wait_until_ready()["pids"]["gateway"], signal.SIGKILL)
    wait_for(lambda: "gateway is ready again" in up.text(), 60.0, up.text)
    before_it = len(watched.text())
    wait_for(lambda: len(watched.text()) > before_it, 30.0, watched.text)
    assert watched.interrupt() == 0, watched.text()


def api_line(status: str, up_to_date: int, available: int, requested: int) -> "re.Pattern[str]":
    return re.compile(rf"stateful +{status} +{up_to_date} +{available} +{requested} ")


def status_of(endpoint: str, job_id: str) -> str:
    time.sleep(0.2)
    found: str = requests.get(endpoint, params={"jobID": job_id}, timeout=60).json()["job_status"]["status"]
    return found


def test_a_realtime_api_of_every_generation_answers_hotdog(up_with: Any) -> None:
    names = ("hotdog", "menu", "kitchen")  # functions; a class; a Handler
    first = free_neighbours(len(names))
    listening = {
        f"STREAM_INFER__APIS__{name.upper()}__REALTIME__LISTEN": f"127.0.0.1:{port}"
        for port, name in enumerate(names, first)
    }
    up, gateway = up_with(HOTDOG_YAML, **listening)
    dog, cat = ({"url": f"https://example.com/{name}.jpg"} for name in ("dog", "cat"))

    def ask(path: str, body: Any = dog, **more: Any) -> requests.Response:
        return requests.post(f"{gateway}/{path}", json=body, timeout=60, **more)

    for name in names:
        wait_for(lambda name=name: ask(f"food/{name}").status_code == 200, 60.0, up.text)
        assert ask(f"food/{name}").text == '"hotdog"'
        assert ask(name).json() == "hotdog"
        assert ask(name, cat).json() == "not hotdog"
        bad = ask(f"food/{name}", {"link": 1})
        assert bad.status_code == 500, bad.text
        assert "url" in bad.json()["message"]
    assert ask("food/nothing").status_code == 404

    # What of a request its predictor asks for reaches it; and bytes go both ways.
    assert ask("food/menu", params={"lang": "de"}).json() == {"kind": "hotdog", "lang": "de"}
    assert ask("food/kitchen", headers={"X-Table": "7"}).json() == {"kind": "hotdog", "for": "7"}
    raw = {"Content-Type": "application/octet-stream"}
    turned = requests.post(f"{gateway}/food/kitchen", data=b"\x01\x02\xff", headers=raw, timeout=60)
    assert (turned.content, turned.headers["content-type"]) == (b"\xff\x02\x01", "application/octet-stream")
