"""A sink on a real broker: every record lies in exactly one object that counts, whatever is killed in between."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from connectors.formats import jsonl
from connectors.s3 import S3Access
from connectors.stores import DirectoryStore, S3Store
from stream_infer.dead_letters import dead_letter
from stream_infer.errors import ServiceUnavailable, Stage, TopicMismatch
from stream_infer.jobs.counts import Counts
from stream_infer.jobs.events import Counted, Event, Finalized, HookPublished, decode_event
from stream_infer.jobs.manifest import JobManifest, ManifestRecord, decode_manifest
from stream_infer.jobs.status import Cause, JobStatus, Phase, State, encode_status
from stream_infer.kafka.admin import apply, group_lag
from stream_infer.kafka.producer import TransactionalProducer
from stream_infer.kafka.views import TopicReader
from stream_infer.ports import Store
from stream_infer.records import Control, Failure, OutgoingRecord, item_headers, item_id_of, read_item
from stream_infer.settings import Settings
from stream_infer.sink.role import run
from stream_infer.slots import hold_slot
from stream_infer.topics import Topics
from tests.support.items import item_at
from tests.support.roles import running
from tests.support.s3_fixture import S3Server
from tests.support.settings import settings_for

WAIT_S = 45.0
ROOT = Path(__file__).parents[2]


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, f"waited {WAIT_S} s for {what}"
        time.sleep(0.05)


class Harness:
    """Writes what workers and tracker would, and reads what the sink made of it."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self.settings = settings
        self.store = store
        self.topics = Topics(settings.kafka.topic_prefix)
        self.names = self.topics.api("echo")
        apply(settings)

    @contextmanager
    def sink(self, store: Store | None = None) -> Iterator[None]:
        used = store or self.store
        with running(lambda stop, ready: run(self.settings, used, jsonl, stop, ready)):
            yield

    def transact(self, *records: OutgoingRecord) -> None:
        producer = TransactionalProducer(self.settings.kafka, f"{self.settings.kafka.topic_prefix}.test")
        producer.initialise()
        producer.transact(records, {})
        producer.close()

    def abort(self, *records: OutgoingRecord) -> None:
        name = f"{self.settings.kafka.topic_prefix}.aborting"
        producer = Producer({"bootstrap.servers": self.settings.kafka.bootstrap, "transactional.id": name})
        producer.init_transactions(10)
        producer.begin_transaction()
        for record in records:
            producer.produce(record.topic, record.value, record.key, headers=list(record.headers))
        producer.flush(10)
        producer.abort_transaction(10)
        producer.close()

    def result(self, n: int, job_id: str | None = "j", **headers: Any) -> OutgoingRecord:
        item_id = item_id_of(job_id or "free", n)
        named = item_headers(job_id=job_id, item_id=item_id, generation=1 if job_id else None, **headers)
        return OutgoingRecord(self.names.results, str(n).encode(), json.dumps({"n": n}).encode(), named)

    def error(self, n: int) -> OutgoingRecord:
        headers = item_headers(job_id="j", item_id=item_id_of("j", n), generation=1)
        item = item_at(headers=headers, value=b"bad", key=str(n).encode())
        failure = Failure(Stage.DECODE, "ValueError", "no")
        return dead_letter(item, failure, self.names.dlq, predictor="P", worker="w", api_version="1")

    def status(self, **fields: Any) -> None:
        status = JobStatus(job_id="j", api="echo", state=State.FINALIZING, phase=Phase.ASSEMBLE).model_copy(
            update=fields
        )
        self.transact(OutgoingRecord(self.topics.status, b"j", encode_status(status)))

    def lag(self) -> int:
        sunk = group_lag(self.settings, self.topics.sink_group, [self.names.results, self.names.dlq])
        return sum(sunk.values()) + sum(
            group_lag(self.settings, self.topics.finalizer_group, [self.topics.status]).values()
        )

    def until_drained(self) -> None:
        until(lambda: self.lag() == 0, "lag 0")

    def manifest(self) -> list[ManifestRecord]:
        return [decode_manifest(message.value or b"") for message in self._read(self.topics.manifests)]

    def events(self, kind: type[Any]) -> list[Any]:
        found: list[Event | None] = [decode_event(message.value or b"") for message in self._read(self.topics.progress)]
        return [event for event in found if isinstance(event, kind)]

    def controls(self) -> list[Any]:
        return [item for item in map(read_item, self._read(self.names.items)) if item.control]

    def _read(self, topic: str) -> list[Any]:
        reader = TopicReader(self.settings.kafka, topic)
        try:
            return reader.read_to_end()
        finally:
            reader.close()

    def sunk(self) -> int:
        return sum(event.delta.sunk for event in self.events(Counted) if event.job_id == "j")

    def ids_of(self, keys: list[str]) -> Counter[str]:
        lines = [line for key in keys for line in self.store.get(key).splitlines()]
        return Counter(json.loads(line)["item_id"] for line in lines)

    def job_ids(self) -> Counter[str]:
        return self.ids_of([record.key for record in self.manifest() if record.job_id == "j"])

    def stream_ids(self) -> Counter[str]:
        return self.ids_of([found.key for found in self.store.list("stream/dt=")])

    def keys(self, prefix: str = "echo/j/") -> set[str]:
        return {found.key for found in self.store.list(prefix)}


@pytest.fixture
def settings(bootstrap_servers: str, topic_prefix: str, tmp_path: Path) -> Settings:
    kafka = {"bootstrap_servers": bootstrap_servers, "topic_prefix": topic_prefix, "session_timeout": 6}
    sink = {"flush_bytes": 20_000, "flush_age": 1.0, "eof_linger": 0.2}
    return settings_for(bootstrap_servers, topic_prefix, tmp_path, kafka=kafka, sink=sink, api={"partitions": 1})


@pytest.fixture
def harness(settings: Settings, tmp_path: Path) -> Harness:
    return Harness(settings, DirectoryStore(tmp_path / "store"))


@contextmanager
def held_at(harness: Harness, held: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A sink that waits in each put of a key with `held` in it, until `folder` has a file `release`.

    Killed with -9 when the block ends.
    """
    reached, file = folder / f"reached-{abs(hash(held))}", folder / "sink.json"
    given = {"held": held, "reached": str(reached), "release": str(folder / "release")}
    file.write_text(json.dumps({"settings": harness.settings.model_dump(mode="json"), **given}))
    with (folder / "sink.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.sink_process", str(file)], cwd=ROOT, stdout=log, stderr=log
        )
    try:
        until(lambda: reached.exists() or process.poll() is not None, f"a put of {held}")
        assert process.poll() is None, (folder / "sink.log").read_text()
        yield process
    finally:
        process.kill()
        process.wait()


def expected(count: int, prefix: str) -> Counter[str]:
    return Counter(f"{prefix}-{n}" for n in range(count))


def finalize(harness: Harness, **fields: Any) -> Finalized:
    harness.status(counts=Counts(sunk=harness.sunk()), **fields)
    until(lambda: len(harness.events(Finalized)) > 0, "finalized")
    harness.until_drained()
    [event] = harness.events(Finalized)
    assert isinstance(event, Finalized)
    return event


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
