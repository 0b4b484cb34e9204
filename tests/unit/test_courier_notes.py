"""What a courier has to write of its deliveries: events, answers and wishes, without Kafka."""

import time
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any, cast

import pytest

from stream_infer.gateway.board import KnownJob
from stream_infer.gateway.courier_notes import Notes, tell
from stream_infer.gateway.courier_share import Share
from stream_infer.gateway.delivery_board import DeliveryBoard
from stream_infer.gateway.under_way import Sending, UnderWay
from stream_infer.jobs.deliveries import Delivery, WebhookRecord, Wish, decode_webhook, webhook_record
from stream_infer.jobs.spec import CONFIGURED, Job
from stream_infer.jobs.status import JobStatus, State
from stream_infer.ports import Posted
from stream_infer.records import Message
from stream_infer.settings import KafkaSettings, Settings
from stream_infer.webhooks import DeliveryState, new_secret

AT = time.time()
SETTINGS = Settings.model_validate(
    {
        "webhooks": {"url": "https://example.org/hook", "secrets": [new_secret()]},
        "jobs": {"partitions": 1},
        "apis": [{"name": "echo", "predictor": {"type": "native", "target": "m:M"}}],
    }
)


class Jobs:
    """Only what was submitted while there was a webhook has one."""

    def __init__(self, *told: str) -> None:
        self.told = told

    def peek(self, job_id: str) -> KnownJob | None:
        webhook = CONFIGURED if job_id in self.told else None
        job = Job(job_id=job_id, api="echo", submitted_at=1.0, webhook=webhook)
        return None if job_id == "unknown" else KnownJob(job, JobStatus(job_id=job_id, api="echo"))

    find = peek


def ended(job_id: str = "j", **fields: Any) -> JobStatus:
    return JobStatus(job_id=job_id, api="echo", state=State.SUCCEEDED, times={"succeeded": AT}, **fields)


@pytest.fixture
def board() -> DeliveryBoard:
    return DeliveryBoard(KafkaSettings())


@pytest.fixture
def share() -> Share:
    return Share(("status", 0), position=0, deliveries={})


def notes(board: DeliveryBoard, *told: str) -> Notes:
    return Notes(SETTINGS, Jobs(*told), board, lambda key: f"s3://b/{key}")


def see(board: DeliveryBoard, *records: WebhookRecord) -> None:
    for one in records:
        key, value = one.key.encode(), webhook_record(one, "w", 1).value
        board._view._see(Message("w", 0, 0, key, value, (), 0))


def changes(of: Notes, share: Share, answered: Sequence[Sending] = (), under_way: UnderWay | None = None) -> Any:
    found = of.changes(share, answered, under_way or UnderWay())
    tell(found.values())
    return found


def answered(delivery: Delivery, answer: Posted | Exception | None) -> Sending:
    future: Future[Posted | None] = Future()
    if isinstance(answer, Exception):
        future.set_exception(answer)
    else:
        future.set_result(answer)
    return Sending(delivery.key, 0, "example.org", future)


def new(board: DeliveryBoard, share: Share) -> Delivery:
    share.ends.append(ended())
    found = changes(notes(board, "j"), share)
    share.note(found)
    return cast("Delivery", found["j/job.succeeded/1"])


def test_an_end_is_noted_once_for_jobs_that_have_a_webhook(board: DeliveryBoard, share: Share) -> None:
    of = notes(board, "j")
    share.ends += [ended(), ended(), ended("quiet"), ended("unknown"), ended(generation=2)]

    found = changes(of, share)
    share.note(found)
    share.ends.append(ended())

    assert list(found) == ["j/job.succeeded/1", "j/job.succeeded/2"]
    assert changes(of, share) == {}
    assert [record.key for record in of.records(found)] == [b"j/job.succeeded/1", b"j/job.succeeded/2"]
    assert of.host(found["j/job.succeeded/1"]) == "example.org"


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        (Posted(200), DeliveryState.DELIVERED),
        (Posted(500, "it answers 500"), DeliveryState.PENDING),
        (None, DeliveryState.WITHDRAWN),
        (RuntimeError("a fault of ours"), DeliveryState.PENDING),
    ],
)
def test_an_answer_is_noted_once_whatever_it_was(
    board: DeliveryBoard, share: Share, answer: Any, state: DeliveryState
) -> None:
    before = new(board, share)
    found = changes(notes(board, "j"), share, [answered(before, answer)])

    assert found[before.key].state is state
    share.note({before.key: before.model_copy(update={"state": DeliveryState.GONE})})
    assert changes(notes(board, "j"), share, [answered(before, answer)]) == {}


def test_a_wish_is_granted_once_and_not_while_an_attempt_is_under_way(board: DeliveryBoard, share: Share) -> None:
    of, before = notes(board, "j"), new(board, share)
    given_up = before.model_copy(update={"state": DeliveryState.GIVEN_UP, "next_at": None, "attempts": 9})
    share.note({before.key: given_up})
    wish = Wish(job_id="j", event=before.event, generation=1, token="a1")
    see(board, wish)
    assert board.has_wishes
    under_way = UnderWay()
    under_way.add(answered(before, Posted(200)))
    assert changes(of, share, (), under_way) == {}

    found = changes(of, share)
    share.note(found)

    assert found[before.key].is_pending
    assert found[wish.key] is None
    assert {record.key: record.value is None for record in of.records(found)} == {
        before.key.encode(): False,
        wish.key.encode(): True,
    }
    assert changes(of, share) == {}  # the board shows it a while longer
    see(board, wish.model_copy(update={"token": "b2"}))
    assert changes(of, share)[before.key].wish == "b2"


def test_a_wish_about_nothing_is_forgotten_and_so_is_all_that_was_said_of_a_job_that_is(
    board: DeliveryBoard, share: Share
) -> None:
    before = new(board, share)
    wish = Wish(job_id="gone", event=before.event, generation=1, token="a1")
    see(board, wish, before)
    assert changes(notes(board, "j"), share) == {wish.key: None}

    share.forgotten.append("j")
    assert changes(notes(board, "j"), share) == {before.key: None, wish.key: None}


def test_the_board_knows_a_jobs_deliveries_until_they_are_forgotten(board: DeliveryBoard, share: Share) -> None:
    one = new(board, share)
    two = one.model_copy(update={"generation": 2, "at": one.at + 1, "id": "msg_2"})
    see(board, two, one, Wish(job_id="j", event=one.event, generation=1, token="a1"))

    assert board.of("j") == [one, two]
    assert board.all() == [two, one]
    assert board.in_partition(0, 1) == {one.key: one, two.key: two}
    assert board.of("k") == []
    for key in board.keys_of("j"):
        board._view._see(Message("w", 0, 0, key.encode(), None, (), 0))
    assert (board.of("j"), board.keys_of("j"), board.has_wishes) == ([], (), False)
    assert decode_webhook(webhook_record(one, "w", 1).value or b"") == one
