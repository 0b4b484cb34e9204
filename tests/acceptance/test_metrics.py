"""Every process of `up` under a job: what it shows is what the catalogue says, and what Prometheus can read."""

import json
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import urllib3

from stream_infer.clients import calls
from stream_infer.clients.gateway import Gateway
from stream_infer.local.free_ports import find_free
from stream_infer.telemetry.catalogue import items, jobs, model, serving, store
from stream_infer.telemetry.catalogue.every import metrics_at
from stream_infer.telemetry.catalogue.metric import Role
from tests.support.metrics import names, sample_names, samples_of, value
from tests.support.promtool import complaints_about
from tests.support.settings import predictor
from tests.support.up_process import UpProcess, up_in, wait_for, write_config

POOL = urllib3.PoolManager(retries=False, timeout=20)
GOOD, BAD = 50, 3
# What is there only with a GPU, or where a batch size is searched for.
NOT_HERE = {
    *(metric.name for metric in (model.GPU_USED_RATIO, model.GPU_MEMORY_USED, model.GPU_MEMORY, model.GPU_MEMORY_OWN)),
    *(metric.name for metric in (model.GPU_CELSIUS, model.GPU_WATTS, model.BATCH_ITEMS_FOUND)),
}


def get(address: str, path: str) -> Any:
    return POOL.request("GET", f"http://{address}{path}")


@pytest.fixture(scope="module")
def replica() -> str:
    """Where it answers requests."""
    [port] = find_free(1)
    return f"127.0.0.1:{port}"


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory, replica: str) -> Iterator[UpProcess]:
    """With a replica beside the worker."""
    folder = tmp_path_factory.mktemp("metrics")
    api = {
        "name": "echo",
        "predictor": predictor("measured.py:Measured"),
        "partitions": 2,
        "realtime": {"listen": replica},
    }
    with up_in(folder, write_config(folder, apis=[api])) as process:
        process.wait_until_ready()
        yield process
        assert process.interrupt() == 0, process.text()


@pytest.fixture(scope="module")
def ready(up: UpProcess) -> dict[str, Any]:
    return up.wait_until_ready()


@pytest.fixture(scope="module")
def targets(ready: dict[str, Any]) -> dict[str, str]:
    """The address of each process by its name, as Prometheus is told it."""
    said = json.loads(Path(ready["targets"]).read_text())
    return {one["labels"]["instance"]: one["targets"][0] for one in said}


@pytest.fixture(scope="module")
def worked(up: UpProcess, ready: dict[str, Any], replica: str) -> None:
    """A job with items that fail, one that is under way, and a request."""
    with closing(Gateway(ready["gateway"])) as client:
        items_given = [*range(GOOD), *(["refused"] * BAD)]
        job = client.ask(calls.submit("echo", {"item_list": {"items": items_given}}, uuid.uuid4().hex))
        wait_for(lambda: client.ask(calls.job(job.job_id)).is_final, 90.0, up.text)
        asked = POOL.request("POST", f"http://{replica}/v1/apis/echo/predict", body=b"1")
        assert asked.status == 200, asked.data
        client.ask(calls.submit("echo", {"item_list": {"items": ["later"]}, "timeout": 3600}, uuid.uuid4().hex))


def samples(targets: dict[str, str], name: str) -> Any:
    return samples_of(get(targets[name], "/metrics").data)


def test_every_process_is_a_target_and_ready(targets: dict[str, str]) -> None:
    assert sorted(targets) == ["gateway", "intake", "realtime echo/0", "sink", "tracker", "worker echo/0"]
    for name, address in targets.items():
        assert get(address, "/healthz").status == 200, name
        wait_for(lambda at=address: get(at, "/readyz").status == 200, 30.0, lambda at=address: get(at, "/readyz").data)


@pytest.mark.usefixtures("worked")
@pytest.mark.parametrize("role", Role)
def test_a_role_shows_what_the_catalogue_says_and_no_more(up: UpProcess, targets: dict[str, str], role: Role) -> None:
    name = next(name for name in targets if name.partition(" ")[0] == role.value)
    wanted = {one for metric in metrics_at(role) if metric.name not in NOT_HERE for one in sample_names(metric)}
    known = {one for metric in metrics_at(role) for one in sample_names(metric)}

    def shown() -> set[str]:
        return {one for one in names(samples(targets, name)) if one.startswith("stream_infer_")}

    wait_for(lambda: wanted <= shown(), 30.0, lambda: f"{sorted(wanted - shown())}\n{up.text()}")
    assert shown() - known == set()


@pytest.mark.usefixtures("worked")
def test_promtool_finds_nothing_to_say_of_any_process(targets: dict[str, str]) -> None:
    assert {
        name: complaints_about(get(address, "/metrics").data) for name, address in targets.items()
    } == dict.fromkeys(targets, "")


@pytest.mark.usefixtures("worked")
def test_the_numbers_are_those_of_the_job(up: UpProcess, targets: dict[str, str]) -> None:
    worker = samples(targets, "worker echo/0")
    intake = samples(targets, "intake")
    sink = samples(targets, "sink")
    tracker = samples(targets, "tracker")

    assert value(worker, items.ITEMS_ENDED, api="echo", outcome="succeeded") == GOOD
    assert value(worker, items.ITEMS_ENDED, api="echo", outcome="rejected") == BAD
    assert value(worker, items.BREAKER_STATE, api="echo", state="serving") == 1
    assert value(intake, jobs.INTAKE_ITEMS, api="echo") >= GOOD + BAD
    assert value(sink, store.SINK_RECORDS, api="echo", kind="results") == GOOD
    assert value(sink, store.SINK_RECORDS, api="echo", kind="errors") == BAD
    assert value(tracker, jobs.JOBS, api="echo", state="completed_with_failures") == 1
    assert 0 < value(tracker, jobs.JOB_DEADLINE_SECONDS, api="echo") <= 3600
    assert value(samples(targets, "realtime echo/0"), serving.REALTIME_ANSWERS, api="echo", status="200") == 1
    gateway = samples(targets, "gateway")
    submitted = {"method": "POST", "path": "/v1/apis/{api}/jobs", "status": "202"}
    assert value(gateway, serving.HTTP_REQUESTS, **submitted) == 2
    wait_for(
        lambda: value(samples(targets, "gateway"), serving.REPLICAS, api="echo", state="ready") == 1, 30.0, up.text
    )
    wait_for(
        lambda: value(samples(targets, "gateway"), serving.GROUP_MEMBERS, group="worker", api="echo") == 1,
        30.0,
        up.text,
    )


@pytest.mark.usefixtures("worked")
def test_no_label_bears_a_job(ready: dict[str, Any], targets: dict[str, str]) -> None:
    with closing(Gateway(ready["gateway"])) as client:
        job_ids = [job.job_id for job in client.ask(calls.jobs()).jobs]
    assert len(job_ids) == 2
    for name, address in targets.items():
        text = get(address, "/metrics").data.decode()
        assert [job_id for job_id in job_ids if job_id in text] == [], name
