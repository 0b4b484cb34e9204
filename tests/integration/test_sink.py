"""A sink on a real broker: every record lies in exactly one object that counts, whatever is killed in between."""

import json
import signal
import threading
import time
from pathlib import Path

import pytest

from connectors.formats import jsonl
from connectors.s3 import S3Access
from connectors.stores import DirectoryStore, S3Store
from stream_infer.errors import ServiceUnavailable, TopicMismatch
from stream_infer.jobs.counts import Counts
from stream_infer.jobs.events import Finalized, HookPublished
from stream_infer.jobs.manifest import JobManifest
from stream_infer.jobs.status import Cause, JobStatus, Phase, encode_status
from stream_infer.kafka.producer import TransactionalProducer
from stream_infer.records import Control, OutgoingRecord
from stream_infer.settings import Settings
from stream_infer.sink.role import run
from stream_infer.slots import hold_slot
from tests.support.roles import running
from tests.support.s3_fixture import S3Server
from tests.support.settings import settings_for
from tests.support.sink_harness import WAIT_S, Harness, expected, finalize, held_at, until

ROOT = Path(__file__).parents[2]


@pytest.fixture
def settings(bootstrap_servers: str, topic_prefix: str, tmp_path: Path) -> Settings:
    kafka = {"bootstrap_servers": bootstrap_servers, "topic_prefix": topic_prefix, "session_timeout": 6}
    sink = {"flush_bytes": 20_000, "flush_age": 1.0, "eof_linger": 0.2}
    return settings_for(bootstrap_servers, topic_prefix, tmp_path, kafka=kafka, sink=sink, api={"partitions": 1})


@pytest.fixture
def harness(settings: Settings, tmp_path: Path) -> Harness:
    return Harness(settings, DirectoryStore(tmp_path / "store"))


def test_a_sink_killed_between_upload_and_commit_loses_nothing_and_doubles_nothing(
    harness: Harness, tmp_path: Path
) -> None:
    # Given results and dead letters of a job, results of no job, and others that were aborted
    harness.transact(*(harness.result(n) for n in range(200)), *(harness.result(n, None) for n in range(50)))
    harness.abort(
        *(harness.result(n) for n in range(1000, 1050)), *(harness.result(n, None) for n in range(1000, 1010))
    )
    harness.transact(*(harness.result(n) for n in range(200, 300)), *(harness.error(n) for n in range(300, 320)))
    harness.abort(*(harness.result(n) for n in range(1050, 1060)))

    # When a sink is killed after it has put objects of the job and of none, and before it has committed them
    with held_at(harness, "stream/dt=", tmp_path):
        until(lambda: len(harness.keys("echo/j/results/")) > 0, "an object of the job")
    uncommitted = harness.keys("echo/j/results/")
    left_in_stream = harness.keys("stream/dt=")
    assert uncommitted
    assert left_in_stream
    assert [found for found in harness.manifest() if found.key in uncommitted] == []

    # and another one takes over
    with harness.sink():
        harness.until_drained()
        assert harness.job_ids() == expected(320, "j")
        assert harness.stream_ids() == expected(50, "free")
        assert harness.keys("stream/dt=").isdisjoint(left_in_stream)
        assert harness.sunk() == 320

        # Then the finalizer leaves what the manifest names, and nothing of the one that was killed
        event = finalize(harness)
    named = {found.key for found in harness.manifest()}
    assert harness.keys() == named | {"echo/j/manifest.json", "echo/j/_SUCCESS"}
    manifest = JobManifest.model_validate_json(harness.store.get("echo/j/manifest.json"))
    assert {found.key for found in manifest.objects} == named
    assert sum(found.count for found in manifest.objects) == 320
    assert (event.objects, event.bytes) == (
        len(named),
        sum(found.size for found in harness.store.list("echo/j/") if found.key in named),
    )
    until(lambda: harness.keys("stream/_pending/") == set(), "the notes to be gone")


def test_a_sink_that_slept_through_its_replacement_commits_nothing_and_clears_up(
    harness: Harness, tmp_path: Path
) -> None:
    harness.transact(*(harness.result(n) for n in range(50)), *(harness.result(n, None) for n in range(20)))

    # Given a sink that stands still while it uploads, longer than its session
    with held_at(harness, "stream/dt=", tmp_path) as sleeper:
        sleeper.send_signal(signal.SIGSTOP)
        (tmp_path / "release").touch()
        with harness.sink():
            harness.until_drained()
            harness.transact(*(harness.result(n) for n in range(50, 60)))

            # When it wakes up with everything ready to be committed
            sleeper.send_signal(signal.SIGCONT)
            until(lambda: "revoked" in (tmp_path / "sink.log").read_text(), "the sleeper to learn it")
            harness.until_drained()

            # Then only what its successor wrote is there
            assert harness.job_ids() == expected(60, "j")
            assert harness.sunk() == 60
            until(lambda: harness.keys() == {found.key for found in harness.manifest()}, "no orphan")
            assert harness.stream_ids() == expected(20, "free")


