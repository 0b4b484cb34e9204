"""Jobs whose retention is over: each writer removes what it has kept of them, and nobody else is harmed."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from stream_infer.gateway import forgotten_jobs
from stream_infer.intake import run as intake_run
from stream_infer.jobs.checkpoints import decode_checkpoint
from stream_infer.jobs.manifest import Kind
from stream_infer.jobs.status import State
from stream_infer.kafka.partitioner import partition_of
from stream_infer.records import Message, OutgoingRecord
from stream_infer.settings import Settings
from stream_infer.sink.forgotten import ForgottenManifests
from stream_infer.webhooks import new_secret
from tests.support.gateway import GatewayHarness, result_of
from tests.support.intake_harness import JOB, WAIT_S, events_until_exhausted, ids, items, submit
from tests.support.memory_store import MemoryStore
from tests.support.roles import running
from tests.support.settings import settings_for
from tests.support.sources import Numbers

SPEC = {"item_list": {"items": [1]}}


@pytest.fixture
def harness(bootstrap_servers: str, topic_prefix: str, tmp_path: Path) -> GatewayHarness:
    return GatewayHarness(settings_for(bootstrap_servers, topic_prefix, tmp_path))


def remembering(settings: Settings, seconds: float) -> Settings:
    return settings.model_copy(update={"jobs": settings.jobs.model_copy(update={"retention": seconds})})


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def last(harness: GatewayHarness, topic: str, key: str) -> bytes | None:
    """The value of the newest record of that key; there is one."""
    return [found.value for found in harness.read(topic) if found.key == key.encode()][-1]


def forget(harness: GatewayHarness, job_id: str) -> None:
    """As the tracker does."""
    harness.send(OutgoingRecord(harness.topics.status, job_id.encode(), None))


def test_the_spec_of_a_job_that_is_forgotten_goes_with_its_secret_and_its_id_may_be_chosen_again(
    harness: GatewayHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forgotten_jobs, "LOOK_EVERY_S", 0.2)
    jobs, secret = harness.topics.jobs, new_secret()
    webhook = {"url": "https://hooks.example.org/", "secret": secret}
    with harness.gateway() as client:
        old, known = (
            client("POST", "/v1/apis/echo/jobs", {**SPEC, "webhook": webhook}, status=202, idempotency_key=key)[
                "job_id"
            ]
            for key in ("old", "known")
        )
        for job_id in (old, known):
            harness.status(job_id, state=State.SUCCEEDED, times={"succeeded": time.time()})
        forget(harness, old)
    time.sleep(1.0)  # all are older than a second, which is what is remembered from here on
    short = remembering(harness.settings, 1.0)
    with harness.gateway(short) as client, harness.gateway(short) as another:
        until(lambda: last(harness, jobs, old) is None)
        assert secret.encode() in (last(harness, jobs, known) or b"")
        for asked in (client, another):
            assert [job["job_id"] for job in asked("GET", "/v1/jobs", status=200)["jobs"]] == [known]
            asked("GET", f"/v1/jobs/{old}", status=404)
    with harness.gateway() as client:
        again = client("POST", "/v1/apis/echo/jobs", SPEC, status=202, idempotency_key="old")["job_id"]
        looks = len(harness.read(jobs))
        assert again == old
        assert last(harness, jobs, old) is not None
        time.sleep(0.5)  # some looks later
        assert len(harness.read(jobs)) == looks


@contextmanager
def intake(settings: Settings, source: Any) -> Iterator[None]:
    with running(
        lambda stop, ready: intake_run.run(settings, MemoryStore(), lambda _: source, stop=stop, on_ready=ready)
    ):
        yield


def test_a_checkpoint_goes_with_its_job_and_an_id_that_is_chosen_again_is_published_from_its_start(
    harness: GatewayHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake_run, "CLEAR_UP_EVERY_S", 0.2)
    settings, topics = harness.settings, harness.topics
    other = JOB.model_copy(update={"job_id": "job-2"})
    with intake(settings, Numbers(3)):
        submit(settings)
        submit(settings, job=other)
        items(settings, 6)
        events_until_exhausted(settings)

    # Chosen again before anybody has cleared up: the old checkpoint says that all is published.
    anew = JOB.model_copy(update={"submitted_at": JOB.submitted_at + 1.0})
    with intake(settings, Numbers(3)):
        submit(settings, job=anew)
        found = items(settings, 9)
    assert ids(found) == sorted([0, 1, 2] * 3)

    with intake(remembering(settings, 0.1), Numbers(3)):
        forget(harness, JOB.job_id)
        time.sleep(1.0)
        assert last(harness, topics.checkpoints, JOB.job_id) is not None  # its spec is there
        harness.send(OutgoingRecord(topics.jobs, JOB.job_id.encode(), None))
        until(lambda: last(harness, topics.checkpoints, JOB.job_id) is None)
        harness.send(OutgoingRecord(topics.jobs, other.job_id.encode(), None))
        time.sleep(1.0)
        assert decode_checkpoint(
            last(harness, topics.checkpoints, other.job_id) or b""
        ).exhausted  # its status is there


def test_manifest_records_go_when_their_job_is_forgotten_and_they_are_old(harness: GatewayHarness) -> None:
    known, gone = "known", "gone"
    for job_id in (known, gone):
        harness.status(job_id, state=State.SUCCEEDED)
        harness.commit_object(job_id, Kind.RESULTS, "one.jsonl", [result_of(job_id, 0)], (0, 0))
    forget(harness, gone)
    settings = harness.settings

    def left(retention_s: float) -> list[bytes | None]:
        forgotten = ForgottenManifests(remembering(settings, retention_s), list)
        for job_id in (known, gone):
            forgotten.remove(partition_of(job_id, settings.jobs.partitions))
        newest: dict[bytes | None, Message] = {found.key: found for found in harness.read(harness.topics.manifests)}
        return sorted(key or b"" for key, found in newest.items() if found.value is not None)

    assert len(left(3600.0)) == 2
    time.sleep(0.1)
    assert left(0.01) == [b"known/echo/known/results/one.jsonl"]
    assert left(0.01) == [b"known/echo/known/results/one.jsonl"]
