"""A dead letter: the item's key, value and headers untouched, plus why it ended there, in Kafka Connect's words.

Header families: KIP-298's (`__connect.errors.*`), and Spring's (`kafka_dlt-*`), so that existing tools read it. The
stack is in Connect's alone: it may have 16 KiB.
Dead letters that others put on our topic are read as well: Kafka Connect's, Spring's (`kafka_dlt-*`, whose numbers are
big-endian integers) and those of Kafka's share groups (KIP-1191, `__dlq.errors.*`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from stream_infer.errors import Stage
from stream_infer.headers import Header, read_item
from stream_infer.records import Failure, Headers, Item, Message, OutgoingRecord, Position
from stream_infer.redaction import redact_text

STACK_LIMIT = 16 * 1024
MESSAGE_LIMIT = 4 * 1024

# The type of what a reference leads to where key and headers were too much for a dead letter, too: all of the original.
CUT = "application/vnd.stream-infer.cut+json"

_CONNECT = "__connect.errors."
_SPRING = "kafka_dlt-"
_SHARE_GROUP = "__dlq.errors."
ERROR_PREFIXES = (_CONNECT, _SPRING, _SHARE_GROUP)
_NOWHERE = Position("", -1, -1)
_MOMENT = re.compile(rb"\d{1,10}\.\d{3}")
_STAGES = {stage.value: stage for stage in Stage}


class ErrorHeader(StrEnum):
    TOPIC = "__connect.errors.topic"
    PARTITION = "__connect.errors.partition"
    OFFSET = "__connect.errors.offset"
    STAGE = "__connect.errors.stage"
    CLASS_NAME = "__connect.errors.class.name"
    EXCEPTION = "__connect.errors.exception.class.name"
    MESSAGE = "__connect.errors.exception.message"
    STACKTRACE = "__connect.errors.exception.stacktrace"
    ORIGINAL_TOPIC = "kafka_dlt-original-topic"
    ORIGINAL_PARTITION = "kafka_dlt-original-partition"
    ORIGINAL_OFFSET = "kafka_dlt-original-offset"
    ORIGINAL_TIMESTAMP = "kafka_dlt-original-timestamp"
    ORIGINAL_GROUP = "kafka_dlt-original-consumer-group"
    SPRING_EXCEPTION = "kafka_dlt-exception-fqcn"
    SPRING_MESSAGE = "kafka_dlt-exception-message"


class Writer(StrEnum):
    """Who wrote a dead letter, as its headers tell."""

    WORKER = "worker"
    CONNECT = "kafka-connect"
    SPRING = "spring"
    SHARE_GROUP = "share-group"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A dead letter as it is read back. `position` is its own place, `origin` that of the item.

    `stage` is what the writer called it; only a worker's is one of ours. `failed_at`: when it failed by the worker's
    clock, in seconds since the epoch; the record is written once all before it have ended, which may be much later.
    """

    item: Item
    failure: Failure
    origin: Position
    worker: str
    api_version: str
    stage: str
    writer: Writer
    failed_at: float | None = None

    @property
    def position(self) -> Position:
        return self.item.message.position

    @property
    def ref(self) -> str:
        """How a person names it within its topic."""
        return f"{self.position.partition}-{self.position.offset}"

    @property
    def job_id(self) -> str | None:
        """The job in which it counts as rejected: only a worker counts."""
        return self.item.job_id if self.writer is Writer.WORKER else None


def shorten(text: str, limit: int) -> bytes:
    """At most `limit` bytes of UTF-8; what is cut is the middle, since both ends of a stack tell most."""
    data = text.encode(errors="replace")
    if len(data) <= limit:
        return data
    mark = b"\n[... cut ...]\n"
    half = (limit - len(mark)) // 2
    return (data[:half].decode(errors="ignore") + mark.decode() + data[-half:].decode(errors="ignore")).encode()


def presentable(text: str, limit: int) -> bytes:
    """`text` without what looks like a secret, at most `limit` bytes.

    Cut twice: a text may have megabytes, and a secret that the first cut splits falls to the second.
    """
    return shorten(redact_text(shorten(text, 2 * limit).decode()), limit)


def error_headers(
    item: Item,
    failure: Failure,
    *,
    predictor: str,
    worker: str,
    api_version: str,
    group: str = "",
    failed_at: float | None = None,
) -> Headers:
    """What is added to an item's own headers; `predictor` is the class that refused it, `group` that of its worker. See
    DeadLetter."""
    topic, partition, offset = item.first_position
    exception, message = failure.exception.encode(errors="replace"), presentable(failure.message, MESSAGE_LIMIT)
    when = () if failed_at is None else ((Header.FAILED_AT.value, f"{failed_at:.3f}".encode()),)
    return (
        (ErrorHeader.TOPIC.value, topic.encode()),
        (ErrorHeader.PARTITION.value, str(partition).encode()),
        (ErrorHeader.OFFSET.value, str(offset).encode()),
        (ErrorHeader.STAGE.value, failure.stage.value.encode()),
        (ErrorHeader.CLASS_NAME.value, predictor.encode()),
        (ErrorHeader.EXCEPTION.value, exception),
        (ErrorHeader.MESSAGE.value, message),
        (ErrorHeader.STACKTRACE.value, presentable(failure.stacktrace, STACK_LIMIT)),
        (ErrorHeader.ORIGINAL_TOPIC.value, topic.encode()),
        *_spring_numbers(item),
        *(((ErrorHeader.ORIGINAL_GROUP.value, group.encode()),) if group else ()),
        (ErrorHeader.SPRING_EXCEPTION.value, exception),
        (ErrorHeader.SPRING_MESSAGE.value, message),
        (Header.WORKER.value, worker.encode()),
        (Header.API_VERSION.value, api_version.encode()),
        *when,
    )


