"""A job's manifest records, read when the job is assembled: those of all jobs would fill memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing

import structlog

from stream_infer.errors import ServiceUnavailable
from stream_infer.jobs.manifest import ManifestRecord, decode_manifest, job_of_manifest_key, manifest_key
from stream_infer.jobs.status import JobStatus
from stream_infer.kafka.partitioner import partition_of
from stream_infer.kafka.topic_reader import TopicReader
from stream_infer.records import Message
from stream_infer.settings import Settings
from stream_infer.sink.assembly import is_whole
from stream_infer.topics import Topics

log = structlog.get_logger(__name__)

_SILENCE_S = 30.0
_READ_AGAIN_S = 0.1
_TELL_EVERY = 50
# By how much the clocks of gateway and sink are taken to differ at most, in seconds.
_CLOCKS_DIFFER_S = 3600.0


class Manifests:
    """Reads `{p}.manifests`; any thread may ask."""

    def __init__(self, settings: Settings) -> None:
        self._kafka = settings.kafka
        self._partitions = settings.jobs.partitions
        self._topic = Topics(settings.kafka.topic_prefix).manifests

    def check(self) -> None:
        """Raises TopicMismatch or ServiceUnavailable."""
        TopicReader(self._kafka, self._topic).close()

    def whole(self, status: JobStatus, pause: Callable[[float], None]) -> list[ManifestRecord]:
        """Every record of the job, once they account for all that is sunk; blocks until then.

        Reads from the job's submission on. `pause(seconds)` waits between two looks, or raises to give up. Raises
        ServiceUnavailable.
        """
        found: dict[bytes, ManifestRecord] = {}
        with closing(TopicReader(self._kafka, self._topic, [partition_of(status.job_id, self._partitions)])) as reader:
            reader.start_at(max(0.0, status.submitted_at - _CLOCKS_DIFFER_S))
            looks = 0
            while True:
                _read_on(reader, status.job_id, found)
                if is_whole(status, found.values()):
                    return list(found.values())
                looks += 1
                if looks % _TELL_EVERY == 0:
                    count = sum(record.count for record in found.values())
                    log.error("manifest_incomplete", job_id=status.job_id, found=count, sunk=status.counts.sunk)
                    reader.start_at(0.0)  # in case that clocks differ by more
                pause(_READ_AGAIN_S)


def _read_on(reader: TopicReader, job_id: str, found: dict[bytes, ManifestRecord]) -> None:
    """To the present end."""
    ends, heard = reader.ends(), time.monotonic()
    while not reader.has_reached(ends):
        messages = reader.poll(0.1)
        for message in messages:
            if job_of_manifest_key(message.key or b"") == job_id:
                _see(message, found)
        if messages:
            heard = time.monotonic()
        elif time.monotonic() > heard + _SILENCE_S:
            raise ServiceUnavailable(f"reading the manifests, nothing has come for {_SILENCE_S:.0f} s")


def _see(message: Message, found: dict[bytes, ManifestRecord]) -> None:
    """A record that no sink wrote, or that speaks of another object than its key names, is passed over."""
    key = message.key or b""
    if message.value is None:
        found.pop(key, None)
        return
    try:
        record = decode_manifest(message.value)
    except ValueError as error:
        log.warning("unreadable_record", topic=message.topic, offset=message.offset, error=str(error))
        return
    if manifest_key(record) == key:
        found[key] = record
