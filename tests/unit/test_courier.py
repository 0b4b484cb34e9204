"""A courier's turns without Kafka: what it commits, and what it leaves behind."""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any

import pytest
import structlog

from stream_infer.errors import ServiceUnavailable
from stream_infer.gateway.board import KnownJob
from stream_infer.gateway.webhooks import courier as courier_module
from stream_infer.gateway.webhooks.board import DeliveryBoard
from stream_infer.gateway.webhooks.courier import Courier
from stream_infer.gateway.webhooks.notes import Notes
from stream_infer.jobs.deliveries import Delivery, webhook_record
from stream_infer.jobs.spec import CONFIGURED, Job
from stream_infer.jobs.status import JobStatus
from stream_infer.kafka.consumer import Partition
from stream_infer.ports import Posted
from stream_infer.records import EndOfPartition, Message, OutgoingRecord
from stream_infer.settings import Settings
from stream_infer.telemetry import tracing
from stream_infer.trace_context import read_context
from stream_infer.webhooks import DeliveryState, WebhookEvent, new_secret
from tests.support.traces import SENT, SPAN, TRACE, kept_spans

SETTINGS = Settings.model_validate(
    {
        "webhooks": {"url": "https://example.org/hook", "secrets": [new_secret()]},
        "jobs": {"partitions": 1},
        "apis": [{"name": "echo", "predictor": {"type": "native", "target": "m:M"}}],
    }
)
STATUS = ("stream-infer.status", 0)


class Jobs:
    """Of each job that there may be; one whose id begins with "traced" has a trace."""

    def peek(self, job_id: str) -> KnownJob | None:
        said = SENT if job_id.startswith("traced") else None
        job = Job(job_id=job_id, api="echo", submitted_at=1.0, webhook=CONFIGURED, traceparent=said)
        return KnownJob(job, JobStatus(job_id=job_id, api="echo"))

    find = peek


class Consumer:
    """A member that has been given the one partition, and has read it to its end."""

    def poll(self, _max_records: int, _timeout_s: float) -> Sequence[EndOfPartition]:
        return [EndOfPartition(*STATUS, 5)]

    def membership(self) -> Any:
        return None

    def is_member(self) -> bool:
        return True

    def committed(self, partitions: Sequence[Partition]) -> dict[Partition, int]:
        return dict.fromkeys(partitions, 5)

    def seek(self, offsets: Mapping[Partition, int]) -> None: ...


class Producer:
    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.committed: list[Sequence[OutgoingRecord]] = []

    def transact(self, records: Sequence[OutgoingRecord], _offsets: Any, _membership: Any) -> None:
        if self.failure is not None:
            raise self.failure
        self.committed.append(records)

    def close(self) -> None: ...


class Board(DeliveryBoard):
    """As far as it was told."""

    def catch_up(self) -> Future[None]:
        done: Future[None] = Future()
        done.set_result(None)
        return done

    def tell(self, delivery: Delivery) -> None:
        self._view._see(Message("w", 0, 0, delivery.key.encode(), webhook_record(delivery, "w", 1).value, (), 0))


