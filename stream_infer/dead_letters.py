"""A dead letter: the item's key, value and headers untouched, plus why it ended there, in Kafka Connect's words.

Header family: KIP-298 (`__connect.errors.*`), and Spring's `kafka_dlt-original-topic`, so that existing tools read it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from stream_infer.errors import Stage
from stream_infer.records import Failure, Header, Headers, Item, Message, OutgoingRecord, Position, read_item

STACK_LIMIT = 16 * 1024
MESSAGE_LIMIT = 4 * 1024

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


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A dead letter as it is read back. `position` is its own place, `origin` that of the item."""

    item: Item
    failure: Failure
    origin: Position
    worker: str
    api_version: str

    @property
    def position(self) -> Position:
        return self.item.message.position


def shorten(text: str, limit: int) -> bytes:
    """At most `limit` bytes of UTF-8; what is cut is the middle, since both ends of a stack tell most."""
    data = text.encode(errors="replace")
    if len(data) <= limit:
        return data
    mark = b"\n[... cut ...]\n"
    half = (limit - len(mark)) // 2
    return (data[:half].decode(errors="ignore") + mark.decode() + data[-half:].decode(errors="ignore")).encode()


def error_headers(item: Item, failure: Failure, *, predictor: str, worker: str, api_version: str) -> Headers:
    """What is added to an item's own headers; `predictor` is the class that refused it."""
    topic, partition, offset = item.first_position
    return (
        (ErrorHeader.TOPIC.value, topic.encode()),
        (ErrorHeader.PARTITION.value, str(partition).encode()),
        (ErrorHeader.OFFSET.value, str(offset).encode()),
        (ErrorHeader.STAGE.value, failure.stage.value.encode()),
        (ErrorHeader.CLASS_NAME.value, predictor.encode()),
        (ErrorHeader.EXCEPTION.value, failure.exception.encode(errors="replace")),
        (ErrorHeader.MESSAGE.value, shorten(failure.message, MESSAGE_LIMIT)),
        (ErrorHeader.STACKTRACE.value, shorten(failure.stacktrace, STACK_LIMIT)),
        (ErrorHeader.ORIGINAL_TOPIC.value, topic.encode()),
        (Header.WORKER.value, worker.encode()),
        (Header.API_VERSION.value, api_version.encode()),
    )


def dead_letter(
    item: Item, failure: Failure, topic: str, *, predictor: str, worker: str, api_version: str
) -> OutgoingRecord:
    """The record that ends `item` on `topic`: its own key, value and headers, then what it lacks to be understood.

    Headers that the producer set are never overwritten: ids are added where they lack, and the reason stands behind
    whatever is there, since of headers with one name Kafka's tools take the last.
    """
    given = {name.lower() for name, _ in item.message.headers}
    identity = ((Header.ITEM_ID.value, item.item_id.encode()), (Header.ATTEMPT.value, str(item.attempt).encode()))
    missing = tuple(pair for pair in identity if pair[0] not in given)
    errors = error_headers(item, failure, predictor=predictor, worker=worker, api_version=api_version)
    return OutgoingRecord(topic, item.message.key, item.message.value, item.message.headers + missing + errors)


def read_dead_letter(message: Message) -> DeadLetter:
    """The dead letter that `message` is. A header that is missing or odd reads as empty; nothing raises."""
    headers = {name.lower(): (value or b"").decode(errors="replace") for name, value in message.headers}

    def number(name: str) -> int:
        text = headers.get(name, "")
        return int(text) if text.isascii() and text.isdecimal() else -1

    stage = headers.get(ErrorHeader.STAGE, "")
    return DeadLetter(
        item=read_item(message),
        failure=Failure(
            stage=_STAGES.get(stage, Stage.PREDICT),
            exception=headers.get(ErrorHeader.EXCEPTION, ""),
            message=headers.get(ErrorHeader.MESSAGE, ""),
            stacktrace=headers.get(ErrorHeader.STACKTRACE, ""),
        ),
        origin=Position(headers.get(ErrorHeader.TOPIC, ""), number(ErrorHeader.PARTITION), number(ErrorHeader.OFFSET)),
        worker=headers.get(Header.WORKER, ""),
        api_version=headers.get(Header.API_VERSION, ""),
    )
