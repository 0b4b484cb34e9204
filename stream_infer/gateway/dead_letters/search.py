"""Looking through an API's dead letters: which are meant, how many fail alike, one of them, all of them. Blocks."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from stream_infer.dead_letters import DeadLetter, read_dead_letter
from stream_infer.errors import ServiceUnavailable
from stream_infer.gateway.dead_letters.bodies import DeadLetterBody, DeadLetterGroup, dead_letter_body
from stream_infer.jobs.replays import Replays
from stream_infer.kafka.topic_reader import TopicReader
from stream_infer.records import Message, Position
from stream_infer.settings import KafkaSettings

SCANNED_PER_PARTITION = 20_000
SCAN_TIMEOUT_S = 20.0
FIND_TIMEOUT_S = 10.0
# Librdkafka holds 64 MiB of what comes next; a poll takes no more than that.
_RECORDS_A_POLL = 200
_REF = re.compile(r"(\d{1,9})-(\d{1,18})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which dead letters are meant; None means any. `job_id` is that in which they count as rejected."""

    job_id: str | None = None
    stage: str | None = None
    exception: str | None = None
    message: str | None = None

    def takes(self, letter: DeadLetter) -> bool:
        failure = letter.failure
        return (
            self.job_id in (None, letter.job_id)
            and self.stage in (None, letter.stage)
            and (self.exception is None or _is_named(failure.exception, self.exception))
            and (self.message is None or self.message in failure.message)
        )


def _is_named(exception: str, name: str) -> bool:
    """By its full name, or by the last part of it, as tables show it."""
    return exception == name or exception.rpartition(".")[2] == name


def parse_ref(ref: str) -> tuple[int, int] | None:
    """Partition and offset, or None where it is no reference."""
    match = _REF.fullmatch(ref)
    return None if match is None else (int(match[1]), int(match[2]))


@dataclass(slots=True)
class Scan:
    """What a look through the end of a topic found. `kept` are the newest of each partition."""

    groups: dict[tuple[str, str], DeadLetterGroup] = field(default_factory=dict)
    kept: list[DeadLetterBody] = field(default_factory=list)
    scanned: int = 0
    replayed: int = 0
    is_complete: bool = True

    def count(self, letter: DeadLetter) -> None:
        failure, at = letter.failure, letter.item.message.timestamp_ms / 1000
        kind = (letter.stage, failure.exception)
        before = self.groups.get(kind)
        newest = before is None or at >= before.last
        self.groups[kind] = DeadLetterGroup(
            stage=letter.stage,
            exception=failure.exception,
            count=1 if before is None else before.count + 1,
            first=at if before is None else min(before.first, at),
            last=at if newest or before is None else before.last,
            example=letter.ref if newest or before is None else before.example,
            message=failure.message if newest or before is None else before.message,
        )


def scan_topic(
    kafka: KafkaSettings, topic: str, wanted: Filter, replays: Replays, limit: int, *, with_replayed: bool
) -> Scan:
    """The newest `limit` dead letters of each partition, and what all that were looked at have in common.

    Looks at the last 20,000 offsets of a partition and no longer than 20 s: a dead letter may have megabytes.
    """
    scan = Scan()
    deadline = time.monotonic() + SCAN_TIMEOUT_S
    for partition, end in topic_ends(kafka, topic).items():
        start = max(0, end - SCANNED_PER_PARTITION)
        scan.is_complete &= start == 0
        newest: deque[DeadLetterBody] = deque(maxlen=limit)
        for message in partition_records(kafka, Position(topic, partition, start), end):
            scan.scanned += 1
            letter = read_dead_letter(message)
            if wanted.takes(letter):
                is_replayed = replays.has(letter.position)
                scan.replayed += is_replayed
                if with_replayed or not is_replayed:
                    scan.count(letter)
                    newest.append(dead_letter_body(letter, is_replayed=is_replayed))
            if time.monotonic() > deadline:
                scan.is_complete = False
                break
        scan.kept += newest
    return scan


def all_letters(kafka: KafkaSettings, topic: str, ends: Mapping[int, int] | None = None) -> Iterator[DeadLetter]:
    """Every dead letter below `ends` (None: the present ones), a partition after the other."""
    for partition, end in (topic_ends(kafka, topic) if ends is None else ends).items():
        for message in partition_records(kafka, Position(topic, partition, 0), end):
            yield read_dead_letter(message)


def letters_at(kafka: KafkaSettings, topic: str, refs: set[tuple[int, int]]) -> Iterator[DeadLetter]:
    """Those at `refs`, where something lies; reads each partition from the first to the last of them."""
    ends = topic_ends(kafka, topic)
    for partition in sorted({partition for partition, _ in refs} & ends.keys()):
        offsets = {offset for number, offset in refs if number == partition}
        end = min(ends[partition], max(offsets) + 1)
        for message in partition_records(kafka, Position(topic, partition, min(offsets)), end):
            if message.offset in offsets:
                yield read_dead_letter(message)


def find_record(kafka: KafkaSettings, place: Position, timeout_s: float = FIND_TIMEOUT_S) -> Message | None:
    """The record at `place`, or None where there is none (any more)."""
    end = topic_ends(kafka, place.topic).get(place.partition, 0)
    for message in partition_records(kafka, place, end, timeout_s):
        return message if message.offset == place.offset else None
    return None


def first_kept(kafka: KafkaSettings, topic: str) -> dict[tuple[str, int], int]:
    """By topic and partition, the first offset that may still be read: whatever lay before it is gone."""
    reader = TopicReader(kafka, topic)
    try:
        return {(topic, partition): start for partition, start in reader.starts().items()}
    finally:
        reader.close()


def topic_ends(kafka: KafkaSettings, topic: str) -> dict[int, int]:
    reader = TopicReader(kafka, topic)
    try:
        return reader.ends()
    finally:
        reader.close()


def partition_records(
    kafka: KafkaSettings, start: Position, end: int, timeout_s: float = SCAN_TIMEOUT_S
) -> Iterator[Message]:
    """What lies in the partition from `start` up to `end`. Raises ServiceUnavailable when nothing comes for long."""
    if start.offset >= end:
        return
    reader = TopicReader(kafka, start.topic, [start.partition], start=start.offset)
    try:
        deadline = time.monotonic() + timeout_s
        while not reader.has_reached({start.partition: end}):
            messages = reader.poll(0.1, _RECORDS_A_POLL)
            if messages:
                deadline = time.monotonic() + timeout_s
            elif time.monotonic() > deadline:
                raise ServiceUnavailable(
                    f"reading {start.topic}[{start.partition}]@{start.offset} took over {timeout_s:.0f} s"
                )
            for message in messages:
                if message.offset >= end:
                    return
                yield message
            if messages:
                deadline = time.monotonic() + timeout_s  # what the reader of these did with them is not Kafka's time
    finally:
        reader.close()
