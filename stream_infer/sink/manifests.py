"""All manifest records in memory, by job, as far as they are committed."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from stream_infer.errors import ServiceUnavailable
from stream_infer.jobs.manifest import ManifestRecord, decode_manifest, job_of_manifest_key
from stream_infer.jobs.status import JobStatus
from stream_infer.kafka.views import CompactedView
from stream_infer.settings import KafkaSettings
from stream_infer.sink.assembly import is_whole

log = structlog.get_logger(__name__)

_CATCH_UP_S = 30.0
_READ_AGAIN_S = 0.1
_TELL_EVERY = 50


class Manifests:
    """Follows `{p}.manifests` on a thread of its own; any thread may read."""

    def __init__(self, kafka: KafkaSettings, topic: str) -> None:
        self._jobs: dict[str, dict[str, ManifestRecord]] = {}
        self._view = CompactedView(kafka, topic, decode_manifest, self._changed)

    def start(self) -> None:
        """Raises TopicMismatch or ServiceUnavailable."""
        self._view.start()

    def close(self) -> None:
        self._view.close()

    def whole(self, status: JobStatus, pause: Callable[[float], None]) -> list[ManifestRecord]:
        """Every record of the job, once they account for all that is sunk; blocks until then.

        `pause(seconds)` waits between two looks, or raises to give up. Raises ServiceUnavailable.
        """
        looks = 0
        while True:
            try:
                self._view.catch_up().result(_CATCH_UP_S)
            except TimeoutError:
                raise ServiceUnavailable(f"reading the manifests took more than {_CATCH_UP_S:.0f} s") from None
            records = list(self._jobs.get(status.job_id, {}).copy().values())
            if is_whole(status, records):
                return records
            looks += 1
            if looks % _TELL_EVERY == 0:
                found = sum(record.count for record in records)
                log.error("manifest_incomplete", job_id=status.job_id, found=found, sunk=status.counts.sunk)
            pause(_READ_AGAIN_S)

    def _changed(self, key: str, record: ManifestRecord | None) -> None:
        job_id = job_of_manifest_key(key.encode())
        if record is not None:
            self._jobs.setdefault(job_id, {})[key] = record
            return
        kept = self._jobs.get(job_id, {})
        kept.pop(key, None)
        if not kept:
            self._jobs.pop(job_id, None)
