"""What workers said of a job around the moment at which one of its items failed. Blocks."""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterable, Iterator

import structlog

from stream_infer.errors import StreamInferError
from stream_infer.jobs.log_lines import LogLine, decode_line
from stream_infer.kafka.partitioner import partition_of
from stream_infer.kafka.topic_reader import TopicReader
from stream_infer.settings import Settings
from stream_infer.topics import Topics

AROUND_S = 5.0
MOST_LINES = 200
_TIMEOUT_S = 5.0
_log = structlog.get_logger(__name__)


def lines_around(settings: Settings, job_id: str, at: float) -> list[LogLine]:
    """The workers' lines of the job from 5 s before `at` (since the epoch) to 5 s after, at most the 200 nearest to it;
    none where they are gone."""
    topic = Topics(settings.kafka.topic_prefix).logs
    try:
        reader = TopicReader(settings.kafka, topic, [partition_of(job_id, settings.jobs.partitions)])
        try:
            return nearest(_read(reader, job_id, at), at)
        finally:
            reader.close()
    except StreamInferError as error:
        _log.warning("log_unread", job_id=job_id, error=str(error))
        return []


def nearest(lines: Iterable[LogLine], at: float, most: int = MOST_LINES) -> list[LogLine]:
    """The `most` of `lines` that were said next to `at`, in the order in which they came."""
    kept = heapq.nsmallest(most, enumerate(lines), key=lambda numbered: abs(numbered[1].at - at))
    return [line for _, line in sorted(kept, key=lambda numbered: numbered[0])]


def _read(reader: TopicReader, job_id: str, at: float) -> Iterator[LogLine]:
    reader.start_at(max(0.0, at - AROUND_S))
    ends = reader.ends()
    deadline = time.monotonic() + _TIMEOUT_S
    while not reader.has_reached(ends) and time.monotonic() < deadline:
        for message in reader.poll(0.1):
            if message.timestamp_ms / 1000 > at + 2 * AROUND_S:
                return
            line = decode_line(message.key, message.value) if message.key == job_id.encode() else None
            if line is not None and line.role == "worker" and abs(line.at - at) <= AROUND_S:
                yield line
