"""An intake on a real broker: a source is published once, whoever publishes it and however often it starts again."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource

from stream_infer.definitions import Definition, definition_records
from stream_infer.errors import Fenced
from stream_infer.headers import read_item
from stream_infer.intake.run import run
from stream_infer.jobs.checkpoints import Checkpoint, decode_checkpoint
from stream_infer.jobs.counts import Counts
from stream_infer.jobs.events import Counted, EnqueuingStarted, Exhausted, Hindered, decode_event
from stream_infer.jobs.spec import encode_job
from stream_infer.jobs.status import Cause, JobStatus, State, encode_status
from stream_infer.kafka.admin import apply, apply_api
from stream_infer.kafka.partitioner import partition_of
from stream_infer.kafka.producer import TransactionalProducer
from stream_infer.kafka.publisher import Publisher
from stream_infer.kafka.views import read_compacted
from stream_infer.ports import Source, SourceItem
from stream_infer.records import REFERENCE, Payload
from stream_infer.settings import Settings
from stream_infer.topics import Topics
from tests.support.intake_harness import (
    JOB,
    WAIT_S,
    events_until_exhausted,
    ids,
    items,
    partition_of_job,
    publish,
    published,
    read_until,
    submit,
)
from tests.support.memory_store import MemoryStore
from tests.support.roles import running
from tests.support.settings import settings_for
from tests.support.sources import Numbers


@pytest.fixture
def settings(bootstrap_servers: str, topic_prefix: str, tmp_path: Path) -> Settings:
    settings = settings_for(
        bootstrap_servers, topic_prefix, tmp_path, intake={"chunk_items": 7}, limits={"payload_bytes": 1000}
    )
    apply(settings)
    return settings


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
    assert (headers["si-job-id"], "si-generation" in headers) == (b"job-1", False)
    assert (headers["si-source"] or b"").startswith(b"numbers#")
    assert isinstance(events[0], EnqueuingStarted)
    assert sum(e.delta.enqueued for e in events if isinstance(e, Counted)) == 20
    assert [e.error for e in events if isinstance(e, Exhausted)] == [None]


def test_a_source_that_breaks_as_none_should_fails_its_job_and_the_intake_goes_on(settings: Settings) -> None:
    class Broken:
        def read(self, after: str | None) -> Iterator[SourceItem]:
            yield from islice(Numbers(9).read(after), 3)
            raise KeyError("of a library")

    sources: dict[str, Source] = {"job-1": Broken(), "job-2": Numbers(4)}
    other = JOB.model_copy(update={"job_id": "job-2"})
    with running(
        lambda stop, ready: run(settings, MemoryStore(), lambda job: sources[job.job_id], stop=stop, on_ready=ready)
    ):
        submit(settings)
        events = events_until_exhausted(settings)
        submit(settings, job=other)
        found = items(settings, 7)

    assert [e.error for e in events if isinstance(e, Exhausted)] == [
        "the source cannot be read on: KeyError: 'of a library'"
    ]
    assert len(found) == 7


def publish_in_part(settings: Settings) -> None:
    """Of 30 numbers 14 or more, by an intake that ends then."""
    source = Numbers(30)
    source.hold_at = 17
    with intake(settings, source):
        submit(settings)
        assert source.held.wait(WAIT_S)
        source.release.set()
        source.hold_at = None
        items(settings, 14)


def test_an_intake_that_starts_again_goes_on_behind_what_was_published(settings: Settings) -> None:
    publish_in_part(settings)
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


def test_a_stalled_predecessor_cannot_publish_what_its_successor_has(settings: Settings) -> None:
    stalled = partition_of_job(settings, Numbers(20))
    [run_of_stalled] = stalled.runs()
    assert published(stalled, run_of_stalled, 5) == 5

    successor = partition_of_job(settings, Numbers(20))
    [run_of_successor] = successor.runs()
    assert published(successor, run_of_successor, 10) == 10
    with pytest.raises(Fenced):
        published(stalled, run_of_stalled, 5)

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


def test_an_intake_that_has_read_less_than_the_job_counts_reads_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_in_part(settings)
    counted = JobStatus(job_id=JOB.job_id, api="echo", counts=Counts(enqueued=14, succeeded=10_000))
    publish(settings, Topics(settings.kafka.topic_prefix).status, encode_status(counted))
    reads: list[int] = []

    def short_at_first(*args: Any, **kwargs: Any) -> dict[str, Any]:
        reads.append(1)
        return {} if len(reads) <= settings.jobs.partitions else read_compacted(*args, **kwargs)

    monkeypatch.setattr("stream_infer.intake.owned.read_compacted", short_at_first)
    with intake(settings, Numbers(30)):
        events_until_exhausted(settings)

    assert ids(items(settings, 30)) == list(range(30))


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


def test_a_job_of_an_api_that_is_not_there_says_so_and_goes_on_once_it_is_deployed(settings: Settings) -> None:
    """As of one that was submitted at one gateway while another deleted its API."""
    job = JOB.model_copy(update={"api": "late"})
    late = Definition(
        name="late", revision="r1", definition=settings.apis[0].model_dump(mode="json") | {"name": "late"}, at=1.0
    )
    topics = Topics(settings.kafka.topic_prefix)
    with intake(settings, Numbers(3)):
        submit(settings, job=job, api="late")
        said = [decode_event(one.value or b"") for one in read_until(settings, topics.progress, bool)]
        apply_api(settings, late.api)
        publisher = Publisher(settings.kafka, "test")
        publisher.publish(definition_records(late, [], topics))
        publisher.close()
        events = events_until_exhausted(settings)
        found = read_until(settings, topics.api("late").items, lambda got: len(got) >= 3)

    # Said every 2 s until its row has it, which without a tracker it never does.
    assert {(type(one), "no API 'late'" in str(one)) for one in said} == {(Hindered, True)}
    assert [type(one) for one in events if not isinstance(one, Hindered)] == [EnqueuingStarted, Counted, Exhausted]
    assert ids(found) == [0, 1, 2]


def test_a_payload_too_big_for_a_message_travels_as_a_reference(settings: Settings) -> None:
    store = MemoryStore()
    with intake(settings, Numbers(1, size=1001), store):
        submit(settings)
        [item] = items(settings, 1)

    assert dict(item.headers)["content-type"] == REFERENCE.encode()
    assert store.get("_payloads/items/job-1/0") == b"0".rjust(1001)


def test_an_item_that_its_source_refuses_says_why_and_the_others_are_published(settings: Settings) -> None:
    class OneRefused:
        def read(self, after: str | None) -> Iterator[SourceItem]:
            for item in Numbers(3).read(after):
                yield replace(item, payload=Payload(b""), refused="too long") if item.cursor == "2" else item

    with intake(settings, OneRefused()):
        submit(settings)
        found = items(settings, 3)

    refused = [read_item(item) for item in found if dict(item.headers).get("si-refused")]
    assert [(item.item_id, item.source, item.fault) for item in refused] == [("job-1-1", "numbers#1", "too long")]


def noise(seed: bytes) -> bytes:
    return Random(seed).randbytes(100_000)


@pytest.mark.parametrize("taken", [40_000, 200])
def test_a_topic_that_takes_less_than_it_should_neither_ends_the_intake_nor_holds_it_up(
    bootstrap_servers: str, topic_prefix: str, tmp_path: Path, taken: int
) -> None:
    """What it refuses travels by reference; where it refuses everything, the job fails and says what to do."""
    settings = settings_for(bootstrap_servers, topic_prefix, tmp_path, limits={"payload_bytes": 200_000})
    apply(settings)
    topic = Topics(topic_prefix).api("echo").items
    altered = ConfigEntry("max.message.bytes", str(taken), incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=[altered])
    admin = AdminClient({"bootstrap.servers": bootstrap_servers})
    for future in admin.incremental_alter_configs([resource]).values():
        future.result()

    class Noise:
        """What compression makes no smaller."""

        def read(self, after: str | None) -> Iterator[SourceItem]:
            for item in Numbers(5).read(after):
                yield replace(item, payload=Payload(noise(item.payload.data)))

    store = MemoryStore()
    with intake(settings, Noise(), store):
        submit(settings)
        events = events_until_exhausted(settings)

    [error] = [event.error for event in events if isinstance(event, Exhausted)]
    enqueued = sum(event.delta.enqueued for event in events if isinstance(event, Counted))
    if taken == 200:
        assert enqueued == 0
        assert "topics apply" in (error or "")
        return
    assert (error, enqueued) == (None, 5)
    assert ids(items(settings, 5)) == list(range(5))
    assert store.get("_payloads/items/job-1/4") == noise(b"4")


def test_a_job_whose_items_do_not_end_is_not_published_beyond_its_allowance(settings: Settings) -> None:
    source = Numbers(1000)
    floor = 2 * settings.apis[0].batching.max_batch_size
    with intake(settings, source):
        submit(settings, counts=Counts())
        items(settings, floor)
        topics = Topics(settings.kafka.topic_prefix)
        number = partition_of(JOB.job_id, settings.jobs.partitions)

    checkpoint = read_compacted(settings.kafka, topics.checkpoints, number, decode_checkpoint)[JOB.job_id]
    assert checkpoint == Checkpoint(job_id=JOB.job_id, cursor=str(floor), enqueued=floor, submitted_at=JOB.submitted_at)
