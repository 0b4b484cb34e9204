"""The tracker's rows, and how it speaks to a secured Kafka."""

from __future__ import annotations

import asyncio
import gc
import logging
import ssl
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError

from stream_infer.jobs.events import Event, Exhausted, Finalized, Submitted, TimeoutReached, decode_event
from stream_infer.local.free_ports import find_free
from stream_infer.security_settings import SecuritySettings
from stream_infer.settings import Settings
from stream_infer.tracker.app import create_app, credentials, leave_unawaited
from stream_infer.tracker.assignment import assignor_for
from stream_infer.tracker.exactly_once import transport
from stream_infer.tracker.folding import Folding
from stream_infer.tracker.rows import Changes, PartitionRows
from stream_infer.tracker.traces import FoldTraces
from tests.support.traces import SENT, SPAN, TRACE, kept_spans

LOGIN = {"username": "u", "password": "p"}
SUBMITTED = Submitted(job_id="a", at=100.0, api="cats", timeout_s=10.0)
ENDED = [
    SUBMITTED,
    Exhausted(job_id="a", at=101.0),
    Finalized(job_id="a", at=102.0, manifest="file:///m", objects=0, bytes=0),
]


def test_a_thread_that_was_not_scheduled_for_a_while_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    async def create() -> None:
        create_app(Settings())

    asyncio.run(create())
    # The name under which Faust's consumer thread logs: that of the module of its transport's subclass.
    log = logging.getLogger("stream_infer.tracker.exactly_once")
    log.error("[%s]: %s", "^--_ConsumerThread", "Thread keepalive is not responding...")
    log.error("[%s]: %s", "^--_ConsumerThread", "Crashed reason=KafkaError()")
    assert [record.getMessage() for record in caplog.records] == ["[^--_ConsumerThread]: Crashed reason=KafkaError()"]


def test_a_job_runs_out_of_time_also_while_something_is_being_written() -> None:
    said: list[tuple[str, int, Event | None]] = []

    class Producer:
        async def send(self, topic: str, _key: bytes, value: bytes, partition: int, *_: None) -> Any:
            said.append((topic, partition, decode_event(value)))
            return asyncio.sleep(0)

    async def run() -> None:
        folding = Folding(create_app(Settings()), Settings())
        folding._app = SimpleNamespace(producer=Producer())  # type: ignore[assignment]
        folding._rows[3] = PartitionRows({})
        folding._rows[3].fold(SUBMITTED, 0)
        async with folding._writing:
            await folding._tick()
        assert folding.failure is None

    asyncio.run(run())
    [(topic, partition, event)] = said
    assert (topic, partition) == ("stream-infer.progress", 3)
    assert isinstance(event, TimeoutReached)
    assert event.job_id == "a"


