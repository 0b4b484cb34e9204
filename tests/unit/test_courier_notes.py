"""What a courier has to write of its deliveries: events, answers and wishes, without Kafka."""

import time
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any, cast

import pytest

from stream_infer.gateway.board import KnownJob
from stream_infer.gateway.webhooks import notes as courier_notes
from stream_infer.gateway.webhooks.board import DeliveryBoard
from stream_infer.gateway.webhooks.notes import Notes, tell
from stream_infer.gateway.webhooks.share import Share
from stream_infer.gateway.webhooks.under_way import Sending, UnderWay
from stream_infer.jobs.deliveries import Delivery, WebhookRecord, Wish, decode_webhook, webhook_record
from stream_infer.jobs.spec import CONFIGURED, Job
from stream_infer.jobs.status import JobStatus, State, encode_status
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
    """Only what was submitted while there was a webhook has one. Jobs `behind` are seen once one is looked for."""

    def __init__(self, *told: str, behind: Sequence[str] = ()) -> None:
        self.told = told
        self.behind = set(behind)
        self.sought: list[str] = []

    def peek(self, job_id: str) -> KnownJob | None:
        webhook = CONFIGURED if job_id in self.told else None
        job = Job(job_id=job_id, api="echo", submitted_at=1.0, webhook=webhook)
        return None if job_id in {"unknown", *self.behind} else KnownJob(job, JobStatus(job_id=job_id, api="echo"))

    def find(self, job_id: str) -> KnownJob | None:
        self.sought.append(job_id)
        self.behind.clear()
        return self.peek(job_id)


def ended(job_id: str = "j", **fields: Any) -> JobStatus:
    return JobStatus(job_id=job_id, api="echo", state=State.SUCCEEDED, times={"succeeded": AT}, **fields)


@pytest.fixture
def board() -> DeliveryBoard:
    return DeliveryBoard(KafkaSettings())


@pytest.fixture
def share() -> Share:
    return Share(("status", 0), position=0, is_loaded=True)


def notes(board: DeliveryBoard, *told: str, jobs: Jobs | None = None) -> Notes:
    return Notes(SETTINGS, jobs or Jobs(*told), board, lambda key: f"s3://b/{key}")


def see(board: DeliveryBoard, *records: WebhookRecord) -> None:
    for one in records:
        key, value = one.key.encode(), webhook_record(one, "w", 1).value
        board._view._see(Message("w", 0, 0, key, value, (), 0))


def changes(of: Notes, share: Share, answered: Sequence[Sending] = (), under_way: UnderWay | None = None) -> Any:
    found = of.changes(share, answered, under_way or UnderWay())
    tell(found.values(), lambda _: None)
    return found


def answered(delivery: Delivery, answer: Posted | Exception | None) -> Sending:
    future: Future[Posted | None] = Future()
    if isinstance(answer, Exception):
        future.set_exception(answer)
    else:
        future.set_result(answer)
    return Sending(delivery.key, 0, "example.org", future)


def row(offset: int, status: JobStatus | None, job_id: str = "j") -> Message:
    value = None if status is None else encode_status(status)
    return Message("status", 0, offset, job_id.encode(), value, (), 0)


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
    assert changes(of, share) == {}  # what it is about comes to the board a moment later
    see(board, before)
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


def test_an_answer_or_a_wish_for_a_job_that_is_forgotten_brings_nothing_back(
    board: DeliveryBoard, share: Share
) -> None:
    before = new(board, share)
    see(board, Wish(job_id="j", event=before.event, generation=1, token="a1"))
    share.forgotten.append("j")

    found = changes(notes(board, "j"), share, [answered(before, Posted(500, "…"))])

    assert set(found.values()) == {None}
    assert before.key in found


def test_a_job_that_comes_again_behind_its_tombstone_is_told_of_and_one_that_ends_before_it_is_not(
    board: DeliveryBoard, share: Share
) -> None:
    before = new(board, share)
    for record in (row(1, ended("k")), row(2, None, "k"), row(3, None), row(4, ended())):
        share.see(record)

    found = changes(notes(board, "j", "k"), share)

    assert list(found) == [before.key]
    assert found[before.key].is_pending


def test_a_job_that_the_board_does_not_know_yet_is_looked_for_once_for_all_and_is_not_nobodys(
    board: DeliveryBoard, share: Share
) -> None:
    jobs = Jobs("j", "k", behind=["j", "k"])
    share.ends += [ended("unknown"), ended("j"), ended("k")]
    of = notes(board, jobs=jobs)

    found = changes(of, share)

    assert list(found) == ["j/job.succeeded/1", "k/job.succeeded/1"]
    assert jobs.sought == ["unknown"]
    jobs.behind.add("j")
    assert of.host(found["j/job.succeeded/1"]) == ""
    assert of.target(found["j/job.succeeded/1"]) is not None


def test_an_end_that_goes_into_no_message_holds_up_no_other(board: DeliveryBoard, share: Share) -> None:
    share.ends += [ended(manifest="\x01" * 16000), ended("k")]

    assert list(changes(notes(board, "j", "k"), share)) == ["k/job.succeeded/1"]


def test_so_many_wishes_are_granted_at_a_time_and_all_in_the_end(
    board: DeliveryBoard, share: Share, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courier_notes, "WISHES_AT_A_TIME", 2)
    names = [f"j{number}" for number in range(5)]
    of = notes(board, *names)
    share.ends += map(ended, names)
    share.note(found := changes(of, share))
    see(board, *(Wish(job_id=one.job_id, event=one.event, generation=1, token="a1") for one in found.values()))

    granted = []
    while found := changes(of, share):
        share.note(found)
        granted.append(sum(one is not None for one in found.values()))

    assert granted == [2, 2, 1]


def test_the_board_knows_a_jobs_deliveries_until_they_are_forgotten(board: DeliveryBoard, share: Share) -> None:
    one = new(board, share)
    two = one.model_copy(update={"generation": 2, "at": one.at + 1, "id": "msg_2"})
    see(board, two, one, Wish(job_id="j", event=one.event, generation=1, token="a1"))

    assert board.of("j") == [one, two]
    assert sorted(board.all(), key=lambda found: found.generation) == [one, two]
    assert [found.generation for found in board.in_partition(0, 1)] == [2, 1]
    assert (board.get(one.key), board.get(f"{one.key}/again")) == (one, None)
    assert board.of("k") == []
    for key in board.keys_of("j"):
        board._view._see(Message("w", 0, 0, key.encode(), None, (), 0))
    assert (board.of("j"), board.keys_of("j"), board.has_wishes) == ([], (), False)
    assert decode_webhook(webhook_record(one, "w", 1).value or b"") == one
