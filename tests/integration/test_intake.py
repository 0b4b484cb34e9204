"""An intake on a real broker: a source is published once, whoever publishes it and however often it starts again."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stream_infer.errors import Fenced, SourceError
from stream_infer.intake.partition import JobsPartition
from stream_infer.intake.publication import Publication
from stream_infer.intake.run import run
from stream_infer.jobs.checkpoints import Checkpoint, decode_checkpoint
from stream_infer.jobs.counts import Counts
from stream_infer.jobs.events import Counted, EnqueuingStarted, Event, Exhausted, decode_event
from stream_infer.jobs.spec import Job, encode_job
from stream_infer.jobs.status import Cause, JobStatus, State, encode_status
from stream_infer.kafka.admin import apply
from stream_infer.kafka.partitioner import partition_of
from stream_infer.kafka.producer import Publisher, TransactionalProducer
from stream_infer.kafka.views import TopicReader, read_compacted
from stream_infer.ports import Source, SourceItem
from stream_infer.records import REFERENCE, Message, OutgoingRecord, Payload
from stream_infer.settings import Settings
from stream_infer.topics import Topics
from tests.support.memory_store import MemoryStore
from tests.support.roles import running
from tests.support.settings import settings_for

WAIT_S = 30.0
JOB = Job(job_id="job-1", api="echo", submitted_at=time.time(), submission="s.jsonl")


class Numbers:
    """A source of `count` items, that breaks off with `error` behind them, and can be held up at one of them."""

    def __init__(self, count: int, *, error: str | None = None, size: int = 1) -> None:
        self.count = count
        self.error = error
        self.size = size
        self.hold_at: int | None = None
        self.held = threading.Event()
        self.release = threading.Event()

    def read(self, after: str | None) -> Iterator[SourceItem]:
        for number in range(int(after or 0), self.count):
            if number == self.hold_at:
                self.held.set()
                self.release.wait(WAIT_S)
            data = str(number).encode().rjust(self.size, b" ")
            yield SourceItem(Payload(data), f"numbers#{number}", str(number + 1))
        if self.error is not None:
            raise SourceError(self.error)


@pytest.fixture
def settings(bootstrap_servers: str, topic_prefix: str, tmp_path: Path) -> Settings:
    settings = settings_for(
        bootstrap_servers, topic_prefix, tmp_path, intake={"chunk_items": 7}, limits={"payload_bytes": 1000}
    )
    apply(settings)
    return settings


def publish(settings: Settings, topic: str, value: bytes) -> None:
    publisher = Publisher(settings.kafka, "test")
    publisher.publish([OutgoingRecord(topic, JOB.job_id.encode(), value)])
    publisher.close()


def submit(settings: Settings, *, known: bool = True, **status: object) -> None:
    topics = Topics(settings.kafka.topic_prefix)
    if known:
        row = JobStatus(job_id=JOB.job_id, api="echo", counts=Counts(succeeded=10_000)).model_copy(update=status)
        publish(settings, topics.status, encode_status(row))
    publish(settings, topics.jobs, encode_job(JOB))


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


def intake(settings: Settings, source: Source, store: MemoryStore | None = None):  # type: ignore[no-untyped-def]
    return running(
        lambda stop, ready: run(settings, store or MemoryStore(), lambda _: source, stop=stop, on_ready=ready)
    )


def test_a_source_is_published_with_ids_counts_and_its_end(settings: Settings) -> None:
    with intake(settings, Numbers(20)):
        submit(settings)
        events = events_until_exhausted(settings)
        found = items(settings, 20)

    assert ids(found) == list(range(20))
    headers = dict(found[0].headers)
    assert (headers["si-job-id"], headers["si-generation"]) == (b"job-1", b"1")
    assert (headers["si-source"] or b"").startswith(b"numbers#")
    assert isinstance(events[0], EnqueuingStarted)
    assert sum(e.delta.enqueued for e in events if isinstance(e, Counted)) == 20
    assert [e.error for e in events if isinstance(e, Exhausted)] == [None]


def test_an_intake_that_starts_again_goes_on_behind_what_was_published(settings: Settings) -> None:
    source = Numbers(30)
    source.hold_at = 17
    with intake(settings, source):
        submit(settings)
        assert source.held.wait(WAIT_S)
        source.release.set()
        source.hold_at = None
        items(settings, 14)
    with intake(settings, Numbers(30)):
        events = events_until_exhausted(settings)

    assert ids(items(settings, 30)) == list(range(30))
    assert sum(e.delta.enqueued for e in events if isinstance(e, Counted)) == 30


def test_a_job_that_was_published_whole_is_not_published_again(settings: Settings) -> None:
    with intake(settings, Numbers(5)):
        submit(settings)
        events_until_exhausted(settings)
    with intake(settings, Numbers(9)):
        publish(settings, Topics(settings.kafka.topic_prefix).jobs, encode_job(JOB))

    assert ids(items(settings, 5)) == list(range(5))


def partition_of_job(settings: Settings, source: Source) -> JobsPartition:
    """What an intake does when it is assigned the job's partition."""
    topics = Topics(settings.kafka.topic_prefix)
    number = partition_of(JOB.job_id, settings.jobs.partitions)
    producer = TransactionalProducer(settings.kafka, f"{topics.prefix}.intake.{number}")
    producer.initialise()
    checkpoints = read_compacted(settings.kafka, topics.checkpoints, number, decode_checkpoint)
    partition = JobsPartition(producer, checkpoints, Publication(topics, MemoryStore(), 1000), lambda _: source)
    partition.learn(JOB)
    return partition