def test_what_the_consumers_thread_left_behind_ends_with_the_process_in_silence(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    told: list[BaseException | None] = []
    monkeypatch.setattr("sys.unraisablehook", lambda unraisable: told.append(unraisable.exc_value))

    async def leave_behind() -> None:
        consumer = transport(create_app(Settings()), "s", take_over).create_consumer(
            nothing, on_partitions_revoked=nothing, on_partitions_assigned=nothing
        )
        thread = consumer._new_consumer_thread()
        waiting = thread.thread_loop.create_task(thread._execute_task(asyncio.sleep(60.0)))
        thread.thread_loop.call_soon(thread.thread_loop.stop)
        await asyncio.to_thread(thread.thread_loop.run_forever)
        assert not waiting.done()
        thread.thread_loop.close()
        thread.on_crash("{0} crashed: {1}", "its consumer", "it has been told of already")

    asyncio.run(leave_behind())
    gc.collect()
    assert not [error for error in told if not isinstance(error, Warning)]
    assert capfd.readouterr().err == ""
    assert not [record.getMessage() for record in caplog.records if record.levelno >= logging.INFO]


def test_a_connection_that_was_being_opened_is_not_left_to_a_closed_loop_where_the_shutdown_itself_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[BaseException | None] = []
    monkeypatch.setattr("sys.unraisablehook", lambda unraisable: told.append(unraisable.exc_value))

    async def start_and_fail() -> None:
        consumer = transport(create_app(Settings()), "s", take_over).create_consumer(
            nothing, on_partitions_revoked=nothing, on_partitions_assigned=nothing
        )
        thread = consumer._thread

        async def connect() -> None:
            try:
                await asyncio.sleep(60.0)
            finally:  # as aiokafka's transport does
                thread.thread_loop.call_soon(print)

        async def fail() -> None:
            thread.thread_loop.create_task(connect())
            await asyncio.sleep(0)
            raise RuntimeError("its coordinator is gone")

        monkeypatch.setattr(thread, "_default_start", fail)
        monkeypatch.setattr(thread, "on_thread_stop", fail)
        with pytest.raises(RuntimeError, match="its coordinator is gone"):
            await asyncio.to_thread(thread._start_thread)
        assert thread.thread_loop.is_closed()

    asyncio.run(start_and_fail())
    gc.collect()
    assert not [error for error in told if not isinstance(error, Warning)]


def test_a_tracker_that_cannot_reach_kafka_when_it_starts_says_so() -> None:
    # In a process of its own, which takes with it the loops and sockets that Faust leaves open.
    code = """
import threading
from stream_infer.settings import KafkaSettings, Settings
from stream_infer.tracker import role
role.check_topics = lambda settings: "Kafka was there a moment ago"
role.run(Settings(kafka=KafkaSettings(bootstrap_servers="127.0.0.1:9")), threading.Event(), print)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    said = "stream_infer.errors.ServiceUnavailable: the tracker lost Kafka at 127.0.0.1:9: "
    assert ended.stderr.splitlines()[-1].startswith(said)


def test_what_is_cancelled_at_the_end_may_fail_with_anything(caplog: pytest.LogCaptureFixture) -> None:
    loop = asyncio.new_event_loop()
    leave_unawaited(loop, {"message": "unhandled exception during asyncio.run() shutdown", "exception": OSError()})
    assert caplog.records == []

    leave_unawaited(loop, {"message": "Task exception was never retrieved", "exception": OSError()})
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    loop.close()


def test_a_request_that_was_given_up_may_fail_with_its_connection_and_a_task_may_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    loop = asyncio.new_event_loop()
    leave_unawaited(loop, {"message": "Future exception was never retrieved", "exception": ConnectionResetError()})
    assert caplog.records == []

    leave_unawaited(loop, {"message": "Task exception was never retrieved", "exception": ConnectionResetError()})
    leave_unawaited(loop, {"message": "Future exception was never retrieved", "exception": ValueError()})
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]
    loop.close()


async def take_over(_partitions: frozenset[int]) -> None:
    """Nothing is taken over."""


async def nothing(_message: object) -> None:
    """Nothing is read."""


class Cluster:
    """What a client knows of the brokers' topics."""

    def __init__(self, known: dict[str, set[int]]) -> None:
        self._known = known

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        return self._known.get(topic)


@pytest.mark.parametrize("known", [{}, {"p.progress": set()}, {"p.progress": {0, 1, 2, 3}}])
def test_every_partition_of_progress_is_assigned_though_the_brokers_do_not_name_them_now(
    known: dict[str, set[int]],
) -> None:
    groups = assignor_for(4)._get_copartitioned_groups({"p.progress"}, Cluster(known), {"tracker": ["p.progress"]})
    assert {number: [set(topics) for topics in found] for number, found in groups.items()} == {4: [{"p.progress"}]}


def folded(events: list[Any]) -> PartitionRows:
    rows = PartitionRows({})
    for offset, event in enumerate(events):
        rows.fold(event, offset)
    return rows


def test_many_events_of_a_job_are_one_change_and_the_offset_goes_behind_the_last() -> None:
    changes = folded(ENDED).take_changes()
    assert [(job_id, row.offset if row else None) for job_id, row in changes.rows.items()] == [("a", 2)]
    assert changes.next_offset == 3


def test_what_was_taken_is_not_written_again() -> None:
    rows = folded(ENDED)
    rows.take_changes()
    assert not rows.has_changes


def test_a_strangers_record_moves_the_offset_alone() -> None:
    changes = folded([None]).take_changes()
    assert (changes.rows, changes.next_offset) == ({}, 1)


def test_a_redelivered_event_moves_the_offset_alone() -> None:
    rows = folded(ENDED)
    rows.take_changes()
    rows.fold(SUBMITTED, 0)
    assert rows.take_changes().rows == {}


def test_an_overdue_job_is_named_until_its_timeout_is_folded() -> None:
    rows = folded([SUBMITTED])
    assert list(rows.overdue(109.9)) == []
    (event,) = rows.overdue(110.0)
    assert (event.job_id, event.generation) == ("a", 1)
    rows.fold(event, 1)
    assert list(rows.overdue(111.0)) == []


@pytest.mark.parametrize(
    ("events", "now", "forgotten"), [(ENDED, 112.0, False), (ENDED, 112.1, True), (ENDED[:2], 1e9, False)]
)
def test_a_job_is_forgotten_when_its_end_is_past_retention(events: list[Any], now: float, forgotten: bool) -> None:
    rows = folded(events)
    rows.take_changes()
    rows.forget_older_than(10.0, now)
    changes = rows.take_changes()
    assert changes.rows == ({"a": None} if forgotten else {})
    assert changes.next_offset is None


@pytest.mark.parametrize(
    ("security", "protocol", "encrypted"),
    [
        ({"protocol": "SSL"}, "SSL", True),
        ({"protocol": "SASL_PLAINTEXT", "sasl_mechanism": "SCRAM-SHA-256", **LOGIN}, "SASL_PLAINTEXT", False),
        ({"protocol": "SASL_SSL", "sasl_mechanism": "SCRAM-SHA-512", **LOGIN}, "SASL_SSL", True),
    ],
)
def test_a_secured_kafka_is_met_with_the_same_protocol(
    security: dict[str, str], protocol: str, encrypted: bool
) -> None:
    found: Any = credentials(SecuritySettings.model_validate(security))
    assert found.protocol.value == protocol
    context = found.ssl_context if protocol.startswith("SASL") else found.context
    assert isinstance(context, ssl.SSLContext) is encrypted
    if protocol.startswith("SASL"):
        assert (found.username, found.password, found.mechanism.value) == ("u", "p", security["sasl_mechanism"])


def test_a_token_that_cannot_be_had_is_a_broker_that_is_away_to_aiokafka() -> None:
    """Whatever else is raised ends a task of aiokafka's that nobody starts again."""
    oauth = {"token_endpoint": f"http://127.0.0.1:{find_free(1)[0]}/token", "client_id": "c", "client_secret": "s"}
    found: Any = credentials(
        SecuritySettings.model_validate({"protocol": "SASL_SSL", "sasl_mechanism": "OAUTHBEARER", "oauth": oauth})
    )
    with pytest.raises(KafkaConnectionError, match="no token for Kafka"):
        asyncio.run(found.oauth_cb.token())


def test_plain_text_needs_no_credentials() -> None:
    assert credentials(SecuritySettings()) is None


def changed_by(*traceparents: str | None) -> Changes:
    """In a partition to which jobs were submitted with these."""
    jobs = enumerate(traceparents)
    return folded([Submitted(job_id=f"j{n}", at=1.0, api="cats", traceparent=said) for n, said in jobs]).take_changes()


def test_a_fold_is_told_in_the_traces_of_the_jobs_that_it_changed() -> None:
    with kept_spans() as told:
        traces = FoldTraces("p.progress")
        with traces.writing(3, changed_by(None, None)):
            pass
        assert told() == []
        with traces.writing(3, changed_by(SENT)):
            assert told() == []
        with pytest.raises(KafkaConnectionError), traces.writing(3, changed_by(None, SENT)):
            raise KafkaConnectionError("gone")

    alone, lost = told()
    assert (alone.name, alone.kind, alone.trace_id, alone.parent) == ("fold p.progress", "consumer", TRACE, SPAN)
    expected = {
        "messaging.batch.message_count": 1,
        "messaging.destination.partition.id": "3",
        "stream_infer.jobs": 1,
        "stream_infer.job.id": "j0",
    }
    assert expected.items() <= alone.attributes.items()
    assert (alone.error, lost.error, lost.attributes["stream_infer.jobs"]) == (None, "KafkaConnectionError", 2)
