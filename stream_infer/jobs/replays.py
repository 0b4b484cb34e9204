"""What `{p}.replays` keeps: each dead letter that was replayed, and of each job how far its last replay came.

Written in the transaction that writes the items again, by whoever holds `{p}.{api}.replay`; so whoever has fenced all
others and reads it to its end knows what was replayed, however far the tracker is. Compacted. A job's records lie in
the job's partition, those of no job in that of their dead-letter topic.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from stream_infer.errors import ServiceUnavailable
from stream_infer.jobs.bounds import ApiName, Generation, JobId, Moment, Whole
from stream_infer.kafka.partitioner import partition_of
from stream_infer.kafka.topic_reader import TopicReader
from stream_infer.records import Message, OutgoingRecord, Position
from stream_infer.settings import KafkaSettings

_MARK = b"job:"  # ':' stands in no topic's name
_KEY = re.compile(r"(.+)-(\d{1,9})-(\d{1,18})", re.ASCII)
READ_TIMEOUT_S = 60.0
_NOTHING_IS_GONE: Mapping[tuple[str, int], int] = MappingProxyType({})


class Replayed(BaseModel):
    """The dead letter at `topic`-`partition`-`offset` runs again as an item of `generation`; `at` since the epoch."""

    model_config = ConfigDict(frozen=True)

    api: ApiName
    topic: str
    partition: Whole
    offset: Whole
    job_id: JobId | None = None
    generation: Generation = 1
    at: Moment

    @property
    def position(self) -> Position:
        return Position(self.topic, self.partition, self.offset)


class ReplayMark(BaseModel):
    """A replay opened `generation` of the job; while `is_open` it has not said that this is all.

    `at` is renewed while it goes on: an old one tells that whoever replayed is dead.
    """

    model_config = ConfigDict(frozen=True)

    api: ApiName
    job_id: JobId
    generation: Generation
    is_open: bool
    at: Moment


@dataclass(slots=True)
class Replays:
    """The topic, or a partition of it, as far as it was read. Positions of one topic are kept as plain pairs."""

    replayed: dict[str, set[tuple[int, int]]] = field(default_factory=dict)
    marks: dict[str, ReplayMark] = field(default_factory=dict)
    expired: dict[bytes, OutgoingRecord] = field(default_factory=dict)

    def see(
        self,
        message: Message,
        job_id: str | None = None,
        forget_before: float = 0.0,
        first_kept: Mapping[tuple[str, int], int] = _NOTHING_IS_GONE,
    ) -> None:
        """Takes in the next record; with `job_id` only those of that job are kept.

        A record that says nothing readable is a stranger's and passed over. What is older than `forget_before` is in
        `expired`, as its tombstone; but a dead letter that is still there must not run again, however long ago it did:
        `first_kept` says at which offset each partition of its topic begins.
        """
        key = message.key or b""
        self.expired.pop(key, None)
        if message.value is None:
            self._forget(key)
            return
        record = _decode(key, message.value)
        if record is None:
            return
        if record.at < forget_before and _is_gone(record, first_kept):
            self._forget(key)
            self.expired[key] = OutgoingRecord(message.topic, key, None, partition=message.partition)
        elif isinstance(record, ReplayMark):
            self.marks[record.job_id] = record
        elif job_id is None or record.job_id == job_id:
            self.replayed.setdefault(record.topic, set()).add((record.partition, record.offset))

    def has(self, position: Position) -> bool:
        return (position.partition, position.offset) in self.replayed.get(position.topic, ())

    def _forget(self, key: bytes) -> None:
        name = key.decode(errors="replace")
        if key.startswith(_MARK):
            self.marks.pop(name[len(_MARK) :], None)
            return
        match = _KEY.fullmatch(name)
        if match is not None:
            self.replayed.get(match[1], set()).discard((int(match[2]), int(match[3])))


def _is_gone(record: Replayed | ReplayMark, first_kept: Mapping[tuple[str, int], int]) -> bool:
    """A dead letter lives as long as its segment, however old it is. Of an open mark's job somebody has yet to say that
    this was all."""
    if isinstance(record, ReplayMark):
        return not record.is_open
    return record.offset < first_kept.get((record.topic, record.partition), 0)


def replays_partition(job_id: str | None, topic: str, partitions: int) -> int:
    """Where what is said of a dead letter on `topic` lies, of the `partitions` of `{p}.replays`."""
    return partition_of(job_id or topic, partitions)


def replayed_record(replayed: Replayed, topic: str, partitions: int) -> OutgoingRecord:
    """What goes to `topic`, which is `{p}.replays`, with its `partitions`."""
    key = f"{replayed.topic}-{replayed.partition}-{replayed.offset}".encode()
    value = replayed.model_dump_json(exclude_none=True).encode()
    return OutgoingRecord(topic, key, value, partition=replays_partition(replayed.job_id, replayed.topic, partitions))


def mark_record(mark: ReplayMark, topic: str, partitions: int) -> OutgoingRecord:
    key = _MARK + mark.job_id.encode()
    return OutgoingRecord(topic, key, mark.model_dump_json().encode(), partition=partition_of(mark.job_id, partitions))


def _decode(key: bytes, value: bytes) -> Replayed | ReplayMark | None:
    kind = ReplayMark if key.startswith(_MARK) else Replayed
    try:
        return kind.model_validate_json(value)
    except ValidationError:
        return None


def still_failed(lines: Iterable[bytes], replays: Replays) -> Iterator[bytes]:
    """Of the lines of failed items those whose dead letter was not replayed."""
    return (line for line in lines if not _is_replayed(line, replays))


def _is_replayed(line: bytes, replays: Replays) -> bool:
    try:
        place = orjson.loads(line)["dead_letter"]
        return replays.has(Position(place["topic"], place["partition"], place["offset"]))
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return False


def read_replays(
    kafka: KafkaSettings,
    topic: str,
    partitions: Sequence[int] | None = None,
    *,
    job_id: str | None = None,
    forget_before: float = 0.0,
    first_kept: Mapping[tuple[str, int], int] = _NOTHING_IS_GONE,
) -> Replays:
    """`topic`, or some of its partitions, from the start to the current end; see `Replays.see`.

    Blocks. Raises TopicMismatch or ServiceUnavailable.
    """
    replays = Replays()
    deadline = time.monotonic() + READ_TIMEOUT_S
    reader = TopicReader(kafka, topic, partitions)
    try:
        ends = reader.ends()
        while not reader.has_reached(ends):
            if time.monotonic() > deadline:
                raise ServiceUnavailable(f"reading {topic} to its end took more than {READ_TIMEOUT_S:.0f} s")
            for message in reader.poll(0.1):
                replays.see(message, job_id, forget_before, first_kept)
    finally:
        reader.close()
    return replays