def test_a_stalled_predecessor_cannot_publish_what_its_successor_has(settings: Settings) -> None:
    stalled = partition_of_job(settings, Numbers(20))
    [run_of_stalled] = stalled.runs()
    assert stalled.publish(run_of_stalled, 5) == 5

    successor = partition_of_job(settings, Numbers(20))
    [run_of_successor] = successor.runs()
    assert successor.publish(run_of_successor, 10) == 10
    with pytest.raises(Fenced):
        stalled.publish(run_of_stalled, 5)

    assert ids(items(settings, 15)) == list(range(15))
    stalled.close()
    successor.close()


def test_an_intake_that_was_fenced_takes_its_partition_back_with_its_jobs(settings: Settings) -> None:
    source = Numbers(50)
    source.hold_at = 20
    topics = Topics(settings.kafka.topic_prefix)
    with intake(settings, source):
        submit(settings)
        assert source.held.wait(WAIT_S)
        number = partition_of(JOB.job_id, settings.jobs.partitions)
        usurper = TransactionalProducer(settings.kafka, f"{topics.prefix}.intake.{number}")
        usurper.initialise()
        source.hold_at = None
        source.release.set()
        events = events_until_exhausted(settings)
    usurper.close()

    assert ids(items(settings, 50)) == list(range(50))
    assert sum(e.delta.enqueued for e in events if isinstance(e, Counted)) == 50


def test_a_source_that_breaks_off_fails_its_job_and_keeps_what_was_read(settings: Settings) -> None:
    with intake(settings, Numbers(10, error="line 11 of numbers is too long")):
        submit(settings)
        events = events_until_exhausted(settings)

    assert [e.error for e in events if isinstance(e, Exhausted)] == ["line 11 of numbers is too long"]
    assert ids(items(settings, 10)) == list(range(10))


def test_a_job_that_is_ending_is_not_published_further(settings: Settings) -> None:
    with intake(settings, Numbers(10)):
        submit(settings, cause=Cause.STOP, state=State.STOPPING)
        events = events_until_exhausted(settings)

    assert sum(e.delta.enqueued for e in events if isinstance(e, Counted)) == 0


def test_a_job_waits_until_the_tracker_knows_it(settings: Settings) -> None:
    with intake(settings, Numbers(3)):
        submit(settings, known=False)
        submit(settings)
        events = events_until_exhausted(settings)

    assert isinstance(events[0], EnqueuingStarted)
    assert ids(items(settings, 3)) == [0, 1, 2]


def test_a_payload_too_big_for_a_message_travels_as_a_reference(settings: Settings) -> None:
    store = MemoryStore()
    with intake(settings, Numbers(1, size=1001), store):
        submit(settings)
        [item] = items(settings, 1)

    assert dict(item.headers)["content-type"] == REFERENCE.encode()
    assert store.get("_payloads/items/job-1/0") == b"0".rjust(1001)


def test_a_job_whose_items_do_not_end_is_not_published_beyond_its_allowance(settings: Settings) -> None:
    source = Numbers(1000)
    floor = 2 * settings.apis[0].batching.max_batch_size
    with intake(settings, source):
        submit(settings, counts=Counts())
        items(settings, floor)
        topics = Topics(settings.kafka.topic_prefix)
        number = partition_of(JOB.job_id, settings.jobs.partitions)

    checkpoint = read_compacted(settings.kafka, topics.checkpoints, number, decode_checkpoint)[JOB.job_id]
    assert checkpoint == Checkpoint(job_id=JOB.job_id, cursor=str(floor), enqueued=floor)
