"""What stands around an intake in a test: submits as gateway and tracker would, and reads what was published."""

import time
from collections.abc import Callable

from stream_infer.intake.partition import JobsPartition, Run
from stream_infer.intake.publication import Publication
from stream_infer.jobs.checkpoints import decode_checkpoint
from stream_infer.jobs.counts import Counts
from stream_infer.jobs.events import Event, Exhausted, decode_event
from stream_infer.jobs.spec import Job, encode_job
from stream_infer.jobs.status import JobStatus, encode_status
from stream_infer.kafka.partitioner import partition_of
from stream_infer.kafka.producer import TransactionalProducer
from stream_infer.kafka.publisher import Publisher
from stream_infer.kafka.topic_reader import TopicReader
from stream_infer.kafka.views import read_compacted
from stream_infer.pool import DaemonPool
from stream_infer.ports import Source
from stream_infer.records import Message, OutgoingRecord
from stream_infer.settings import Settings
from stream_infer.topics import Topics
from tests.support.memory_store import MemoryStore

WAIT_S = 30.0
READERS = DaemonPool(4, "source")
JOB = Job(job_id="job-1", api="echo", submitted_at=time.time(), submission="s.jsonl")


def publish(settings: Settings, topic: str, value: bytes, job: Job = JOB) -> None:
    publisher = Publisher(settings.kafka, "test")
    publisher.publish([OutgoingRecord(topic, job.job_id.encode(), value)])
    publisher.close()


def submit(settings: Settings, *, known: bool = True, job: Job = JOB, **status: object) -> None:
    topics = Topics(settings.kafka.topic_prefix)
    if known:
        row = JobStatus(job_id=job.job_id, api="echo", counts=Counts(succeeded=10_000)).model_copy(update=status)
        publish(settings, topics.status, encode_status(row), job)
    publish(settings, topics.jobs, encode_job(job), job)


def read_until(settings: Settings, topic: str, enough: Callable[[list[Message]], bool]) -> list[Message]:
    reader = TopicReader(settings.kafka, topic)
    found: list[Message] = []
    deadline = time.monotonic() + WAIT_S
    try:
        while not enough(found):
            assert time.monotonic() < deadline, f"only {len(found)} records came"
            found += reader.poll(0.05)
        return found + reader.read_to_end()
    finally:
        reader.close()


def events_until_exhausted(settings: Settings) -> list[Event]:
    def decoded(messages: list[Message]) -> list[Event]:
        return [event for event in (decode_event(m.value or b"") for m in messages) if event is not None]

    topic = Topics(settings.kafka.topic_prefix).progress
    return decoded(read_until(settings, topic, lambda got: any(isinstance(e, Exhausted) for e in decoded(got))))


def items(settings: Settings, number: int) -> list[Message]:
    return read_until(settings, Topics(settings.kafka.topic_prefix).api("echo").items, lambda got: len(got) >= number)


def ids(messages: list[Message]) -> list[int]:
    return sorted(int((dict(m.headers)["si-item-id"] or b"").rpartition(b"-")[2]) for m in messages)


def partition_of_job(settings: Settings, source: Source) -> JobsPartition:
    """What an intake does when it is assigned the job's partition."""
    topics = Topics(settings.kafka.topic_prefix)
    number = partition_of(JOB.job_id, settings.jobs.partitions)
    producer = TransactionalProducer(settings.kafka, f"{topics.prefix}.intake.{number}")
    producer.initialise()
    checkpoints = read_compacted(settings.kafka, topics.checkpoints, number, decode_checkpoint)
    partition = JobsPartition(
        producer, checkpoints, Publication(topics, MemoryStore(), 1000), lambda _: source, READERS
    )
    partition.learn(JOB)
    return partition


def published(partition: JobsPartition, run: Run, count: int) -> int:
    """Turns until the source has given its chunk."""
    deadline = time.monotonic() + WAIT_S
    while (done := partition.publish(run, count)) == 0:
        assert time.monotonic() < deadline
    return done
