"""From ended items to their records: results, dead letters, retries.

Pure, but that payloads that no message can carry are on their way into the store from here on.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass

import orjson

from stream_infer.dead_letters import CUT, dead_letter
from stream_infer.errors import Stage
from stream_infer.headers import Header, result_headers, retry_headers, size_of_headers
from stream_infer.jobs.events import Event, encode_event
from stream_infer.records import REFERENCE, Failure, Headers, Item, OutgoingRecord, Output
from stream_infer.topics import ApiTopics
from stream_infer.worker.held import Entry
from stream_infer.worker.payloads import PayloadKind, Payloads
from stream_infer.worker.results import OrdinaryResults
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


class Delivery:
    """Builds what is written of an item, and of a job's progress."""

    def __init__(
        self,
        policy: DeliveryPolicy,
        payloads: Payloads,
        predictor: Callable[[], str],
        format_of: Callable[[str | None], str | None] = lambda _: None,
    ) -> None:
        """`format_of` says how the results of a job are to lie in the store, None: as usual."""
        self._policy = policy
        self._format_of = format_of
        self.payloads = payloads
        self._predictor = predictor

    def results(self) -> OrdinaryResults:
        """Builds those of one transaction that are what most are."""
        return OrdinaryResults(self._policy.topics.results, self._policy.max_result_bytes, self._format_of)

    def record(self, entry: Entry) -> OutgoingRecord | None:
        """What is written of the item; its end may become another one here, so it is counted afterwards.

        Raises OnItsWay where its payload has to be in the store first.
        """
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
        format_ = self._format_of(None if entry.jobless else item.job_id)
        headers = result_headers(item, output.content_type, jobless=entry.jobless, result_format=format_)
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
            group=policy.topics.worker_group,
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

    def progress(self, event: Event) -> OutgoingRecord:
        return OutgoingRecord(self._policy.progress_topic, event.job_id.encode(), encode_event(event))


def _cut_headers(headers: Headers) -> Headers:
    """The first ones, and of each name of ours the one that counts, so that it is known whose item it is: all cut."""
    ours = {name.lower(): at for at, (name, value) in enumerate(headers) if name.lower() in _OURS and value is not None}
    kept = [headers[at] for at in sorted({*range(min(CUT_HEADERS, len(headers))), *ours.values()})]
    return tuple((name[:CUT_BYTES], None if value is None else value[:CUT_BYTES]) for name, value in kept)


def size_of(record: OutgoingRecord) -> int:
    """Bytes that a broker is asked to take, before compression and framing."""
    return len(record.value or b"") + len(record.key or b"") + size_of_headers(record.headers)
