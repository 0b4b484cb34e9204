"""Which failure gets another attempt, when and through which tier: a table with its arithmetic written out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_infer.errors import Stage
from stream_infer.headers import read_item, retry_headers
from stream_infer.records import Failure, Item, Message, Position
from stream_infer.worker.retry import JITTER, Retried, RetryPolicy, decide, when_due

POLICY = RetryPolicy(max_attempts=3, delays=(5.0, 30.0, 180.0), max_wait=3600.0)
ONE_ATTEMPT = RetryPolicy(max_attempts=1, delays=(5.0, 30.0, 180.0), max_wait=3600.0)
NOW = 1_000_000.0
RAISED = Failure(Stage.PREDICT, "builtins.ValueError", "no")
FINAL = Failure(Stage.DECODE, "stream_infer.errors.UndecodableItem", "no", final=True)
BUSY = Failure(Stage.FETCH, "stream_infer.errors.RetryableError", "busy", retryable=True)


def message(topic="p.a.items", timestamp=NOW, headers=()):
    return Message(topic, 0, 7, b"k", b"{}", tuple(headers), int(timestamp * 1000))


def item(attempt=1, **fields):
    return Item(message(), "i", attempt=attempt, **fields)


def busy(retry_after):
    return Failure(Stage.FETCH, "x.Busy", "busy", retryable=True, retry_after=retry_after)


def of_job(retry_after):
    return Failure(Stage.PREDICT, "x.Timeout", "away", retryable=True, retry_after=retry_after, of_job=True)


@pytest.mark.parametrize(
    ("failure", "tried", "chance", "expected"),
    [
        pytest.param(FINAL, item(), 0.0, FINAL, id="what cannot get better is rejected at once"),
        pytest.param(RAISED, item(), 0.0, Retried(1, 2, NOW + 5), id="an error is retried after the first delay"),
        pytest.param(BUSY, item(), 1.0, Retried(1, 2, NOW + 5 * 1.2), id="with at most a fifth more by chance"),
        pytest.param(BUSY, item(2), 0.0, Retried(2, 3, NOW + 30), id="the second failure waits in the second tier"),
        pytest.param(BUSY, item(3), 0.0, BUSY, id="the last attempt ends it"),
        pytest.param(busy(2.0), item(), 0.0, Retried(1, 2, NOW + 5), id="a short wish costs an attempt as any other"),
        pytest.param(busy(60.0), item(), 0.0, Retried(1, 1, NOW + 60, NOW), id="a long wish costs no attempt"),
        pytest.param(busy(60.0), item(3), 0.0, Retried(2, 3, NOW + 60, NOW), id="not even the last one"),
        pytest.param(
            of_job(30.0), item(3), 0.0, Retried(1, 3, NOW + 30), id="what is the job's costs the item nothing"
        ),
        pytest.param(of_job(1.0), item(), 1.0, Retried(1, 1, NOW + 6), id="and comes again after the first delay"),
        pytest.param(of_job(1e9), item(), 0.0, Retried(1, 1, NOW + 3600), id="and after max_wait at the latest"),
        pytest.param(
            busy(60.0), item(retry_since=NOW - 3540), 0.0, Retried(1, 1, NOW + 60, NOW - 3540), id="up to max_wait"
        ),
    ],
)
def test_a_failure_is_retried_or_final(failure, tried, chance, expected):
    assert decide(failure, tried, POLICY, now=NOW, chance=chance) == expected


def test_a_service_that_puts_an_item_off_for_too_long_rejects_it():
    decision = decide(busy(61.0), item(retry_since=NOW - 3540), POLICY, now=NOW, chance=0)
    assert isinstance(decision, Failure)
    assert decision.message == "busy (so it would wait for 3601 s, and retry.max_wait is 3600 s)"


def test_an_item_whose_deadline_passes_before_its_next_attempt_is_rejected_now():
    decision = decide(RAISED, item(deadline=NOW + 4), POLICY, now=NOW, chance=0)
    assert isinstance(decision, Failure)
    assert decision.message == "no (its deadline passes before the next attempt)"
    assert decide(RAISED, item(deadline=NOW + 6), POLICY, now=NOW, chance=0) == Retried(1, 2, NOW + 5)


def test_one_attempt_means_no_retries():
    assert decide(BUSY, item(), RetryPolicy(1, (5.0,), 3600.0), now=NOW, chance=0) is BUSY


@given(
    attempt=st.integers(1, 12),
    most=st.integers(1, 10),
    wish=st.none() | st.floats(0, 1e5),
    chance=st.floats(0, 1),
    retryable=st.booleans(),
)
def test_every_decision_leads_to_an_end(attempt, most, wish, chance, retryable):
    """Either the attempts grow, up to the most, or the time since the service's first wish does, up to max_wait."""
    policy = RetryPolicy(most, (5.0, 30.0, 180.0), 3600.0)
    failure = Failure(Stage.PREDICT, "x", "y", retryable=retryable, retry_after=wish)
    decision = decide(failure, item(attempt), policy, now=NOW, chance=chance)
    if isinstance(decision, Failure):
        assert attempt >= most or (wish or 0) > 3600
        return
    assert 1 <= decision.tier <= most - 1
    assert decision.not_before > NOW
    if decision.attempt == attempt:
        assert decision.since == NOW
        assert decision.not_before <= NOW + 3600
    else:
        assert decision.attempt == attempt + 1 <= most
        assert decision.not_before <= NOW + 180 * (1 + JITTER)


