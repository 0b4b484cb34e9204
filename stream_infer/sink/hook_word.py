"""Whether a job's hook was asked for already: its row does not say so while the tracker is behind."""

from __future__ import annotations

import time
from contextlib import closing

from stream_infer.errors import ServiceUnavailable
from stream_infer.jobs.events import HookPublished, decode_event
from stream_infer.jobs.status import JobStatus
from stream_infer.kafka.partitioner import partition_of
from stream_infer.kafka.topic_reader import TopicReader
from stream_infer.records import Message
from stream_infer.settings import Settings
from stream_infer.sink.assembly import Check
from stream_infer.topics import Topics

_READ_TIMEOUT_S = 60.0


def is_hook_published(settings: Settings, status: JobStatus, check: Check) -> bool:
    """Reads `{p}.progress` from behind what `status` has folded to its end, so as far as the tracker is behind.

    Asked once whoever had the step before can commit it no more: who begins the partition anew, or has lost sight of
    a transaction's end, may read the same row again, or a later one that knows no more. Blocks; raises what `check`
    does, TopicMismatch or ServiceUnavailable.
    """
    topic = Topics(settings.kafka.topic_prefix).progress
    place = partition_of(status.job_id, settings.jobs.partitions)
    deadline = time.monotonic() + _READ_TIMEOUT_S
    with closing(TopicReader(settings.kafka, topic, [place], start=status.offset + 1)) as reader:
        ends = reader.ends()
        while not reader.has_reached(ends):
            check()
            if time.monotonic() > deadline:
                raise ServiceUnavailable(f"reading {topic} to its end took more than {_READ_TIMEOUT_S:.0f} s")
            if any(_says_so(message, status) for message in reader.poll(0.1)):
                return True
    return False


def _says_so(message: Message, status: JobStatus) -> bool:
    if message.key != status.job_id.encode():
        return False
    event = decode_event(message.value or b"")
    return isinstance(event, HookPublished) and (event.job_id, event.generation) == (status.job_id, status.generation)
