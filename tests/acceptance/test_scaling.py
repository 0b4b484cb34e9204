"""`up` with an API that stands at zero: no process until there is work, and none some time after it."""

import os
import signal
import uuid
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from stream_infer.clients import calls
from stream_infer.clients.gateway import Gateway
from stream_infer.errors import ServiceUnavailable
from stream_infer.gateway.representations import JobBody
from stream_infer.jobs.status import State
from tests.support.settings import predictor
from tests.support.up_process import UpProcess, up_in, wait_for, write_config

API = {
    "name": "echo",
    "predictor": predictor("behaving.py:Sizes", pause=0.05),
    "partitions": 2,
    "batching": {"max_batch_size": 4},
    "workers": {"min": 0, "max": 2, "idle_seconds": 3},
}


@pytest.fixture
def up(tmp_path: Path) -> Iterator[UpProcess]:
    with up_in(tmp_path, write_config(tmp_path, apis=[API])) as process:
        yield process


def workers(up: UpProcess) -> list[int]:
    """The pids of the worker's processes, their predictors' among them."""
    found = []
    for pid in up.descendants():
        try:
            words = psutil.Process(pid).cmdline()
        except psutil.Error:
            continue
        if "worker" in words[-12:] or "stream_infer.engine.child" in " ".join(words):
            found.append(pid)
    return found


def submitted(gateway: str, **spec: Any) -> JobBody:
    with closing(Gateway(gateway)) as client:
        return client.ask(calls.submit("echo", spec, uuid.uuid4().hex))


def is_final(client: Gateway, job_id: str) -> bool:
    """A Kafka that has just come back may keep a gateway waiting for a moment."""
    with suppress(ServiceUnavailable):
        return client.ask(calls.job(job_id)).is_final
    return False


def hindrance(client: Gateway, job_id: str) -> str | None:
    with suppress(ServiceUnavailable):
        return client.ask(calls.job(job_id)).hindrance
    return None


def final(gateway: str, job_id: str, up: UpProcess, within_s: float = 60.0) -> JobBody:
    with closing(Gateway(gateway)) as client:
        wait_for(lambda: is_final(client, job_id), within_s, up.text)
        return client.ask(calls.job(job_id))


def test_an_api_at_zero_has_no_process_serves_a_job_that_comes_and_is_at_zero_again(up: UpProcess) -> None:
    ready = up.wait_until_ready()
    assert sorted(ready["pids"]) == ["gateway", "intake", "kafka", "lookout", "sink", "tracker"]
    assert workers(up) == []

    job = final(ready["gateway"], submitted(ready["gateway"], item_list={"items": [1, 2, 3]}).job_id, up)

    assert job.state is State.SUCCEEDED
    assert job.first_end_after is not None
    wait_for(lambda: "which found no worker" in up.text(), 60.0, up.text)
    assert f"echo: job {job.job_id}: first item ended {job.first_end_after:.1f} s after its submission" in up.text()
    assert "echo: 0 → 1 worker (1 job under way" in up.text()
    wait_for(lambda: "echo: 1 → 0 workers (nothing to do, and it has been for 3 s)" in up.text(), 30.0, up.text)
    wait_for(lambda: workers(up) == [], 20.0, up.text)
    assert "killed" not in up.text(), "it has ended in order"

    # What is produced without a job wakes it as well.
    lines = requests.post(
        f"{ready['gateway']}/v1/apis/echo/items",
        data=b'{"n":1}\n',
        headers={"Content-Type": "application/x-ndjson"},
        timeout=30,
    )
    assert lines.status_code == 202
    wait_for(lambda: up.text().count("echo: 0 → 1 worker") == 2, 60.0, up.text)
    wait_for(lambda: up.text().count("echo: 1 → 0 workers") == 2, 60.0, up.text)
    assert up.interrupt() == 0, up.text()


def test_a_job_gets_the_workers_that_it_wants_and_no_more_than_the_api_may_have(up: UpProcess) -> None:
    ready = up.wait_until_ready()

    refused = requests.post(
        f"{ready['gateway']}/v1/apis/echo/jobs", json={"item_list": {"items": [1]}, "workers": 3}, timeout=30
    )
    assert refused.status_code == 422
    assert "the job wants 3 workers, and workers.max of API 'echo' is 2" in refused.json()["detail"]

    job = submitted(ready["gateway"], item_list={"items": list(range(400))}, workers=2)
    assert job.workers == 2
    wait_for(lambda: "echo: 0 → 2 workers (1 job under way that wants 2" in up.text(), 60.0, up.text)
    assert final(ready["gateway"], job.job_id, up).counts.succeeded == 400
    wait_for(lambda: "2 → 0 workers" in up.text(), 60.0, up.text)
    assert up.interrupt() == 0, up.text()


def test_a_predictor_that_does_not_load_at_its_first_job_ends_nobody_and_the_job_says_why(tmp_path: Path) -> None:
    broken = {**API, "predictor": {"type": "native", "target": "no_such_file.py:Echo"}}
    with up_in(tmp_path, write_config(tmp_path, apis=[broken])) as up:
        ready = up.wait_until_ready()
        job = submitted(ready["gateway"], item_list={"items": [1]}, timeout=40)
        with closing(Gateway(ready["gateway"])) as client:
            wait_for(lambda: "no_such_file.py" in (hindrance(client, job.job_id) or ""), 60.0, up.text)
        assert final(ready["gateway"], job.job_id, up, 120.0).state is State.TIMED_OUT
        assert up.interrupt() == 0, up.text()


def test_a_killed_kafka_and_a_killed_lookout_end_nobody_and_it_goes_on_scaling(up: UpProcess) -> None:
    ready = up.wait_until_ready()
    os.kill(ready["pids"]["lookout"], signal.SIGKILL)
    os.kill(ready["pids"]["kafka"], signal.SIGKILL)
    wait_for(lambda: "Kafka is ready again" in up.text(), 60.0, up.text)
    assert up.process.poll() is None, up.text()

    def submit() -> JobBody | None:
        with suppress(ServiceUnavailable):
            return submitted(ready["gateway"], item_list={"items": [1, 2, 3]})
        return None

    job = wait_for(submit, 60.0, up.text)
    assert final(ready["gateway"], job.job_id, up).state is State.SUCCEEDED
    assert "lookout ended with signal 9; starting it again" in up.text()
    assert up.interrupt() == 0, up.text()