def test_an_item_waits_in_its_tier_until_it_is_due():
    waiting = item(2, not_before=NOW + 5)
    assert when_due(waiting, 1, POLICY, NOW) == NOW + 5
    assert when_due(waiting, 1, POLICY, NOW + 5) is None


def test_an_item_put_off_beyond_its_tiers_delay_goes_through_it_again():
    waiting = item(1, not_before=NOW + 60, retry_since=NOW)
    assert when_due(waiting, 1, POLICY, NOW) == NOW + 6
    assert when_due(waiting, 1, POLICY, NOW + 6) == Retried(1, 1, NOW + 60, NOW)


def test_an_item_that_its_producer_wants_later_leaves_the_items_topic():
    assert when_due(item(not_before=NOW + 60), None, POLICY, NOW) == Retried(1, 1, NOW + 60)


@pytest.mark.parametrize(
    ("tier", "policy", "ahead", "expected"),
    [
        pytest.param(None, POLICY, 3600.0, Retried(1, 1, NOW + 3600), id="as far ahead as a service may put one off"),
        pytest.param(
            None, POLICY, 3601.0, "its si-not-before is 3601 s ahead, and retry.max_wait is 3600 s", id="and no further"
        ),
        pytest.param(1, POLICY, 1e11, NOW + 6, id="in a tier: judged when its delay is over"),
        pytest.param(None, ONE_ATTEMPT, 5.0, NOW + 5, id="without tiers a short wait is waited for in place"),
        pytest.param(
            None,
            ONE_ATTEMPT,
            60.0,
            "its si-not-before is 60 s ahead, and where retry.max_attempts is 1 no item waits for more than 5 s: "
            "there is no retry topic; raise it",
            id="and a longer one would hold up the items topic",
        ),
        pytest.param(1, ONE_ATTEMPT, 6.0, NOW + 6, id="what a longer configuration left in a tier waits there"),
    ],
)
def test_an_item_waits_for_no_longer_than_the_configuration_allows(tier, policy, ahead, expected):
    due = when_due(item(not_before=NOW + ahead), tier, policy, NOW)
    assert (due.message if isinstance(due, Failure) else due) == expected


def test_an_item_in_a_tier_that_is_never_due_is_rejected_instead_of_circling_for_ever():
    due = when_due(item(not_before=NOW + 1e11), 1, POLICY, NOW + 6)
    assert isinstance(due, Failure)
    assert due.final
    assert due.exception == "stream_infer.NotBeforeTooFar"


def test_a_retry_waits_for_its_tiers_delay_however_short_max_wait_is():
    policy = RetryPolicy(3, (5.0, 30.0), 0.0)
    retried = decide(RAISED, item(), policy, now=NOW, chance=1.0)
    assert when_due(item(2, not_before=retried.not_before), retried.tier, policy, NOW - 2) == NOW + 6


def test_an_item_keeps_its_name_and_its_origin_through_the_tiers():
    first = read_item(message(headers=[("content-type", b"text/plain"), ("mine", b"1")]))
    again = read_item(message("p.a.retry.1", headers=retry_headers(first, attempt=2, not_before=NOW + 5.25, since=NOW)))
    assert again.item_id == "p.a.items-0-7"
    assert (again.attempt, again.not_before, again.retry_since) == (2, NOW + 5.25, NOW)
    assert again.first_position == Position("p.a.items", 0, 7)
    assert dict(again.message.headers)["mine"] == b"1"
    third = read_item(message("p.a.retry.2", headers=retry_headers(again, attempt=3, not_before=NOW + 40)))
    assert (third.attempt, third.retry_since, third.origin) == (3, None, Position("p.a.items", 0, 7))
    assert len(third.message.headers) == len({name for name, _ in third.message.headers})
