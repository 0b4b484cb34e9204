"""Jobs that wait for nothing but the sink: what it holds of them goes into the store without waiting for its age."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import NamedTuple

from stream_infer.jobs.status import JobStatus, decode_status
from stream_infer.kafka.views import CompactedView
from stream_infer.settings import KafkaSettings
from stream_infer.topics import Topics


class Row(NamedTuple):
    """What is kept in mind of a job's status: those of all jobs would fill memory."""

    job_id: str
    is_awaited: bool


class AwaitedJobs:
    """Those that have ended but for what is not in the store yet. `note` may be called from another thread."""

    def __init__(self) -> None:
        self._jobs: set[str] = set()

    def note(self, job_id: str, row: Row | None) -> None:
        if row is not None and row.is_awaited:
            self._jobs.add(job_id)
        else:
            self._jobs.discard(job_id)

    def __contains__(self, job_id: object) -> bool:
        return job_id in self._jobs


def is_awaited(status: JobStatus) -> bool:
    """Whether only records that no sink has flushed keep the job from being finalized."""
    counts = status.counts
    return not status.state.is_final and not status.has_work and counts.written > counts.sunk


def decode_row(value: bytes) -> Row:
    status = decode_status(value)
    return Row(status.job_id, is_awaited(status))


@contextmanager
def awaited_jobs(kafka: KafkaSettings) -> Iterator[AwaitedJobs]:
    """As `{p}.status` says, from the start of the block to its end. Raises TopicMismatch or ServiceUnavailable."""
    awaited = AwaitedJobs()
    topic = Topics(kafka.topic_prefix).status
    view = CompactedView(kafka, topic, decode_row, awaited.note, key_of=lambda row: row.job_id)
    with closing(view):
        view.start()
        yield awaited
