"""`{p}.webhooks` in memory, on every replica alike: what has become of each event that is to be told."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from operator import attrgetter

from stream_infer.jobs.deliveries import Delivery, WebhookRecord, Wish, decode_webhook, job_of_key
from stream_infer.kafka.partitioner import partition_of
from stream_infer.kafka.views import CompactedView
from stream_infer.settings import KafkaSettings
from stream_infer.topics import Topics


class DeliveryBoard:
    """Any thread may ask."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._of_job: dict[str, tuple[str, ...]] = {}
        self._wishes: dict[str, Wish] = {}
        self._view: CompactedView[WebhookRecord] = CompactedView(
            kafka, Topics(kafka.topic_prefix).webhooks, decode_webhook, self._on_record, key_of=attrgetter("key")
        )

    def start(self) -> None:
        """Blocks until all is read. Raises TopicMismatch or ServiceUnavailable."""
        self._view.start()

    def close(self) -> None:
        self._view.close()

    def catch_up(self) -> Future[None]:
        """Done once all that was committed before the call is seen; fails with ServiceUnavailable."""
        return self._view.catch_up()

    def of(self, job_id: str) -> list[Delivery]:
        """A job's, the oldest first, as far as they were read."""
        records = (self._view.get(key) for key in self.keys_of(job_id))
        return sorted((one for one in records if isinstance(one, Delivery)), key=attrgetter("at"))

    def keys_of(self, job_id: str) -> tuple[str, ...]:
        """Of every record about the job."""
        return self._of_job.get(job_id, ())

    def all(self) -> Iterator[Delivery]:
        """In no order."""
        return (one for one in self._view.snapshot().values() if isinstance(one, Delivery))

    def get(self, key: str) -> Delivery | None:
        found = self._view.get(key)
        return found if isinstance(found, Delivery) else None

    def in_partition(self, number: int, partitions: int) -> Iterator[Delivery]:
        """Those whose job lies there, in no order."""
        return (one for one in self.all() if partition_of(one.job_id, partitions) == number)

    def wishes(self) -> list[Wish]:
        """What is to be told again: few, since whoever grants one removes it."""
        return list(self._wishes.copy().values())

    @property
    def has_wishes(self) -> bool:
        return bool(self._wishes)

    def _on_record(self, key: str, record: WebhookRecord | None) -> None:
        """On the view's thread, the only one that changes anything."""
        job_id = job_of_key(key)
        others = tuple(one for one in self.keys_of(job_id) if one != key)
        keys = others if record is None else (*others, key)
        if keys:
            self._of_job[job_id] = keys
        else:
            self._of_job.pop(job_id, None)
        if isinstance(record, Wish):
            self._wishes[record.name] = record
        elif record is None:
            self._wishes.pop(key.removesuffix("/again"), None)
