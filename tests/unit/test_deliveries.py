"""When an event is told again, and what becomes of it: pure decisions, with the arithmetic written out."""

import pytest

from stream_infer.jobs.deliveries import (
    Delivery,
    Wish,
    decode_webhook,
    delay_after,
    due_at,
    event_id,
    event_of,
    settled,
    told_again,
    tombstone,
    webhook_record,
)
from stream_infer.jobs.status import FINAL_STATES, State
from stream_infer.kafka.partitioner import partition_of
from stream_infer.ports import Posted
from stream_infer.webhooks import DeliveryState, WebhookEvent

HOUR = 3600.0
NOW = 1_000_000.0
NEW = Delivery(
    id="msg_0", job_id="j", api="echo", event=WebhookEvent.SUCCEEDED, generation=1, at=NOW, body="{}", next_at=NOW,
    until=NOW + 72 * HOUR,
)  # fmt: skip
WISH = Wish(job_id="j", event=WebhookEvent.SUCCEEDED, generation=1, token="a1")


@pytest.mark.parametrize(
    ("attempts", "seconds"),
    [(1, 5), (2, 20), (3, 80), (4, 320), (5, 1280), (6, 5120), (7, 20480), (8, 21600), (50, 21600)],
)
def test_each_delay_is_four_times_the_one_before_up_to_six_hours(attempts: int, seconds: float) -> None:
    assert delay_after(attempts, 0.0) == seconds
    assert delay_after(attempts, 1.0) == pytest.approx(seconds * 1.2)


def test_a_receiver_that_is_away_is_tried_over_three_days_with_a_last_attempt_at_their_end() -> None:
    delivery, now, tried = NEW, NOW, []
    while delivery.next_at is not None:
        now = delivery.next_at
        tried.append(now - NOW)
        delivery = settled(delivery, Posted(503, "it answers 503 Service Unavailable"), now, 0.5)

    assert delivery.state is DeliveryState.GIVEN_UP
    assert delivery.attempts == len(tried) == 18
    assert tried[:4] == pytest.approx([0, 5.5, 27.5, 115.5])
    assert tried[-1] == 72 * HOUR
    assert (delivery.status, delivery.reason, delivery.next_at) == (503, "it answers 503 Service Unavailable", None)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_2xx_is_success(status: int) -> None:
    done = settled(settled(NEW, Posted(None, "away"), NOW, 0.0), Posted(status), NOW + 5, 0.0)

    assert (done.state, done.attempts, done.status, done.reason) == (DeliveryState.DELIVERED, 2, status, None)
    assert done.next_at is None


@pytest.mark.parametrize("status", [None, 100, 301, 307, 400, 401, 404, 408, 429, 500, 599])
def test_anything_else_but_410_is_tried_again(status: int | None) -> None:
    later = settled(NEW, Posted(status, "…"), NOW + 1, 0.0)

    assert (later.state, later.attempts, later.next_at) == (DeliveryState.PENDING, 1, NOW + 1 + 5)
    assert later.tried_at == NOW + 1


@pytest.mark.parametrize(
    ("delivery", "now", "at"),
    [
        (NEW, NOW, NOW),
        (NEW, NOW - 25 * 365 * 24 * HOUR, NOW - 25 * 365 * 24 * HOUR),
        (settled(NEW, Posted(500, "…"), NOW, 0.0), NOW + 1, NOW + 5),
        (settled(NEW, Posted(500, "…"), NOW, 0.0), NOW - HOUR, NOW - HOUR + 5),
        (settled(NEW, Posted(200), NOW, 0.0), NOW, None),
    ],
    ids=["new", "new, clock set back", "tried", "tried, clock set back", "ended"],
)
def test_a_clock_that_is_set_back_keeps_nothing_waiting(delivery: Delivery, now: float, at: float | None) -> None:
    assert due_at(delivery, now) == at


def test_410_ends_it_at_once() -> None:
    gone = settled(NEW, Posted(410, "it answers 410 Gone"), NOW, 0.0)

    assert (gone.state, gone.next_at) == (DeliveryState.GONE, None)


@pytest.mark.parametrize(("wish", "next_in"), [(0.0, 5), (2.0, 5), (120.0, 120), (7 * 24 * HOUR, 72 * HOUR)], ids=str)
def test_what_retry_after_wishes_is_granted_as_far_as_its_own_time_goes(wish: float, next_in: float) -> None:
    assert settled(NEW, Posted(503, "…", retry_after=wish), NOW, 0.0).next_at == NOW + next_in


def test_without_a_place_to_send_it_to_it_is_withdrawn_which_is_no_attempt() -> None:
    withdrawn = settled(NEW, None, NOW, 0.0)

    assert (withdrawn.state, withdrawn.attempts, withdrawn.next_at) == (DeliveryState.WITHDRAWN, 0, None)


def test_told_again_it_begins_anew_with_the_same_id_and_body() -> None:
    given_up = settled(NEW, Posted(500, "…"), NEW.until, 0.0)
    again = told_again(given_up, WISH, NOW + 100 * HOUR, 72 * HOUR)

    assert (again.id, again.body, again.at) == (NEW.id, NEW.body, NEW.at)
    assert (again.state, again.attempts, again.next_at) == (DeliveryState.PENDING, 0, NOW + 100 * HOUR)
    assert again.until == NOW + 172 * HOUR
    assert (again.tried_at, again.status, again.reason) == (None, None, None)
    assert again.wish == WISH.token


def test_only_final_states_are_told() -> None:
    assert {state for state in State if event_of(state) is not None} == FINAL_STATES
    assert {event_of(state) for state in FINAL_STATES} == set(WebhookEvent)


def test_an_event_has_one_id_for_ever_and_no_other_has_it() -> None:
    told = ("j", WebhookEvent.SUCCEEDED, 1, 1.5)
    others = [
        ("k", WebhookEvent.SUCCEEDED, 1, 1.5),
        ("j", WebhookEvent.FAILED, 1, 1.5),
        ("j", WebhookEvent.SUCCEEDED, 2, 1.5),
        ("j", WebhookEvent.SUCCEEDED, 1, 2.5),
    ]

    assert event_id(*told) == event_id(*told) == "msg_" + event_id(*told)[4:]
    assert "." not in event_id(*told)
    assert len({event_id(*told), *(event_id(*other) for other in others)}) == 5


@pytest.mark.parametrize(
    "record",
    [NEW, settled(NEW, Posted(503, "…"), NOW, 0.3), settled(NEW, Posted(99, "…"), NOW, 0.3), WISH],
    ids=["new", "tried", "strange", "wish"],
)
def test_a_record_is_read_as_it_was_written_under_its_key_in_its_jobs_partition(record: Delivery | Wish) -> None:
    written = webhook_record(record, "w", 7)

    assert decode_webhook(written.value or b"") == record
    assert written.key == record.key.encode()
    assert written.partition == partition_of("j", 7) == tombstone(record.key, "w", 7).partition


@pytest.mark.parametrize("value", [b"", b"{}", b"[]", b'{"kind":"delivery"}', b'{"kind":"else"}', b"\xff"])
def test_what_is_no_record_is_a_value_error(value: bytes) -> None:
    with pytest.raises(ValueError):
        decode_webhook(value)
