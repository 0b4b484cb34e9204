"""From ended items to the records of one transaction: results, dead letters, progress. Pure but for big payloads."""

from __future__ import annotations

from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

import orjson

from stream_infer.dead_letters import CUT, dead_letter
from stream_infer.errors import Stage
from stream_infer.jobs.counts import Counts
from stream_infer.jobs.events import Counted, Event, HookEnded, encode_event
from stream_infer.ports import Store
from stream_infer.records import (
    REFERENCE,
    Failure,
    Header,
    Item,
    Message,
    OutgoingRecord,
    Output,
    result_headers,
    retry_headers,
)
from stream_infer.topics import ApiTopics
from stream_infer.worker.ledger import Entry, Prefix, Skipped
from stream_infer.worker.retry import Retried

# What a reference to a payload takes at most, and what is kept of a key and of headers that are too much.
REFERENCE_BYTES = 4096
CUT_BYTES = 1024
CUT_HEADERS = 64
_TOO_LARGE = "stream_infer.RecordTooLarge"


class PayloadKind(StrEnum):
    """The folders of payloads that no message can carry."""

    RESULT = "results"
    DEAD_LETTER = "dead-letters"


@dataclass(frozen=True, slots=True)
class DeliveryPolicy:
    """Who signs, where to, and how much a record may hold: the broker refuses more (see topics.py)."""

    topics: ApiTopics
    progress_topic: str
    worker: str
    api_version: str
    max_result_bytes: int
    max_dead_letter_bytes: int