def test_a_finalizer_killed_before_success_finishes_when_started_again(harness: Harness, tmp_path: Path) -> None:
    harness.transact(*(harness.result(n) for n in range(10)))
    harness.status(counts=Counts(sunk=10))

    with held_at(harness, "manifest.json", tmp_path):
        assert not harness.store.exists("echo/j/_SUCCESS")
    assert harness.events(Finalized) == []

    with harness.sink():
        until(lambda: len(harness.events(Finalized)) > 0, "finalized")
        harness.until_drained()
    assert len(harness.events(Finalized)) == 1
    assert harness.store.exists("echo/j/_SUCCESS")


def test_the_same_on_a_real_s3(settings: Settings, s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    store = S3Store(s3.bucket, "some/prefix", S3Access(endpoint_url=s3.endpoint_url))
    harness = Harness(settings, store)
    harness.transact(*(harness.result(n) for n in range(100)), *(harness.result(n, None) for n in range(20)))
    store.put("echo/j/results/results-p00000-o00000000000000000000-g1-aaaaaaaaaaaa.jsonl", b"orphan")

    with harness.sink():
        harness.until_drained()
        event = finalize(harness)

    assert harness.job_ids() == expected(100, "j")
    assert harness.stream_ids() == expected(20, "free")
    assert harness.keys() == {found.key for found in harness.manifest()} | {"echo/j/manifest.json", "echo/j/_SUCCESS"}
    assert event.manifest == f"s3://{s3.bucket}/some/prefix/echo/j/manifest.json"
    store.close()


def test_a_job_that_was_stopped_has_a_manifest_and_no_success(harness: Harness) -> None:
    harness.transact(*(harness.result(n) for n in range(5)))

    with harness.sink():
        harness.until_drained()
        finalize(harness, cause=Cause.STOP)

    assert not harness.store.exists("echo/j/_SUCCESS")
    manifest = JobManifest.model_validate_json(harness.store.get("echo/j/manifest.json"))
    assert (manifest.cause, len(manifest.objects)) == (Cause.STOP, 1)


def test_a_job_ends_though_somebody_has_written_under_its_key_what_nobody_can_read(harness: Harness) -> None:
    harness.transact(*(harness.result(n) for n in range(5)))
    with harness.sink():
        harness.until_drained()
    harness.status(counts=Counts(sunk=5))
    stranger = JobStatus(job_id="k", api="echo")
    unreadable = (b"", b"{", b"null", b"\xff", encode_status(stranger))
    harness.transact(*(OutgoingRecord(harness.topics.status, b"j", value) for value in unreadable))

    with harness.sink():
        until(lambda: len(harness.events(Finalized)) > 0, "finalized")
        harness.until_drained()

    assert harness.store.exists("echo/j/_SUCCESS")


def test_a_job_is_assembled_of_its_own_records_alone_however_far_the_clocks_differ(harness: Harness) -> None:
    with harness.sink():
        harness.transact(*(harness.result(n) for n in range(5)), *(harness.result(n, "other") for n in range(5)))
        until(lambda: harness.sunk() == 5, "sunk")
        finalize(harness, submitted_at=time.time() + 86_400)
    manifest = json.loads(harness.store.get("echo/j/manifest.json"))
    assert {record["job_id"] for record in manifest["objects"]} == {"j"}
    assert harness.ids_of([record["key"] for record in manifest["objects"]]) == expected(5, "j")


def test_the_hook_is_published_once_and_assembly_waits_for_its_phase(harness: Harness) -> None:
    with harness.sink():
        harness.status(phase=Phase.HOOK)
        until(lambda: len(harness.controls()) > 0, "the control record")
        harness.status(phase=Phase.HOOK, errors=("again",))
        harness.status(phase=Phase.HOOK_RUNNING)
        harness.until_drained()

    [control] = harness.controls()
    assert (control.control, control.job_id, control.generation) == (Control.ON_JOB_COMPLETE, "j", 1)
    assert json.loads(control.message.value) == {"job_id": "j", "generation": 1}
    assert [event.job_id for event in harness.events(HookPublished)] == ["j"]
    assert harness.keys() == set()


def test_the_hook_is_published_once_though_the_tracker_is_behind_and_another_sink_comes(harness: Harness) -> None:
    folded = harness.progress_end("j") - 1
    with harness.sink():
        harness.status(phase=Phase.HOOK, offset=folded)
        until(lambda: len(harness.controls()) > 0, "the control record")
        harness.until_drained()
    with harness.sink():
        harness.status(phase=Phase.HOOK, offset=folded, errors=("again",))
        harness.until_drained()
        assert len(harness.controls()) == 1

        harness.status(phase=Phase.HOOK, offset=folded, generation=2)
        until(lambda: len(harness.controls()) == 2, "the next generation's")
    assert [event.generation for event in harness.events(HookPublished)] == [1, 2]


class Unreachable(DirectoryStore):
    """Cannot be reached for the first `times` puts of an object."""

    def __init__(self, root: Path, times: int) -> None:
        super().__init__(root)
        self.left = times

    def put(self, key: str, data: bytes, content_type: str = "") -> None:
        if self.left > 0:
            self.left -= 1
            raise ServiceUnavailable("the store is away")
        super().put(key, data, content_type)


def test_a_store_that_is_away_is_waited_for(harness: Harness, tmp_path: Path) -> None:
    harness.transact(*(harness.result(n) for n in range(300)), *(harness.result(n, None) for n in range(10)))
    store = Unreachable(tmp_path / "store", times=3)

    with harness.sink(store):
        harness.until_drained()
        store.left = 2
        finalize(harness)

    assert store.left == 0
    assert harness.job_ids() == expected(300, "j")
    assert harness.stream_ids() == expected(10, "free")


def test_a_sink_that_was_fenced_starts_over_from_what_is_committed(harness: Harness) -> None:
    kafka = harness.settings.kafka
    slot = hold_slot(f"{kafka.topic_prefix}.sink", kafka.bootstrap)  # to learn the name that the sink will have
    slot.release()
    with harness.sink():
        harness.transact(*(harness.result(n) for n in range(20)))
        harness.until_drained()
        for name in (slot.name, slot.name.replace(".sink", ".finalizer")):
            usurper = TransactionalProducer(kafka, name)
            usurper.initialise()
            usurper.close()
        harness.transact(*(harness.result(n) for n in range(20, 40)), *(harness.result(n, None) for n in range(10)))
        harness.until_drained()
        finalize(harness)

    assert harness.job_ids() == expected(40, "j")
    assert harness.stream_ids() == expected(10, "free")
    assert harness.sunk() == 40


class Gated(DirectoryStore):
    """Holds each put of an object until the gate opens."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.gate = threading.Event()
        self.arrived = threading.Event()

    def put(self, key: str, data: bytes, content_type: str = "") -> None:
        if "_pending" not in key:
            self.arrived.set()
            self.gate.wait(WAIT_S)
        super().put(key, data, content_type)


def test_what_a_sink_uploads_for_a_partition_that_it_has_lost_is_taken_back(
    bootstrap_servers: str, topic_prefix: str, settings: Settings, tmp_path: Path
) -> None:
    apis = settings.model_copy(update={"apis": [settings.apis[0].model_copy(update={"partitions": 2})]})
    harness, slow = Harness(apis, DirectoryStore(tmp_path / "store")), Gated(tmp_path / "store")
    harness.transact(*(harness.result(n) for n in range(200)), *(harness.result(n, None) for n in range(100)))
    harness.transact(*(harness.error(n) for n in range(200, 300)))  # all four partitions hold something

    with harness.sink(slow):
        assert slow.arrived.wait(WAIT_S)
        with harness.sink():  # takes half of the partitions while their objects are still on their way
            until(lambda: len(harness.manifest()) > 0, "the second sink's first commit")
            slow.gate.set()
            harness.until_drained()

    assert harness.job_ids() == expected(300, "j")
    until(lambda: harness.stream_ids() == expected(100, "free"), "the slow sink to take its objects back")
    until(lambda: harness.keys() == {found.key for found in harness.manifest()}, "no orphan")


def test_a_sink_without_topics_says_what_to_do(bootstrap_servers: str, topic_prefix: str, tmp_path: Path) -> None:
    settings = settings_for(bootstrap_servers, topic_prefix, tmp_path)

    with (
        pytest.raises(TopicMismatch, match="topics apply"),
        running(lambda stop, ready: run(settings, DirectoryStore(tmp_path), jsonl, stop, ready)),
    ):
        pass
