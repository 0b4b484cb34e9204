"""Which delivery is sent next, how many at a time, and what a share of a courier knows."""

from concurrent.futures import Future

from stream_infer.gateway.webhooks.due import Due
from stream_infer.gateway.webhooks.share import Share
from stream_infer.gateway.webhooks.under_way import AT_A_TIME, OF_A_HOST, Sending, UnderWay
from stream_infer.jobs.deliveries import Delivery
from stream_infer.jobs.status import JobStatus, State, encode_status
from stream_infer.ports import Posted
from stream_infer.records import EndOfPartition, Message
from stream_infer.webhooks import WebhookEvent


def delivery(job_id: str, next_at: float) -> Delivery:
    return Delivery(
        id=f"msg_{job_id}", job_id=job_id, api="echo", event=WebhookEvent.FAILED, generation=1, at=0.0, body="{}",
        next_at=next_at, until=1e6,
    )  # fmt: skip


def taken(due: Due, now: float, room: int = 100) -> list[str]:
    """The hosts' jobs that are taken where each host has so much room."""
    left: dict[str, int] = {}

    def has_room(host: str) -> bool:
        return left.setdefault(host, room) > 0

    found = []
    for host, one in due.take(now, lambda _one: True, has_room):
        left[host] -= 1
        found.append(one.job_id)
    return found


def put(due: Due, host: str, one: Delivery) -> None:
    assert one.next_at is not None
    due.put(host, one, one.next_at)


def sending(key: str, host: str = "h", partition: int = 0) -> Sending:
    return Sending(key, partition, host, Future())


def test_those_of_a_host_come_in_the_order_in_which_they_are_due_and_none_before() -> None:
    due = Due()
    for job_id, next_at in (("late", 30.0), ("first", 10.0), ("second", 10.0), ("third", 20.0)):
        put(due, "h", delivery(job_id, next_at))

    assert taken(due, 9.9) == []
    assert taken(due, 20.0) == ["first", "second", "third"]
    assert taken(due, 100.0) == ["late"]
    assert taken(due, 100.0) == []


def test_a_host_without_room_holds_up_its_own_alone_and_is_not_served_before_the_others_the_next_time() -> None:
    due = Due()
    for number in range(3):
        put(due, "dead", delivery(f"dead-{number}", 0.0))
        put(due, "well", delivery(f"well-{number}", 0.0))

    assert taken(due, 1.0, room=1) == ["dead-0", "well-0"]
    put(due, "new", delivery("new-0", 0.0))
    assert taken(due, 1.0, room=1) == ["dead-1", "well-1", "new-0"]
    put(due, "new", delivery("new-1", 0.0))
    assert taken(due, 1.0, room=1) == ["dead-2", "well-2", "new-1"]


def test_what_is_not_as_it_was_when_it_was_put_there_is_passed_over() -> None:
    due, now = Due(), 5.0
    old = delivery("j", 1.0)
    new = old.model_copy(update={"attempts": 1, "next_at": 2.0})
    put(due, "h", old)
    put(due, "h", new)

    assert [one for _, one in due.take(now, lambda one: one is new, lambda _host: True)] == [new]


def test_who_stops_taking_loses_nothing() -> None:
    due = Due()
    for number in range(3):
        put(due, "h", delivery(f"{number}", 0.0))
    for _host, _one in due.take(1.0, lambda _one: True, lambda _host: True):
        break

    assert taken(due, 1.0) == ["1", "2"]


def test_a_host_has_some_of_the_room_and_all_together_have_all_of_it() -> None:
    under_way, dead = UnderWay(), [sending(f"{number}") for number in range(OF_A_HOST)]
    for one in dead:
        assert under_way.has_room("h")
        under_way.add(one)
    assert not under_way.has_room("h")
    for number in range(AT_A_TIME - OF_A_HOST):
        host = f"h{number // OF_A_HOST}"
        assert under_way.has_room(host)
        under_way.add(sending(f"{host}-{number}", host))
    assert not under_way.has_room("other")

    under_way.remove(dead[0])
    under_way.remove(dead[0])
    assert under_way.has_room("other")
    assert len(under_way) == AT_A_TIME - 1


def test_what_goes_to_somebody_else_is_given_up_and_its_answer_counts_for_nobody() -> None:
    under_way, ours, others = UnderWay(), sending("ours", partition=1), sending("others", partition=2)
    under_way.add(ours)
    under_way.add(others)
    for one in (ours, others):
        one.answer.set_result(Posted(200))
    assert under_way.has_answers

    under_way.give_up({2})

    assert list(under_way.answered(1)) == [ours]
    assert list(under_way.answered(2)) == []
    assert "others" not in under_way


def row(offset: int, status: JobStatus | None, key: bytes = b"j") -> Message:
    return Message("status", 0, offset, key, None if status is None else encode_status(status), (), 0)


def test_a_share_knows_which_jobs_have_ended_and_which_are_forgotten_and_how_far_it_has_read() -> None:
    share = Share(("status", 0))
    ended = JobStatus(job_id="j", api="echo", state=State.STOPPED)
    assert share.position is None
    for record in (
        row(3, JobStatus(job_id="j", api="echo", state=State.RUNNING)),
        row(4, ended),
        row(5, ended, key=b"stranger"),
        Message("status", 0, 6, b"j", b"{broken", (), 0),
        row(7, None, key=b"old"),
        EndOfPartition("status", 0, 9),
    ):
        share.see(record)

    assert (share.ends, share.forgotten, share.position) == ([ended], ["old"], 9)
    assert not share.is_ready
    share.load([])
    assert share.has_news
    assert share.has_moved

    one = delivery("j", 0.0)
    share.note({one.key: one, "old/job.failed/1": None})

    assert (share.pending, share.knows(one.key), share.wish_of(one.key)) == ({one.key: one}, True, None)
    assert not (share.has_news or share.has_moved)
