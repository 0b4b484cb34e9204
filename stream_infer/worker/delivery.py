"""From ended items to the records of one transaction: results, dead letters, progress.

Pure, but that payloads that no message can carry are on their way into the store from here on.
"""

from __future__ import annotations

from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import orjson

from stream_infer.dead_letters import CUT, dead_letter
from stream_infer.errors import Stage
from stream_infer.headers import Header, result_headers, retry_headers
from stream_infer.jobs.counts import Counts
from stream_infer.jobs.events import Counted, Event, HookEnded, encode_event
from stream_infer.records import REFERENCE, Failure, Headers, Item, OutgoingRecord, Output
from stream_infer.topics import ApiTopics
from stream_infer.worker.ledger import Entry, Prefix, Skipped
from stream_infer.worker.payloads import OnItsWay, PayloadKind, Payloads
from stream_infer.worker.results import OrdinaryResults, size_of_headers
from stream_infer.worker.retry import Retried

# What a reference to a payload takes at most, and what is kept of a key and of headers that are too much.
REFERENCE_BYTES = 4096
CUT_BYTES = 1024
CUT_HEADERS = 64
_OURS = frozenset(header.value for header in Header)
_TOO_LARGE = "stream_infer.RecordTooLarge"


@dataclass(frozen=True, slots=True)
class DeliveryPolicy:
    """Who signs, where to, and how much a record may hold: the broker refuses more (see topics.py)."""

    topics: ApiTopics
    progress_topic: str
    worker: str
    api_version: str
    max_result_bytes: int
    max_dead_letter_bytes: int


@dataclass(frozen=True, slots=True)
class Transaction:
    """What one transaction writes: the records of the items of `prefixes`, whose offsets it commits.

    `waiting` has ended, too, and its payload has to be in the store first: nothing behind it is in `prefixes`.
    """

    prefixes: list[Prefix]
    records: list[OutgoingRecord]
    waiting: list[Entry]


