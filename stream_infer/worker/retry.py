"""Whether an item that failed gets another attempt, when, and through which tier. Pure: time and chance are passed in.

A tier is a topic with one fixed delay, so its records fall due in their order. An item that is asked to come later than
its tier's delay goes through the tier again, which costs it no attempt, for at most `max_wait` in all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from stream_infer.errors import Stage
from stream_infer.records import Failure, Item

JITTER = 0.2
"""An item waits up to this share longer than its tier's delay: what failed together does not come back together."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Delays in seconds, one a tier; the last one serves all further tiers."""

    max_attempts: int
    delays: tuple[float, ...]
    max_wait: float

    @property
    def tiers(self) -> int:
        return self.max_attempts - 1

    def delay(self, tier: int) -> float:
        """Of the tier `tier`, counted from 1; also of one that a longer configuration has left behind."""
        return self.delays[min(tier, len(self.delays)) - 1]


@dataclass(frozen=True, slots=True)
class Retried:
    """A detour, not an end: the item waits in `tier` until `not_before` for its attempt number `attempt`.

    Times in seconds since the epoch; `since` as in `Item.retry_since`.
    """

    tier: int
    attempt: int
    not_before: float
    since: float | None = None


def decide(failure: Failure, item: Item, policy: RetryPolicy, *, now: float, chance: float) -> Retried | Failure:
    """Another attempt, or the failure that ends the item. `chance` is uniform in 0 to 1."""
    if failure.final or policy.tiers == 0:
        return failure
    if failure.of_job:
        return _wait_for_job(failure, item, policy, now=now, chance=chance)
    tier = min(item.attempt, policy.tiers)
    delay = policy.delay(tier)
    wish = failure.retry_after or 0.0
    if wish > delay:
        return _put_off(failure, item, policy, tier=tier, until=now + wish, now=now)
    if item.attempt >= policy.max_attempts:
        return failure
    retried = Retried(tier, item.attempt + 1, now + delay * (1 + JITTER * chance), item.retry_since)
    return _in_time(retried, failure, item)


def _wait_for_job(failure: Failure, item: Item, policy: RetryPolicy, *, now: float, chance: float) -> Retried | Failure:
    """The attempts are its job's, and are counted elsewhere: none of them is the item's, nor is the time they take.

    One that comes before its job's next attempt is sent back again: no wait is longer than what `when_due` takes.
    """
    delay = max(policy.delay(1) * (1 + JITTER * chance), min(failure.retry_after or 0.0, policy.max_wait))
    return _in_time(Retried(1, item.attempt, now + delay, item.retry_since), failure, item)


def _put_off(
    failure: Failure, item: Item, policy: RetryPolicy, *, tier: int, until: float, now: float
) -> Retried | Failure:
    """As the service wishes, without costing an attempt, unless it has wished for too long."""
    since = item.retry_since or now
    if until - since > policy.max_wait:
        said = f"so it would wait for {until - since:.0f} s, and retry.max_wait is {policy.max_wait:g} s"
        return replace(failure, message=f"{failure.message} ({said})")
    return _in_time(Retried(tier, item.attempt, until, since), failure, item)


def _in_time(retried: Retried, failure: Failure, item: Item) -> Retried | Failure:
    if item.deadline is None or retried.not_before < item.deadline:
        return retried
    return replace(failure, message=f"{failure.message} (its deadline passes before the next attempt)")


def when_due(item: Item, tier: int | None, policy: RetryPolicy, now: float) -> float | Retried | Failure | None:
    """None: now. A time: to be waited for. Retried: it is to go (on) through a tier meanwhile. Failure: it is too far
    ahead for that.

    `tier` None is the items topic: its records are not held up by one that its producer wants to be done later.
    """
    at = item.not_before
    if at is None or at <= now:
        return None
    if tier is not None:
        leaves = item.message.timestamp_ms / 1000 + policy.delay(tier) * (1 + JITTER)
        if at <= leaves:
            return at
        if now < leaves:
            return leaves
    if at - now > policy.max_wait:
        return _too_far(at - now, f"and retry.max_wait is {policy.max_wait:g} s")
    if policy.tiers > 0:
        return again(item, 1 if tier is None else min(tier, policy.tiers))
    if tier is None and at - now > policy.delay(1):
        said = f"where retry.max_attempts is 1 no item waits for more than {policy.delay(1):g} s"
        return _too_far(at - now, f"and {said}: there is no retry topic; raise it")
    return at


def _too_far(ahead: float, why: str) -> Failure:
    message = f"its si-not-before is {ahead:.0f} s ahead, {why}"
    return Failure(Stage.FETCH, "stream_infer.NotBeforeTooFar", message, final=True)


def again(item: Item, tier: int) -> Retried:
    """Through `tier` as it is, without costing an attempt."""
    return Retried(tier, item.attempt, item.not_before or 0.0, item.retry_since)