class Turns:
    """A courier that takes a turn when it is asked to; posts are answered by the test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *deliveries: Delivery) -> None:
        self.board, self.producer = Board(SETTINGS.kafka), Producer()
        self.posts: list[Future[Posted | None]] = []
        for delivery in deliveries:
            self.board.tell(delivery)
        notes = Notes(SETTINGS, Jobs(), self.board, lambda key: f"s3://b/{key}")
        self.courier = Courier(SETTINGS, notes, self.board, self._post, "t")
        self.courier._consumer = Consumer()  # type: ignore[assignment]
        self.courier._owned.assigned([STATUS])
        monkeypatch.setattr(courier_module, "start_producer", lambda *_args: self.producer)

    def turn(self) -> None:
        self.courier._not_before = 0.0
        self.courier._step()

    @property
    def lined_up(self) -> int:
        return sum(map(len, self.courier._due._lines.values()))

    def _post(self, _url: str, _headers: Mapping[str, str], _body: bytes) -> Future[Posted | None]:
        self.posts.append(Future())
        return self.posts[-1]


def delivery(job_id: str = "j", next_in_s: float = 0.0) -> Delivery:
    now = time.time()
    return Delivery(
        id=f"msg_{job_id}", job_id=job_id, api="echo", event=WebhookEvent.FAILED, generation=1, at=now, body="{}",
        next_at=now + next_in_s, until=now + 1000,
    )  # fmt: skip


def test_what_is_due_is_sent_and_its_answer_committed(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = Turns(monkeypatch, delivery())
    turns.turn()
    turns.posts[0].set_result(Posted(200))
    turns.turn()

    [[record]] = [records for records in turns.producer.committed if records]
    assert record.key == b"j/job.failed/1"
    assert b'"delivered"' in (record.value or b"")
    assert len(turns.courier._under_way) == 0
    assert len(turns.posts) == 1


def test_an_answer_that_was_noted_by_a_commit_which_seemed_to_fail_takes_nobodys_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pending = delivery()
    turns = Turns(monkeypatch, pending)
    turns.turn()
    turns.posts[0].set_result(Posted(200))
    turns.producer.failure = ServiceUnavailable("no answer from the broker, which has committed")
    turns.turn()
    turns.board.tell(pending.model_copy(update={"state": DeliveryState.DELIVERED, "next_at": None}))
    turns.producer.failure = None
    turns.turn()
    turns.turn()

    assert len(turns.courier._under_way) == 0
    assert not any(turns.producer.committed)
    assert len(turns.posts) == 1


def test_a_clock_that_is_set_back_keeps_nothing_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    now, back = time.time(), 0.0
    monkeypatch.setattr(time, "time", lambda: now - back)
    monkeypatch.setattr(time, "monotonic", lambda: 1000.0)
    turns = Turns(monkeypatch, delivery("j", 300.0).model_copy(update={"tried_at": now, "attempts": 1}))
    turns.turn()
    assert turns.courier._due._lines["example.org"][0][0] == pytest.approx(now + 300)

    back = 3600.0
    turns.turn()

    assert turns.lined_up == 1
    assert turns.courier._due._lines["example.org"][0][0] == pytest.approx(now - 3600 + 300)
    back = 3600.0 - 301
    turns.turn()
    assert len(turns.posts) == 1


def test_who_starts_over_again_and_again_lines_up_each_delivery_once_and_sends_it_in_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    later = delivery("later", 900.0).model_copy(update={"tried_at": time.time(), "attempts": 4})
    turns = Turns(monkeypatch, later, delivery("now"))
    turns.producer.failure = ServiceUnavailable("not allowed to commit")
    for _ in range(9):
        turns.courier._noted_at = 0.0
        turns.turn()
        assert turns.lined_up <= 2
    turns.producer.failure = None
    turns.turn()
    turns.turn()

    assert (len(turns.posts), turns.lined_up) == (1, 1)


def whose(_logger: Any, _method: str, event: Any) -> Any:
    return event | {"trace": tracing.current()}


def test_each_attempt_is_told_in_the_trace_of_its_job(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        kept_spans() as told,
        structlog.testing.capture_logs([whose]) as said,
    ):
        turns = Turns(monkeypatch, delivery("traced-1"), delivery("traced-2"), delivery("traced-3"), delivery("j"))
        turns.turn()
        assert told() == []
        first, second, third, _ = turns.posts
        first.set_result(Posted(200))
        second.set_result(Posted(503, "it answers 503 Service Unavailable", 0.0))
        third.cancel()
        turns.posts[3].set_result(Posted(200))
        turns.turn()

    spans = {span.attributes["stream_infer.job.id"]: span for span in told()}
    assert len(told()) == 3
    assert {(span.name, span.kind, span.trace_id, span.parent) for span in told()} == {
        ("deliver webhook", "client", TRACE, SPAN)
    }
    assert spans["traced-1"].attributes["http.response.status_code"] == 200
    assert spans["traced-1"].attributes["stream_infer.webhook.id"] == "msg_traced-1"
    assert [spans[f"traced-{n}"].error for n in (1, 2, 3)] == [None, "503", "given_up"]
    told_of = {line["job_id"]: line["trace"] for line in said if "webhook_id" in line}
    assert [told_of[job_id] for job_id in ("traced-1", "traced-2", "j")] == [read_context(SENT)] * 2 + [None]
