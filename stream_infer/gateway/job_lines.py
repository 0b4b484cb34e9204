"""One job's lines out of its partition of `{p}.logs`, which other jobs share. Everything here blocks."""

from __future__ import annotations

import time
from typing import NamedTuple

from stream_infer.gateway.representations import LogPage, log_line_body
from stream_infer.jobs.log_lines import LogLine, decode_line
from stream_infer.jobs.spec import Job
from stream_infer.kafka.partitioner import partition_of
from stream_infer.kafka.topic_reader import TopicReader
from stream_infer.settings import Settings
from stream_infer.topics import Topics

PAGE_TIMEOUT_S = 10.0
# Between the gateway's clock, which dates the submission, and those of the processes that speak of the job.
_CLOCKS_DIFFER_S = 300.0


class Found(NamedTuple):
    """A line, and the offset behind it."""

    line: LogLine
    after: int


class JobLines:
    """Reads on from `after`, else from the job's submission. One thread uses it.

    Every method raises TopicMismatch or ServiceUnavailable.
    """

    def __init__(self, settings: Settings, job: Job, after: int | None) -> None:
        self._key = job.job_id.encode()
        self._partition = partition_of(job.job_id, settings.jobs.partitions)
        topic = Topics(settings.kafka.topic_prefix).logs
        if after is None:
            self._reader = TopicReader(settings.kafka, topic, [self._partition])
            try:
                starts = self._reader.start_at(max(0.0, job.submitted_at - _CLOCKS_DIFFER_S))
            except BaseException:
                self._reader.close()
                raise
            self.position = starts[self._partition]
        else:
            self._reader = TopicReader(settings.kafka, topic, [self._partition], start=after)
            self.position = after
        """The offset to read on from."""

    def poll(self, timeout_s: float) -> list[Found]:
        """What has come; waits at most the timeout for the first record of whichever job."""
        found = []
        for message in self._reader.poll(timeout_s):
            self.position = message.offset + 1
            line = decode_line(message.key, message.value) if message.key == self._key else None
            if line is not None:
                found.append(Found(line, self.position))
        return found

    def end(self) -> int:
        """The offset behind everything written so far."""
        return self._reader.ends()[self._partition]

    def has_reached(self, end: int) -> bool:
        return self._reader.has_reached({self._partition: end})

    def close(self) -> None:
        self._reader.close()


def read_page(settings: Settings, job: Job, after: int | None, limit: int) -> LogPage:
    """At most `limit` lines; fewer where the end is reached, or 10 s are over: other jobs may have said much."""
    lines = JobLines(settings, job, after)
    try:
        end = lines.end()
        deadline = time.monotonic() + PAGE_TIMEOUT_S
        found: list[Found] = []
        while len(found) <= limit and not lines.has_reached(end) and time.monotonic() < deadline:
            found += lines.poll(0.1)
        kept = found[:limit]
        return LogPage(
            lines=[log_line_body(one.line) for one in kept],
            next=str(kept[-1].after if len(found) > limit else lines.position),
            has_more=len(found) > limit or not lines.has_reached(end),
        )
    finally:
        lines.close()
