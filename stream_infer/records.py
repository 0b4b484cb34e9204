"""The vocabulary of an item's way: what is read from a topic, and what becomes of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import repeat
from typing import Any, NamedTuple, Self, TypeAlias

from stream_infer.errors import Stage

Headers: TypeAlias = tuple[tuple[str, bytes | None], ...]

JSON = "application/json"
REFERENCE = "application/vnd.stream-infer.ref+json"
# A payload with the headers and the query of the request that it came in: engine/requests.py packs and unpacks it.
REQUEST = "application/vnd.stream-infer.request"


# Makes a NamedTuple of all its fields. Measured on CPython 3.11: 0.2 us, where its own constructor takes 0.7; some
# hundred thousand of several kinds are made a second.
new_tuple = tuple.__new__


class Control(StrEnum):
    """What a control record on an items topic asks of a worker."""

    ON_JOB_COMPLETE = "on_job_complete"


class Position(NamedTuple):
    """The place of a record: one offset of one partition."""

    topic: str
    partition: int
    offset: int


class Message(NamedTuple):
    """A record as it lies in Kafka, nothing interpreted. `timestamp_ms` is the broker's or the producer's."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp_ms: int

    @property
    def position(self) -> Position:
        return Position(self.topic, self.partition, self.offset)


class Run(NamedTuple):
    """Records of one partition that were read one after the other, by column: no object is made of each."""

    topic: str
    partition: int
    offsets: list[int]
    keys: list[bytes | None]
    values: list[bytes | None]
    headers: list[Headers]
    timestamps_ms: list[int]

    @property
    def first(self) -> Message:
        return Message(
            self.topic,
            self.partition,
            self.offsets[0],
            self.keys[0],
            self.values[0],
            self.headers[0],
            self.timestamps_ms[0],
        )

    def split(self, max_records: int, max_bytes: int) -> Iterator[Run]:
        """In pieces of at most so many records, and of so many bytes of values unless it is one that has more."""
        if len(self.values) <= max_records and sum(map(len, filter(None, self.values))) <= max_bytes:
            yield self
            return
        start = size = 0
        for at, value in enumerate(self.values):
            size += len(value or b"")
            if at > start and (size > max_bytes or at - start >= max_records):
                yield self.slice(start, at)
                start, size = at, len(value or b"")
        yield self.slice(start, len(self.values))

    def slice(self, start: int, end: int) -> Run:
        columns: list[list[Any]] = [column[start:end] for column in self[2:]]
        return Run(self.topic, self.partition, *columns)

    def messages(self) -> list[Message]:
        """Measured: 0.2 us each, where one by one takes 0.36."""
        columns = (repeat(self.topic), repeat(self.partition), *self[2:])
        return list(map(new_tuple, repeat(Message), zip(*columns, strict=False)))

    @classmethod
    def of(cls, messages: Sequence[Message]) -> Self:
        """Of messages of one partition; at least one."""
        topics, partitions, *columns = (list(column) for column in zip(*messages, strict=True))
        return cls(topics[0], partitions[0], *columns)


class EndOfPartition(NamedTuple):
    """The reader has seen everything below `offset`, transaction markers included."""

    topic: str
    partition: int
    offset: int


class OutgoingRecord(NamedTuple):
    """A record to be produced. `partition` None leaves the choice to the key (murmur2)."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    partition: int | None = None


# An OutgoingRecord, or just its fields: what several hundred thousand are made of a second.
Outgoing: TypeAlias = tuple[str, bytes | None, bytes | None, Headers, int | None]


class Payload(NamedTuple):
    """Bytes and what they are. `data` is what the predictor's side decodes."""

    data: bytes
    content_type: str = JSON


class Item(NamedTuple):
    """One record of input, as a worker understands it.

    `deadline` and `not_before` are seconds since the epoch. `attempt` starts at 1. `fault` says why the record cannot
    be understood, where it cannot. `retry_since` (since the epoch) is when a service first asked it to come later, and
    `origin` where it was first read, for an item that has been through a retry tier. `tracestate` goes with
    `traceparent` alone.
    """

    message: Message
    item_id: str
    content_type: str = JSON
    job_id: str | None = None
    generation: int = 1
    custom_id: str | None = None
    source: str | None = None
    traceparent: str | None = None
    attempt: int = 1
    not_before: float | None = None
    deadline: float | None = None
    retry_since: float | None = None
    origin: Position | None = None
    control: Control | None = None
    fault: str | None = None
    tracestate: str | None = None

    @property
    def payload(self) -> Payload:
        return Payload(self.message.value or b"", self.content_type)

    @property
    def first_position(self) -> Position:
        """Where it was read first, whatever tiers it has been through."""
        return self.origin or self.message.position


class Output(NamedTuple):
    """What the predictor said of one item. `value` None: counted as succeeded, nothing is written."""

    value: bytes | None
    content_type: str = JSON


@dataclass(frozen=True, slots=True)
class Failure:
    """Why one item has no output.

    `exception` is the class's full name, `stacktrace` the formatted traceback of the predictor's side.
    `retryable`: nobody's fault, the same item may succeed later; `retry_after` in seconds where a service named it.
    `final`: it would fail the same way again, so no attempt is spent on it. An error that says neither gets its
    attempts, like a retryable one. `of_job`: so would every item of its job, which fails where it is `final`; else the
    attempts are the job's, and cost the item none of its own. An item without a job may meet that, too: one that came
    between two attempts at what all of them need.
    """

    stage: Stage
    exception: str
    message: str
    stacktrace: str = ""
    retryable: bool = False
    retry_after: float | None = None
    final: bool = False
    of_job: bool = False
