"""The tracker as a process against a real Kafka: exact sums whatever happens to it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from confluent_kafka import Producer

from stream_infer.errors import ServiceUnavailable, TopicMismatch
from stream_infer.jobs.counts import Counts
from stream_infer.jobs.events import Counted, Event, Exhausted, Finalized, StopRequested, Submitted, encode_event
from stream_infer.jobs.status import JobStatus, State, decode_status
from stream_infer.kafka import admin
from stream_infer.kafka.client import client_config
from stream_infer.kafka.partitioner import PARTITIONER
from stream_infer.kafka.producer import TransactionalProducer
from stream_infer.kafka.publisher import Publisher
from stream_infer.kafka.views import CompactedView
from stream_infer.local.broker import BrokerConfig, LocalBroker
from stream_infer.records import OutgoingRecord
from stream_infer.settings import JobsSettings, KafkaSettings, Settings
from stream_infer.topics import Topics

PROCESS = """
import logging, signal, sys, threading
logging.basicConfig(stream=sys.stderr)
from stream_infer.settings import Settings
from stream_infer.tracker import run
stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
run(Settings.model_validate_json(sys.argv[1]), stop, lambda: print("ready", flush=True))
"""
START_S = 40.0
"""A killed member's partitions are free when its session has ended, 6 s here; the rest is a slow machine's."""


@dataclass
class Tracker:
    """A running tracker process; `log` is what it says on stdout and stderr."""

    process: subprocess.Popen[str]

    def wait_until_ready(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.strip() == "ready":
                return
        raise AssertionError(f"the tracker ended with {self.process.wait()} before it was ready")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def terminate(self) -> float:
        """Seconds until it had ended."""
        began = time.monotonic()
        self.process.terminate()
        assert self.process.wait(60) == 0
        return time.monotonic() - began


@pytest.fixture
def settings(bootstrap_servers: str, topic_prefix: str) -> Settings:
    kafka = KafkaSettings(bootstrap_servers=bootstrap_servers, topic_prefix=topic_prefix, session_timeout=6.0)
    settings = Settings(kafka=kafka, jobs=JobsSettings(partitions=3))
    admin.apply(settings)
    return settings


@pytest.fixture
def start(settings: Settings) -> Iterator[Callable[..., Tracker]]:
    started: list[Tracker] = []

    def start(of: Settings = settings) -> Tracker:
        command = [sys.executable, "-c", PROCESS, of.model_dump_json()]
        tracker = Tracker(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        started.append(tracker)
        return tracker

    yield start
    for tracker in started:
        tracker.kill()
        assert tracker.process.stdout is not None
        tracker.process.stdout.close()


@pytest.fixture
def status(settings: Settings) -> Iterator[CompactedView[JobStatus]]:
    view = CompactedView(settings.kafka, Topics(settings.kafka.topic_prefix).status, decode_status)
    view.start()
    yield view
    view.close()


@pytest.fixture
def writer(settings: Settings) -> Iterator[TransactionalProducer]:
    producer = TransactionalProducer(settings.kafka, f"{settings.kafka.topic_prefix}.test")
    producer.initialise()
    yield producer
    producer.close()


def wait_for(holds: Callable[[], bool], what: str, timeout_s: float = START_S) -> None:
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, f"not within {timeout_s:.0f} s: {what}"
        time.sleep(0.02)


def records(settings: Settings, events: Sequence[Event]) -> list[OutgoingRecord]:
    topic = Topics(settings.kafka.topic_prefix).progress
    return [OutgoingRecord(topic, event.job_id.encode(), encode_event(event)) for event in events]


def submitted(job_id: str, **more: object) -> Submitted:
    return Submitted.model_validate({"job_id": job_id, "at": time.time(), "api": "cats", **more})


def counted(job_id: str, **delta: int) -> Counted:
    return Counted(job_id=job_id, at=time.time(), delta=Counts(**delta))


def abort(settings: Settings, events: Sequence[Event]) -> None:
    """Writes `events` to the topic in a transaction that never commits."""
    name = f"{settings.kafka.topic_prefix}.aborting"
    producer = Producer({**client_config(settings.kafka, name), "transactional.id": name, "partitioner": PARTITIONER})
    producer.init_transactions(10)
    producer.begin_transaction()
    for record in records(settings, events):
        producer.produce(record.topic, record.value, record.key)
    producer.flush(10)
    producer.abort_transaction(10)


def sums(view: CompactedView[JobStatus]) -> dict[str, int]:
    return {job_id: row.counts.enqueued for job_id, row in view.snapshot().items()}


def test_sums_are_exact_though_transactions_abort_and_the_tracker_is_killed_again_and_again(
    settings: Settings,
    start: Callable[..., Tracker],
    status: CompactedView[JobStatus],
    writer: TransactionalProducer,
) -> None:
    chance = random.Random(20)
    jobs = [f"job-{number}" for number in range(20)]
    expected: Counter[str] = Counter()
    tracker = start()
    tracker.wait_until_ready()
    writer.transact(records(settings, [submitted(job_id) for job_id in jobs]), {})

    written = 0
    kill_at = [300, 800, 801, 1500]
    while written < 2000:
        size = min(chance.choice([1, 2, 7, 40]), 2000 - written)
        events = [counted(chance.choice(jobs), enqueued=1 + written % 3) for _ in range(size)]
        if chance.random() < 0.15:
            abort(settings, events)
            continue
        writer.transact(records(settings, events), {})
        written += size
        for event in events:
            expected[event.job_id] += event.delta.enqueued
        if kill_at and written >= kill_at[0]:
            del kill_at[0]
            tracker.kill()
            tracker = start()
    tracker.wait_until_ready()

    wait_for(lambda: sum(sums(status).values()) >= expected.total(), "every delta is folded")
    status.catch_up().result(10)
    assert sums(status) == dict(expected)


def test_a_restarted_tracker_goes_on_from_the_status_topic(
    settings: Settings,
    start: Callable[..., Tracker],
    status: CompactedView[JobStatus],
    writer: TransactionalProducer,
) -> None:
    tracker = start()
    tracker.wait_until_ready()
    writer.transact(
        records(settings, [submitted("a"), counted("a", enqueued=2), counted("a", succeeded=1, written=1)]), {}
    )
    wait_for(lambda: (row := status.get("a")) is not None and row.state is State.RUNNING, "the job runs")
    assert tracker.terminate() < 20

    tracker = start()
    tracker.wait_until_ready()
    end = [counted("a", succeeded=1, written=1), counted("a", sunk=2), Exhausted(job_id="a", at=time.time())]
    finalized = Finalized(job_id="a", at=time.time(), manifest="file:///m", objects=1, bytes=1)
    writer.transact(records(settings, [*end, finalized]), {})
    wait_for(lambda: (row := status.get("a")) is not None and row.state.is_final, "the job has ended")
    row = status.get("a")
    assert row is not None
    assert row.state is State.SUCCEEDED
    assert row.counts == Counts(enqueued=2, succeeded=2, written=2, sunk=2)


def test_two_trackers_share_the_partitions_and_one_takes_over_when_the_other_is_killed(
    settings: Settings,
    start: Callable[..., Tracker],
    status: CompactedView[JobStatus],
    writer: TransactionalProducer,
) -> None:
    jobs = [f"job-{number}" for number in range(12)]
    first = start()
    first.wait_until_ready()
    writer.transact(records(settings, [submitted(job_id) for job_id in jobs]), {})
    second = start()
    for _ in range(100):
        writer.transact(records(settings, [counted(job_id, enqueued=1) for job_id in jobs]), {})
    second.wait_until_ready()
    for _ in range(100):
        writer.transact(records(settings, [counted(job_id, enqueued=1) for job_id in jobs]), {})
    first.kill()
    for _ in range(100):
        writer.transact(records(settings, [counted(job_id, enqueued=1) for job_id in jobs]), {})

    wait_for(lambda: sum(sums(status).values()) >= 300 * len(jobs), "every delta is folded")
    status.catch_up().result(10)
    assert sums(status) == dict.fromkeys(jobs, 300)


def test_a_job_that_runs_out_of_time_is_stopped_and_another_is_not(
    settings: Settings,
    start: Callable[..., Tracker],
    status: CompactedView[JobStatus],
    writer: TransactionalProducer,
) -> None:
    start().wait_until_ready()
    events = [submitted("slow", timeout_s=0.5), submitted("patient", timeout_s=500), submitted("free")]
    writer.transact(records(settings, events), {})
    wait_for(lambda: (row := status.get("slow")) is not None and row.state is State.STOPPING, "the timeout is noticed")
    writer.transact(records(settings, [Exhausted(job_id="slow", at=time.time())]), {})
    done = Finalized(job_id="slow", at=time.time(), manifest="file:///m", objects=0, bytes=0)
    writer.transact(records(settings, [done]), {})
    wait_for(lambda: (row := status.get("slow")) is not None and row.state is State.TIMED_OUT, "it ends as timed out")
    assert [status.snapshot()[job_id].cause for job_id in ("patient", "free")] == [None, None]


def test_a_job_that_ended_long_ago_is_forgotten_with_a_tombstone(
    settings: Settings,
    start: Callable[..., Tracker],
    status: CompactedView[JobStatus],
    writer: TransactionalProducer,
) -> None:
    start(settings.model_copy(update={"jobs": JobsSettings(partitions=3, retention=3600.0)})).wait_until_ready()
    long_ago = time.time() - 4000
    old = [
        Submitted(job_id="old", at=long_ago, api="cats"),
        Exhausted(job_id="old", at=long_ago),
    ]
    writer.transact(records(settings, [*old, submitted("new"), StopRequested(job_id="new", at=long_ago)]), {})
    wait_for(lambda: {"old", "new"} <= status.snapshot().keys(), "both jobs are known")
    end = Finalized(job_id="old", at=long_ago, manifest="file:///m", objects=0, bytes=0)
    writer.transact(records(settings, [end]), {})
    wait_for(lambda: "old" not in status.snapshot(), "the old job is forgotten")
    assert "new" in status.snapshot()


def test_what_is_no_event_is_passed_over(
    settings: Settings,
    start: Callable[..., Tracker],
    status: CompactedView[JobStatus],
) -> None:
    start().wait_until_ready()
    topic = Topics(settings.kafka.topic_prefix).progress
    strange = [
        OutgoingRecord(topic, key, value) for key in (None, b"\xff", b"a") for value in (None, b"", b"\xff", b"{}")
    ]
    publisher = Publisher(settings.kafka, "test")
    publisher.publish([*strange, *records(settings, [submitted("a"), counted("a", enqueued=1)])])
    publisher.close()
    wait_for(lambda: sums(status) == {"a": 1}, "what is an event is folded")


def test_it_says_that_topics_are_missing(settings: Settings) -> None:
    from stream_infer.tracker import run

    other = settings.model_copy(
        update={"kafka": settings.kafka.model_copy(update={"topic_prefix": "nobody-made-these"})}
    )
    with pytest.raises(TopicMismatch, match="nobody-made-these"):
        run(other, None, None)  # type: ignore[arg-type]


def test_it_says_that_kafka_cannot_be_reached_in_bounded_time() -> None:
    from stream_infer.tracker import run

    began = time.monotonic()
    with pytest.raises(ServiceUnavailable, match=r"127\.0\.0\.1:9"):
        run(Settings(kafka=KafkaSettings(bootstrap_servers="127.0.0.1:9")), None, None)  # type: ignore[arg-type]
    assert time.monotonic() - began < 30


def test_a_group_without_a_place_is_an_error_and_no_silent_reset(
    settings: Settings, start: Callable[..., Tracker], writer: TransactionalProducer
) -> None:
    from confluent_kafka.admin import AdminClient

    group = Topics(settings.kafka.topic_prefix).tracker_group
    client = AdminClient(client_config(settings.kafka, "test"))
    client.delete_consumer_groups([group])[group].result(30)
    process = subprocess.Popen(
        [sys.executable, "-c", PROCESS, settings.model_dump_json()],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        _, said = process.communicate(timeout=START_S)
    finally:
        process.kill()
        process.wait()
    assert process.returncode != 0
    assert "TopicMismatch: the tracker's group has no place" in said


def test_it_ends_soon_and_binds_no_web_port(settings: Settings, start: Callable[..., Tracker]) -> None:
    import psutil

    tracker = start()
    tracker.wait_until_ready()
    process = psutil.Process(tracker.process.pid)
    assert [socket for socket in process.net_connections() if socket.status == psutil.CONN_LISTEN] == []
    tracker.process.send_signal(signal.SIGTERM)
    assert tracker.process.wait(60) == 0


def test_it_ends_soon_though_kafka_does_not_answer_any_more(
    bootstrap_servers: str,
    tmp_path: Path,
    start: Callable[..., Tracker],
    topic_prefix: str,
) -> None:
    with LocalBroker(BrokerConfig(tmp_path / "kafka")) as broker:
        kafka = KafkaSettings(
            bootstrap_servers=broker.bootstrap_servers, topic_prefix=topic_prefix, session_timeout=6.0
        )
        settings = Settings(kafka=kafka, jobs=JobsSettings(partitions=3))
        admin.apply(settings)
        tracker = start(settings)
        tracker.wait_until_ready()
        os.kill(broker.pid, signal.SIGSTOP)
        try:
            assert tracker.terminate() < 40
        finally:
            os.kill(broker.pid, signal.SIGCONT)