def _spring_numbers(item: Item) -> Headers:
    """Java's int and longs, as Spring reads them. The time on an item that was retried is its retry's: left out."""
    _, partition, offset = item.first_position
    numbers: Headers = (
        (ErrorHeader.ORIGINAL_PARTITION.value, partition.to_bytes(4, "big", signed=True)),
        (ErrorHeader.ORIGINAL_OFFSET.value, offset.to_bytes(8, "big", signed=True)),
    )
    if item.origin is not None:
        return numbers
    return (*numbers, (ErrorHeader.ORIGINAL_TIMESTAMP.value, item.message.timestamp_ms.to_bytes(8, "big", signed=True)))


def dead_letter(
    item: Item,
    failure: Failure,
    topic: str,
    *,
    predictor: str,
    worker: str,
    api_version: str,
    group: str = "",
    failed_at: float | None = None,
) -> OutgoingRecord:
    """The record that ends `item` on `topic`: its own key, value and headers, then what it lacks to be understood.

    Headers that the producer set are never overwritten: ids are added where they lack, and the reason stands behind
    whatever is there, since of headers with one name Kafka's tools take the last.
    """
    given = {name.lower() for name, _ in item.message.headers}
    identity = ((Header.ITEM_ID.value, item.item_id.encode()), (Header.ATTEMPT.value, str(item.attempt).encode()))
    missing = tuple(pair for pair in identity if pair[0] not in given)
    errors = error_headers(
        item, failure, predictor=predictor, worker=worker, api_version=api_version, group=group, failed_at=failed_at
    )
    return OutgoingRecord(topic, item.message.key, item.message.value, item.message.headers + missing + errors)


def read_dead_letter(message: Message) -> DeadLetter:
    """The dead letter that `message` is. A header that is missing or odd reads as empty; nothing raises.

    A record may bear the marks of several writers, one after the other; a worker's count most, then Connect's.
    """
    headers = {name.lower(): value or b"" for name, value in message.headers}
    item = read_item(message)
    if any(name.startswith(_CONNECT) for name in headers):
        return _read_connect(item, headers)
    if any(name.startswith(_SPRING) for name in headers):
        return _read_spring(item, headers)
    if any(name.startswith(_SHARE_GROUP) for name in headers):
        return _read_share_group(item, headers)
    return DeadLetter(item, Failure(Stage.PREDICT, "", ""), _NOWHERE, "", "", stage="", writer=Writer.UNKNOWN)


def _read_connect(item: Item, headers: Mapping[str, bytes]) -> DeadLetter:
    stage = _text(headers, ErrorHeader.STAGE)
    return DeadLetter(
        item=item,
        failure=Failure(
            stage=_STAGES.get(stage, Stage.PREDICT),
            exception=_text(headers, ErrorHeader.EXCEPTION),
            message=_text(headers, ErrorHeader.MESSAGE),
            stacktrace=_text(headers, ErrorHeader.STACKTRACE),
        ),
        origin=_origin(headers, ErrorHeader.TOPIC, ErrorHeader.PARTITION, ErrorHeader.OFFSET),
        worker=_text(headers, Header.WORKER),
        api_version=_text(headers, Header.API_VERSION),
        stage=stage,
        writer=Writer.WORKER if Header.WORKER in headers else Writer.CONNECT,
        failed_at=_moment(headers.get(Header.FAILED_AT)),
    )


def _read_spring(item: Item, headers: Mapping[str, bytes]) -> DeadLetter:
    """Spring wraps what a listener raised in an exception of its own; the cause is what a person looks for."""
    exception = _text(headers, f"{_SPRING}exception-cause-fqcn") or _text(headers, f"{_SPRING}exception-fqcn")
    names = (f"{_SPRING}original-topic", f"{_SPRING}original-partition", f"{_SPRING}original-offset")
    message = _text(headers, f"{_SPRING}exception-message")
    stack = _text(headers, f"{_SPRING}exception-stacktrace")
    failure = Failure(Stage.PREDICT, exception, message, stack)
    return DeadLetter(item, failure, _origin(headers, *names), "", "", stage="listener", writer=Writer.SPRING)


def _read_share_group(item: Item, headers: Mapping[str, bytes]) -> DeadLetter:
    """The broker wrote it: it knows which group gave up, seldom why."""
    group, count = _text(headers, f"{_SHARE_GROUP}group"), _text(headers, f"{_SHARE_GROUP}delivery.count")
    said = _text(headers, f"{_SHARE_GROUP}message") or "not acknowledged"
    message = f"{said} (share group {group or 'unknown'}, deliveries: {count or 'unknown'})"
    names = (f"{_SHARE_GROUP}topic", f"{_SHARE_GROUP}partition", f"{_SHARE_GROUP}offset")
    failure = Failure(Stage.PREDICT, "", message)
    return DeadLetter(item, failure, _origin(headers, *names), "", "", stage="delivery", writer=Writer.SHARE_GROUP)


def _text(headers: Mapping[str, bytes], name: str) -> str:
    return headers.get(name, b"").decode(errors="replace")


def _origin(headers: Mapping[str, bytes], topic: str, partition: str, offset: str) -> Position:
    return Position(_text(headers, topic), _number(headers.get(partition)), _number(headers.get(offset)))


def _moment(value: bytes | None) -> float | None:
    return float(value) if value is not None and _MOMENT.fullmatch(value) else None


def _number(value: bytes | None) -> int:
    """Digits, or Java's int or long; -1 for anything else. As Java's these digits would be beyond any real number."""
    value = value or b""
    if value.isdigit() and len(value) <= 19:
        return int(value)
    return int.from_bytes(value, "big", signed=True) if len(value) in (4, 8) else -1
