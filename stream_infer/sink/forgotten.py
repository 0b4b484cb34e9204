"""Manifest records of jobs that the tracker has forgotten: removed by the sink that finalizes their partition.

`status` names every job of which there can be objects: its items were published only when it did, and it is read behind
the manifests here. Records that are younger than a job is remembered stay in any case. A record's key holds the name of
its object, which no other job can have; so that it is removed twice, or late, harms nobody. The objects themselves are
their owner's.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing

import structlog

from stream_infer.errors import StreamInferError
from stream_infer.jobs.manifest import job_of_manifest_key
from stream_infer.kafka.publisher import Publisher
from stream_infer.kafka.topic_reader import TopicReader
from stream_infer.records import OutgoingRecord
from stream_infer.settings import Settings
from stream_infer.topics import Topics

LOOK_EVERY_S = 3600.0
_PUBLISHED = 1000  # at a time
_log = structlog.get_logger(__name__)


class ForgottenManifests:
    """A thread of the sink calls `run`; `mine` are the partitions that are this sink's to finalize, at the moment."""

    def __init__(self, settings: Settings, mine: Callable[[], Iterable[int]]) -> None:
        self._kafka = kafka = settings.kafka
        self._retention_s = settings.jobs.retention
        self._topics = Topics(kafka.topic_prefix)
        self._mine = mine

    def run(self, stop: threading.Event, on_ready: Callable[[], None]) -> None:
        """Looks now and then until `stop`; a Kafka that is away is told, and asked again the next time."""
        on_ready()
        while not stop.wait(LOOK_EVERY_S):
            try:
                for partition in list(self._mine()):
                    self.remove(partition)
            except StreamInferError as error:
                _log.warning("forgotten_manifests_wait", error=str(error))

    def remove(self, partition: int) -> None:
        """All of one partition. Raises ServiceUnavailable or TopicMismatch."""
        old_ms = (time.time() - self._retention_s) * 1000
        kept = self._written(self._topics.manifests, partition)
        known = {key.decode(errors="replace") for key in self._written(self._topics.status, partition)}
        gone = [key for key, at_ms in kept.items() if at_ms < old_ms and job_of_manifest_key(key) not in known]
        if gone:
            self._publish([OutgoingRecord(self._topics.manifests, key, None, partition=partition) for key in gone])
            _log.info("forgotten_manifests_removed", partition=partition, records=len(gone))

    def _written(self, topic: str, partition: int) -> dict[bytes, int]:
        """When the record of each key was written that is no tombstone, in ms since the epoch."""
        found: dict[bytes, int] = {}
        with closing(TopicReader(self._kafka, topic, [partition])) as reader:
            for message in reader.read_on():
                if message.value is None:
                    found.pop(message.key or b"", None)
                else:
                    found[message.key or b""] = message.timestamp_ms
        return found

    def _publish(self, records: Sequence[OutgoingRecord]) -> None:
        with closing(Publisher(self._kafka, "forgotten-manifests")) as publisher:
            for start in range(0, len(records), _PUBLISHED):
                publisher.publish(records[start : start + _PUBLISHED])
