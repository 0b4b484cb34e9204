"""What a job may ask for, from the shell through to the predictor."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from stream_infer.webhooks import new_secret
from tests.support.receiver import Receiver, receiving, until
from tests.support.settings import predictor
from tests.support.up_process import UpProcess, up_in, write_config

APIS = [
    {
        "name": "greeter",
        "predictor": {**predictor("behaving.py:Greeting", greeting="hello"), "job_scoped": True},
        "partitions": 2,
    },
    {"name": "slow", "predictor": predictor("steady.py:Steady", pause=0.5), "batching": {"max_batch_size": 1}},
]


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with receiving(new_secret()) as receiver:
        yield receiver


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Iterator[UpProcess]:
    folder = tmp_path_factory.mktemp("up")
    webhooks = {"url": receiver.url, "secrets": [receiver.secret], "allow_private_addresses": True}
    with up_in(folder, write_config(folder, apis=APIS, webhooks=webhooks)) as process:
        yield process


@pytest.fixture(scope="module")
def gateway(up: UpProcess) -> str:
    return str(up.wait_until_ready()["gateway"])


def shell(gateway: str, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "stream_infer", *words, "--gateway", gateway]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.run(command, capture_output=True, text=True, timeout=90, env=env, check=False)


def outputs(gateway: str, job_id: str) -> list[str]:
    lines = requests.get(f"{gateway}/v1/jobs/{job_id}/results", timeout=30).text.splitlines()
    return [json.loads(line)["output"] for line in lines]


def test_a_jobs_config_reaches_a_predictor_that_asks_whose_items_it_gets(up: UpProcess, gateway: str) -> None:
    jobs = {}
    for greeting in ("moin", "servus"):
        names = [f"{greeting}-{n}" for n in range(40)]
        done = shell(gateway, "submit", "greeter", *names, "--config", f"greeting={greeting}", "--output", "json")
        assert done.returncode == 0, done.stderr
        jobs[greeting] = json.loads(done.stdout)["job_id"]
    plain = shell(gateway, "submit", "greeter", "Ann", "--wait", "--output", "json")
    assert plain.returncode == 0, plain.stderr

    for greeting, job_id in jobs.items():
        watched = shell(gateway, "get", job_id, "--watch", "--output", "json")
        assert json.loads(watched.stdout)["state"] == "succeeded"
        said = outputs(gateway, job_id)
        assert len(said) == 40
        assert all(line.startswith(f"{greeting} {greeting}-") for line in said), said
    assert [line.partition(" of ")[0] for line in outputs(gateway, json.loads(plain.stdout)["job_id"])] == ["hello Ann"]


def test_a_timeout_ends_the_job_and_skips_what_has_not_begun(up: UpProcess, gateway: str) -> None:
    items = [f'{{"n": {n}, "poison": false}}' for n in range(60)]

    done = shell(gateway, "submit", "slow", *items, "--timeout", "15", "--wait", "--output", "json")

    assert done.returncode == 1
    job = json.loads(done.stdout)
    assert (job["state"], job["timeout"]) == ("timed_out", 15.0)
    assert job["counts"]["succeeded"] > 0
    assert job["counts"]["skipped"] > 0
    assert job["counts"]["waiting"] == 0


def test_what_a_job_may_not_ask_for_is_said_in_the_shell(up: UpProcess, gateway: str) -> None:
    refused = shell(gateway, "submit", "slow", "1", "--workers", "2")

    assert refused.returncode == 2
    said = " ".join(refused.stderr.split())
    assert "wants 2 workers, and workers.max of API 'slow' is 1" in said


def test_whoever_is_to_be_told_hears_of_each_end_as_it_was(up: UpProcess, gateway: str, receiver: Receiver) -> None:
    well = json.loads(shell(gateway, "submit", "greeter", "Ann", "--output", "json").stdout)["job_id"]
    items = [f'{{"n": {n}, "poison": false}}' for n in range(60)]
    stopped = json.loads(shell(gateway, "submit", "slow", *items, "--output", "json").stdout)["job_id"]
    assert shell(gateway, "stop", stopped).returncode == 0

    def told() -> dict[str, str]:
        return {one.event["data"]["job_id"]: one.event["type"] for one in receiver.told}

    assert until(told, lambda events: {well, stopped} <= events.keys()).items() >= {
        (well, "job.succeeded"),
        (stopped, "job.stopped"),
    }
    shown = until(lambda: shell(gateway, "get", well).stdout, lambda out: "job.succeeded: delivered" in out)
    assert receiver.secret not in shown + up.text()
    assert "hunter2" not in shown + up.text()