class Delivery:
    """Builds what a transaction writes for the prefixes that a ledger gives."""

    def __init__(self, policy: DeliveryPolicy, payloads: Payloads, predictor: Callable[[], str]) -> None:
        self._policy = policy
        self.payloads = payloads
        self._predictor = predictor

    def transaction(self, prefixes: Iterable[Prefix], now: float, said: Iterable[Event] = ()) -> Transaction:
        """Results, dead letters and retries in the order of their items, then the count deltas of each job and `said`.

        `now` in seconds since the epoch.
        """
        built = Transaction([], [], [])
        ordinary = OrdinaryResults(self._policy.topics.results, self._policy.max_result_bytes)
        deltas: Counter[tuple[str, int, str]] = Counter()
        events: list[Event] = []
        for prefix in prefixes:
            ready = prefix
            try:
                for entry, record in ordinary.records(prefix.entries):
                    if record is not None:
                        built.records.append(record)
                        continue
                    match entry.ended:
                        case HookEnded() as event:
                            events.append(event)
                        case Output() | Failure() | Retried() | Skipped():
                            other = self._record(entry)
                            if other is not None:
                                built.records.append(other)
                            count(deltas, entry)
            except OnItsWay:
                ready = self._cut_off(prefix, entry, built.waiting)
            if ready.entries:
                built.prefixes.append(ready)
        for job, succeeded in ordinary.counts().items():
            deltas[*job, "succeeded"] += succeeded
            deltas[*job, "written"] += succeeded
        events += counted(deltas, now)
        events += said
        built.records.extend([self._progress(event) for event in events])
        return built

    def _cut_off(self, prefix: Prefix, first: Entry, waiting: list[Entry]) -> Prefix:
        """What stands before the `first` that has to wait; the payloads behind it set out meanwhile."""
        at = next(number for number, entry in enumerate(prefix.entries) if entry is first)
        waiting.append(first)
        for entry in prefix.entries[at + 1 :]:
            try:
                self._record(entry)
            except OnItsWay:
                waiting.append(entry)
        return Prefix(prefix.partition, prefix.entries[:at])

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
                return self._fitting(self._dead_letter(item, failure, entry.failed_at), item)
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
        return self._fitting(self._dead_letter(item, failure, entry.failed_at), item)

    def _refuse(self, entry: Entry, item: Item, burden: int) -> OutgoingRecord:
        """A result carries its item's key and ids. Where they alone are too much, the item ends as a dead letter.

        The broker that took the item counts compressed bytes, so a key of many megabytes can come.
        """
        most = self._policy.max_result_bytes
        said = f"its key and ids take {burden:,} bytes, and a result may carry {most:,}"
        entry.ended = failure = Failure(Stage.DELIVER, _TOO_LARGE, said, final=True)
        return self._fitting(self._dead_letter(item, failure, entry.failed_at), item)

    def _result(self, item: Item, output: Output, entry: Entry) -> OutgoingRecord:
        headers = result_headers(item, output.content_type, jobless=entry.jobless)
        return OutgoingRecord(self._policy.topics.results, item.message.key, output.value, headers)

    def _dead_letter(self, item: Item, failure: Failure, failed_at: float | None) -> OutgoingRecord:
        policy = self._policy
        return dead_letter(
            item,
            failure,
            policy.topics.dlq,
            predictor=self._predictor(),
            worker=policy.worker,
            api_version=policy.api_version,
            failed_at=failed_at,
        )

    def _fitting(self, record: OutgoingRecord, item: Item) -> OutgoingRecord:
        """A dead letter always fits: what is too big for its topic keeps its value in the store, by reference."""
        if size_of(record) <= self._policy.max_dead_letter_bytes:
            return record
        if size_of(record) - len(record.value or b"") > self._policy.max_dead_letter_bytes - REFERENCE_BYTES:
            return self._cut(record, item)
        value = self.payloads.reference(
            PayloadKind.DEAD_LETTER, item.message.position, record.value or b"", item.content_type
        )
        headers = (*record.headers, (Header.CONTENT_TYPE.value, REFERENCE.encode()))
        return OutgoingRecord(record.topic, record.key, value, headers)

    def _cut(self, record: OutgoingRecord, item: Item) -> OutgoingRecord:
        """Key or headers are too much for any record: the whole original goes to the store, their ends stay here."""
        original = {
            "key": b64encode(record.key or b"").decode(),
            "value": b64encode(record.value or b"").decode(),
            "headers": [[name, b64encode(value or b"").decode()] for name, value in item.message.headers],
        }
        value = self.payloads.reference(PayloadKind.DEAD_LETTER, item.message.position, orjson.dumps(original), CUT)
        added = record.headers[len(item.message.headers) :]
        headers = (*_cut_headers(item.message.headers), *added, (Header.CONTENT_TYPE.value, REFERENCE.encode()))
        return OutgoingRecord(record.topic, (record.key or b"")[:CUT_BYTES], value, headers)

    def _stored_output(self, item: Item, value: bytes, content_type: str) -> Output:
        reference = self.payloads.reference(PayloadKind.RESULT, item.message.position, value, content_type)
        return Output(reference, REFERENCE)

    def _progress(self, event: Event) -> OutgoingRecord:
        return OutgoingRecord(self._policy.progress_topic, event.job_id.encode(), encode_event(event))


def _cut_headers(headers: Headers) -> Headers:
    """The first ones, and of each name of ours the one that counts, so that it is known whose item it is: all cut."""
    ours = {name.lower(): at for at, (name, value) in enumerate(headers) if name.lower() in _OURS and value is not None}
    kept = [headers[at] for at in sorted({*range(min(CUT_HEADERS, len(headers))), *ours.values()})]
    return tuple((name[:CUT_BYTES], None if value is None else value[:CUT_BYTES]) for name, value in kept)


def size_of(record: OutgoingRecord) -> int:
    """Bytes that a broker is asked to take, before compression and framing."""
    return len(record.value or b"") + len(record.key or b"") + size_of_headers(record.headers)


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
