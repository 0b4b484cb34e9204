"""What one transaction of an intake says: items, checkpoint, count and events. Pure but for `fitted`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import orjson

from stream_infer.headers import item_headers, item_id_of, trace_headers
from stream_infer.jobs.checkpoints import Checkpoint, encode_checkpoint
from stream_infer.jobs.counts import Counts
from stream_infer.jobs.events import Counted, EnqueuingStarted, Event, Exhausted, encode_event
from stream_infer.jobs.spec import Job
from stream_infer.ports import SourceItem, Store
from stream_infer.records import REFERENCE, Headers, OutgoingRecord, Payload
from stream_infer.topics import Topics


@dataclass(frozen=True, slots=True)
class Chunk:
    """What came of a source in one go. `ended`: nothing is behind it; `error` says why, where it broke off."""

    items: Sequence[SourceItem]
    ended: bool = False
    error: str | None = None


def next_checkpoint(before: Checkpoint, chunk: Chunk) -> Checkpoint:
    return Checkpoint(
        job_id=before.job_id,
        cursor=chunk.items[-1].cursor if chunk.items else before.cursor,
        enqueued=before.enqueued + len(chunk.items),
        exhausted=chunk.ended,
        submitted_at=before.submitted_at,
    )


class Publication:
    """Turns chunks into records. Item ids follow from job and ordinal alone: a second run names them alike.

    The items of one batch, where the job wants some of a size, lie together: a key that they share puts them into one
    partition. All of its items do where it wants one worker, with the control record of its hook.
    """

    def __init__(self, topics: Topics, store: Store, max_item_bytes: int) -> None:
        """`max_item_bytes`: of a payload that travels in a message, as far as the topics are as they should be."""
        self._topics = topics
        self._store = store
        self.max_item_bytes = max_item_bytes

    def records(self, job: Job, before: Checkpoint, chunk: Chunk, *, first: bool, now: float) -> list[OutgoingRecord]:
        """All records of one transaction; the chunk's items are `fitted`. `now` in seconds since the epoch."""
        topic, trace = self.topic(job), trace_headers(job.trace)
        items = [self._item(topic, job, before.enqueued + n, item, trace) for n, item in enumerate(chunk.items)]
        checkpoint = encode_checkpoint(next_checkpoint(before, chunk))
        events: list[Event] = [EnqueuingStarted(job_id=job.job_id, at=now)] if first else []
        if chunk.items:
            events.append(Counted(job_id=job.job_id, at=now, delta=Counts(enqueued=len(chunk.items))))
        if chunk.ended:
            events.append(Exhausted(job_id=job.job_id, at=now, error=chunk.error))
        key = job.job_id.encode()
        said = [self.event(event) for event in events]
        return [*items, OutgoingRecord(self._topics.checkpoints, key, checkpoint), *said]

    def topic(self, job: Job) -> str:
        """That of its items."""
        return self._topics.api(job.api).items

    def forgetting(self, job_ids: Sequence[str]) -> list[OutgoingRecord]:
        """What makes their checkpoints go."""
        return [OutgoingRecord(self._topics.checkpoints, job_id.encode(), None) for job_id in job_ids]

    def event(self, event: Event) -> OutgoingRecord:
        return OutgoingRecord(self._topics.progress, event.job_id.encode(), encode_event(event))

    def _item(self, topic: str, job: Job, ordinal: int, item: SourceItem, trace: Headers) -> OutgoingRecord:
        headers = item_headers(
            content_type=item.payload.content_type,
            job_id=job.job_id,
            item_id=item_id_of(job.job_id, ordinal),
            custom_id=item.custom_id,
            source=item.source,
            refused=item.refused,
        )
        return OutgoingRecord(topic, item.key or _key_of_batch(job, ordinal), item.payload.data, headers + trace)

    def fitted(self, job: Job, ordinal: int, item: SourceItem, most: int) -> SourceItem:
        """A payload of more than `most` bytes is put into the store, and travels as a reference. May block.

        Raises ServiceUnavailable.
        """
        payload = item.payload
        if len(payload.data) <= most:
            return item
        key = f"_payloads/items/{job.job_id}/{ordinal}"
        self._store.put(key, payload.data, payload.content_type)
        reference = {"uri": self._store.uri(key), "content_type": payload.content_type}
        return replace(item, payload=Payload(orjson.dumps(reference), REFERENCE))


def _key_of_batch(job: Job, ordinal: int) -> bytes | None:
    if job.batch_size is None:
        return None
    return (job.job_id if job.workers == 1 else f"{job.job_id}/{ordinal // job.batch_size}").encode()
