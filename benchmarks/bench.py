"""One broker for all that is measured in a run, and topics of its own for each single run on it."""

from __future__ import annotations

import shutil
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from benchmarks.load import JOB_ID, PARTITIONS
from stream_infer.configuration import load_settings
from stream_infer.jobs.spec import Job, encode_job
from stream_infer.jobs.status import JobStatus, State, encode_status
from stream_infer.kafka.admin import apply
from stream_infer.kafka.publisher import Publisher
from stream_infer.local.broker import BrokerConfig, LocalBroker
from stream_infer.records import OutgoingRecord
from stream_infer.settings import Settings
from stream_infer.topics import Topics, topic_specs

API = "bench"
BATCH = 256
NULL_API: Mapping[str, Any] = {
    "predictor": {"type": "native", "target": "benchmarks.null_predictor:Null"},
    "batching": {"max_batch_size": BATCH},
}
_ADMIN_S = 30.0
_SHARED_MEMORY = "/dev/shm"
_ROOM = 16 << 30


@dataclass(frozen=True, slots=True)
class Lane:
    """The topics of one run, what a worker that reads them is told, and a folder to write in."""

    bootstrap: str
    folder: Path
    settings: Settings
    config: Path

    @property
    def source(self) -> str:
        return Topics(self.settings.kafka.topic_prefix).api(API).items

    @property
    def target(self) -> str:
        return Topics(self.settings.kafka.topic_prefix).api(API).results

    @property
    def group(self) -> str:
        return Topics(self.settings.kafka.topic_prefix).api(API).worker_group

    def role(self, *words: str) -> list[str]:
        """The command of one of stream-infer's own processes."""
        return [sys.executable, "-m", "stream_infer", "-f", str(self.config), *words]


class Bench:
    """A running broker and a folder for everything."""

    def __init__(self, bootstrap: str, broker_pid: int, folder: Path) -> None:
        self.bootstrap = bootstrap
        self.broker_pid = broker_pid
        self.folder = folder
        self.admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})

    @property
    def is_in_memory(self) -> bool:
        return self.folder.is_relative_to(_SHARED_MEMORY)

    @contextmanager
    def lane(
        self, api: Mapping[str, Any] = NULL_API, *, all_topics: bool, changes: Mapping[str, Any] | None = None
    ) -> Iterator[Lane]:
        """Fresh topics, deleted at the end: all that stream-infer has, or the two that any loop needs."""
        prefix = f"bench-{uuid.uuid4().hex[:8]}"
        folder = self.folder / prefix
        folder.mkdir()
        config = folder / "stream-infer.yaml"
        whole = {
            "kafka": {"bootstrap_servers": self.bootstrap, "topic_prefix": prefix},
            "store": f"file://{folder / 'store'}",
            "state_dir": str(folder / "state"),
            "apis": [{"name": API, "partitions": PARTITIONS, **api}],
            **(changes or {}),
        }
        config.write_text(yaml.safe_dump(whole))
        lane = Lane(self.bootstrap, folder, load_settings(config, {}), config)
        names = [spec.name for spec in topic_specs(lane.settings)] if all_topics else [lane.source, lane.target]
        if all_topics:
            apply(lane.settings)
        else:
            self._create(lane, names)
        try:
            yield lane
        finally:
            for future in self.admin.delete_topics(names, operation_timeout=_ADMIN_S).values():
                with suppress(KafkaException):
                    future.result()

    def _create(self, lane: Lane, names: list[str]) -> None:
        specs = [spec for spec in topic_specs(lane.settings) if spec.name in names]
        topics = [NewTopic(spec.name, spec.partitions, 1, config=dict(spec.config)) for spec in specs]
        for future in self.admin.create_topics(topics, operation_timeout=_ADMIN_S).values():
            future.result()


def _scratch() -> str | None:
    """In memory, where there is room: on a disk, what was measured before is still being written beside what is now."""
    with suppress(OSError):
        if shutil.disk_usage(_SHARED_MEMORY).free > _ROOM:
            return _SHARED_MEMORY
    return None


@contextmanager
def open_bench() -> Iterator[Bench]:
    """A broker with its data in a temporary folder; nothing of it is left."""
    with (
        tempfile.TemporaryDirectory(prefix="stream-infer-bench-", dir=_scratch(), ignore_cleanup_errors=True) as folder,
        # A segment of a deleted topic goes after a minute; runs of 100 KB items would pile up.
        LocalBroker(BrokerConfig(Path(folder) / "kafka", overrides={"log.segment.delete.delay.ms": "1000"})) as broker,
    ):
        yield Bench(broker.bootstrap_servers, broker.pid, Path(folder))


def announce_job(lane: Lane) -> None:
    """The job that items with a job's headers name: known and running, as gateway and tracker would say."""
    topics = Topics(lane.settings.kafka.topic_prefix)
    key = JOB_ID.encode()
    job = Job(job_id=JOB_ID, api=API, submitted_at=0.0)
    status = JobStatus(job_id=JOB_ID, api=API, state=State.RUNNING)
    publisher = Publisher(lane.settings.kafka, "bench")
    publisher.publish(
        [
            OutgoingRecord(topics.jobs, key, encode_job(job)),
            OutgoingRecord(topics.status, key, encode_status(status)),
        ]
    )
    publisher.close()
