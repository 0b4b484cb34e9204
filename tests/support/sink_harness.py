"""What stands around a sink in a test: writes what workers and tracker would, and reads what the sink made of it."""

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from confluent_kafka import Producer

from connectors.formats import jsonl
from stream_infer.dead_letters import dead_letter
from stream_infer.errors import Stage
from stream_infer.headers import item_headers, item_id_of, read_item
from stream_infer.jobs.counts import Counts
from stream_infer.jobs.events import Counted, Event, Finalized, decode_event
from stream_infer.jobs.manifest import ManifestRecord, decode_manifest
from stream_infer.jobs.status import JobStatus, Phase, State, encode_status
from stream_infer.kafka.admin import apply, group_lag
from stream_infer.kafka.partitioner import partition_of
from stream_infer.kafka.producer import TransactionalProducer
from stream_infer.kafka.topic_reader import TopicReader
from stream_infer.ports import Store
from stream_infer.records import Failure, OutgoingRecord
from stream_infer.settings import Settings
from stream_infer.sink.role import run
from stream_infer.topics import Topics
from tests.support.items import item_at
from tests.support.roles import running

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
        named = item_headers(job_id=job_id, item_id=item_id, **headers)
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

    def progress_end(self, job_id: str) -> int:
        """Of the job's partition."""
        place = partition_of(job_id, self.settings.jobs.partitions)
        with closing(TopicReader(self.settings.kafka, self.topics.progress, [place])) as reader:
            return reader.ends()[place]

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


def expected(count: int, prefix: str) -> Counter[str]:
    return Counter(f"{prefix}-{n}" for n in range(count))


def finalize(harness: Harness, **fields: Any) -> Finalized:
    harness.status(counts=Counts(sunk=harness.sunk()), **fields)
    until(lambda: len(harness.events(Finalized)) > 0, "finalized")
    harness.until_drained()
    [event] = harness.events(Finalized)
    assert isinstance(event, Finalized)
    return event


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