class Delivery:
    """Builds what a transaction writes for the prefixes that a ledger gives."""

    def __init__(self, policy: DeliveryPolicy, store: Store, predictor: Callable[[], str]) -> None:
        self._policy = policy
        self._store = store
        self._predictor = predictor

    def records(self, prefixes: Iterable[Prefix], now: float, said: Iterable[Event] = ()) -> list[OutgoingRecord]:
        """Results, dead letters and retries in the order of their items, then the count deltas of each job and `said`.

        `now` in seconds since the epoch. Raises ServiceUnavailable where a payload has to go to the store and cannot.
        """
        records: list[OutgoingRecord] = []
        deltas: Counter[tuple[str, int, str]] = Counter()
        events: list[Event] = []
        for prefix in prefixes:
            for entry in prefix.entries:
                match entry.ended:
                    case HookEnded() as event:
                        events.append(event)
                    case Output() | Failure() | Retried() | Skipped():
                        record = self._record(entry)
                        if record is not None:
                            records.append(record)
                        count(deltas, entry)
        events += counted(deltas, now)
        events += said
        return records + [self._progress(event) for event in events]

    def _record(self, entry: Entry) -> OutgoingRecord | None:
        """What is written of the item; its end may become another one here, so it is counted afterwards."""
        item = entry.item
        match entry.ended:
            case Output(value=bytes() as value) as output if item is not None:
                record = self._result(item, output, entry)
                size = size_of(record)
                if size <= self._policy.max_result_bytes:
                    return record
                if size - len(value) > self._policy.max_result_bytes - REFERENCE_BYTES:
                    return self._refuse(entry, item, size - len(value))
                return self._result(item, self._stored_output(item, value, output.content_type), entry)
            case Failure() as failure if item is not None:
                return self._fitting(self._dead_letter(item, failure), item)
            case Retried() as retried if item is not None:
                return self._retry(entry, item, retried)
            case _:
                return None

    def _retry(self, entry: Entry, item: Item, retried: Retried) -> OutgoingRecord:
        """What came compressed may be too large for its tier; then the item ends as its failure says."""
        headers = retry_headers(item, attempt=retried.attempt, not_before=retried.not_before, since=retried.since)
        topic, most = self._policy.topics.retry(retried.tier), self._policy.max_dead_letter_bytes
        record = OutgoingRecord(topic, item.message.key, item.message.value, headers)
        if size_of(record) <= most:
            return record
        said = f"it takes {size_of(record):,} bytes, and {topic} takes {most:,}"
        entry.ended = failure = entry.failure or Failure(Stage.DELIVER, _TOO_LARGE, said, final=True)
        return self._fitting(self._dead_letter(item, failure), item)

    def _refuse(self, entry: Entry, item: Item, burden: int) -> OutgoingRecord:
        """A result carries its item's key and ids. Where they alone are too much, the item ends as a dead letter.

        The broker that took the item counts compressed bytes, so a key of many megabytes can come.
        """
        most = self._policy.max_result_bytes
        said = f"its key and ids take {burden:,} bytes, and a result may carry {most:,}"
        entry.ended = failure = Failure(Stage.DELIVER, _TOO_LARGE, said, final=True)
        return self._fitting(self._dead_letter(item, failure), item)

    def _result(self, item: Item, output: Output, entry: Entry) -> OutgoingRecord:
        headers = result_headers(item, output, jobless=entry.jobless)
        return OutgoingRecord(self._policy.topics.results, item.message.key, output.value, headers)

    def _dead_letter(self, item: Item, failure: Failure) -> OutgoingRecord:
        policy = self._policy
        return dead_letter(
            item,
            failure,
            policy.topics.dlq,
            predictor=self._predictor(),
            worker=policy.worker,
            api_version=policy.api_version,
        )

    def _fitting(self, record: OutgoingRecord, item: Item) -> OutgoingRecord:
        """A dead letter always fits: what is too big for its topic keeps its value in the store, by reference."""
        if size_of(record) <= self._policy.max_dead_letter_bytes:
            return record
        if size_of(record) - len(record.value or b"") > self._policy.max_dead_letter_bytes - REFERENCE_BYTES:
            return self._cut(record, item)
        value = self._reference(PayloadKind.DEAD_LETTER, item.message, record.value or b"", item.content_type)
        headers = (*record.headers, (Header.CONTENT_TYPE.value, REFERENCE.encode()))
        return OutgoingRecord(record.topic, record.key, value, headers)

    def _cut(self, record: OutgoingRecord, item: Item) -> OutgoingRecord:
        """Key or headers are too much for any record: the whole original goes to the store, their ends stay here."""
        original = {
            "key": b64encode(record.key or b"").decode(),
            "value": b64encode(record.value or b"").decode(),
            "headers": [[name, b64encode(value or b"").decode()] for name, value in item.message.headers],
        }
        value = self._reference(PayloadKind.DEAD_LETTER, item.message, orjson.dumps(original), CUT)
        added = record.headers[len(item.message.headers) :]
        kept = [(name[:CUT_BYTES], (value or b"")[:CUT_BYTES]) for name, value in item.message.headers[:CUT_HEADERS]]
        headers = (*kept, *added, (Header.CONTENT_TYPE.value, REFERENCE.encode()))
        return OutgoingRecord(record.topic, (record.key or b"")[:CUT_BYTES], value, headers)

    def _stored_output(self, item: Item, value: bytes, content_type: str) -> Output:
        return Output(self._reference(PayloadKind.RESULT, item.message, value, content_type), REFERENCE)

    def _reference(self, kind: PayloadKind, message: Message, data: bytes, content_type: str) -> bytes:
        """Stores `data` under the item's own place, so that doing it again leaves no second object."""
        key = f"_payloads/{kind}/{message.topic}-{message.partition}-{message.offset}"
        self._store.put(key, data, content_type)
        return orjson.dumps({"uri": self._store.uri(key), "content_type": content_type})

    def _progress(self, event: Event) -> OutgoingRecord:
        return OutgoingRecord(self._policy.progress_topic, event.job_id.encode(), encode_event(event))


def size_of(record: OutgoingRecord) -> int:
    """Bytes that a broker is asked to take, before compression and framing."""
    headers = sum(len(name) + len(value or b"") for name, value in record.headers)
    return len(record.value or b"") + len(record.key or b"") + headers


def count(deltas: Counter[tuple[str, int, str]], entry: Entry) -> None:
    """Adds one item's end to its job's deltas; a job-less item has none."""
    item = entry.item
    if item is None or item.job_id is None or entry.jobless:
        return
    job = (item.job_id, item.generation)
    match entry.ended:
        case Output(value=None):
            deltas[*job, "succeeded"] += 1
        case Output():
            deltas[*job, "succeeded"] += 1
            deltas[*job, "written"] += 1
        case Failure():
            deltas[*job, "rejected"] += 1
            deltas[*job, "written"] += 1
        case Skipped():
            deltas[*job, "skipped"] += 1


def counted(deltas: Counter[tuple[str, int, str]], now: float) -> list[Event]:
    """One event for each job and generation."""
    jobs: dict[tuple[str, int], dict[str, int]] = {}
    for (job_id, generation, name), number in deltas.items():
        jobs.setdefault((job_id, generation), {})[name] = number
    return [
        Counted(job_id=job_id, generation=generation, at=now, delta=Counts.model_validate(delta))
        for (job_id, generation), delta in jobs.items()
    ]
