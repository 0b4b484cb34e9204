"""How often and when each item was predicted: retries in their time, suspects alone, nothing again without need. Pure.

A worker that was cut off may predict for a moment what is no longer its own, and what it says then counts for nothing:
that is why a few calls at a wrong time are no finding.
"""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tests.soak.apis import BATCH, WORKERS
from tests.soak.evidence import Call, Evidence, Retry
from tests.soak.injection import RECOVERS_WITHIN_S, Injected
from tests.soak.items import DELAYS, OF_KIND, RETRY_AFTER_S, SPOILING, End, Kind, Planned
from tests.soak.roles import Life
from tests.soak.truth import MISJUDGED, OTHER, Finding, Truth, said

ROUNDING_S = 0.02
WRONG_SHARE = 0.1
"""Of what is judged together, at most: see above."""
AT_HAND = 6 * BATCH
"""Items that a worker has read ahead or in its predictor, at most."""
KNOWN_WITHIN_S = 1.0
"""How long it takes until every worker knows of a stop."""
FELT_S = 20.0
"""How long after its recovery a fault may still make a worker begin anew: its producer's and its session's timeouts."""
NEEDLESS = 0.005
"""Predictions again that no fault explains, over the harmless items, at most."""
AGAIN_A_FAULT = 2 * WORKERS * AT_HAND
"""On the average: each worker's twice, since what is felt of a fault may be two rebalances."""
AGAIN_AFTER = ("kill -9 worker", "SIGSTOP worker", "kill -9 predictor", "broker", "leader", "network")
"""How the names of those faults begin after which a worker may have to predict again what it has not delivered."""


def check_attempts(truth: Truth, found: Evidence) -> Iterator[Finding]:
    """An item passes the tiers for its further attempts alone. One that succeeds may have done so a call earlier: its
    worker may be killed before it has delivered that the call failed."""
    passing, passed = 0, 0
    for item_id, item in truth.items.items():
        attempts = {retry.attempt for retry in found.retries.get(item_id, ())}
        may = OF_KIND[item.kind].retried
        if attempts - may or (attempts != may and item.expected.end is End.DEAD and not item.source.is_cut_short):
            yield Finding(MISJUDGED, f"{said(item_id, item)} was retried for {sorted(attempts)}, not {sorted(may)}")
        if may and item.expected.end is End.RESULT:
            passing, passed = passing + 1, passed + bool(attempts)
    if passed < passing / 2:
        yield Finding(OTHER, f"of {passing} items that have to be retried {passed} have been in a retry tier")


def check_delays(truth: Truth, found: Evidence) -> Iterator[Finding]:
    """A retry is to be due when its tier's delay is over, or when the predictor has asked for, and not begun before."""
    times: dict[str, list[Call]] = defaultdict(list)
    for call in found.calls:
        for name in call.names:
            times[name].append(call)
    judged, hasty, early = 0, [], []
    for item_id, item in truth.items.items():
        for retry in _first_of_each(found.retries.get(item_id, ())):
            judged += 1
            calls = times[item.name]
            begun = bisect_right(calls, retry.written, key=lambda call: call.at)
            if begun and retry.not_before < calls[begun - 1].answered + _delay(item, retry) - ROUNDING_S:
                hasty.append(said(item_id, item))
            if begun < len(calls) and calls[begun].at < retry.not_before - ROUNDING_S:
                early.append(said(item_id, item))
    for what, wrong in (("were due too soon", hasty), ("began before they were due", early)):
        if len(wrong) > max(1, WRONG_SHARE * judged):
            yield Finding(OTHER, f"of {judged} retries {len(wrong)} {what}: {wrong[:3]}")


def _first_of_each(retries: Sequence[Retry]) -> list[Retry]:
    """One that is not due when it leaves its tier goes through it again."""
    first: dict[tuple[int, float], Retry] = {}
    for retry in retries:
        first.setdefault((retry.attempt, retry.not_before), retry)
    return list(first.values())


def _delay(item: Planned, retry: Retry) -> float:
    return RETRY_AFTER_S if item.kind is Kind.THROTTLED else DELAYS[min(retry.tier, len(DELAYS)) - 1]


def predicted_late(calls: Sequence[Call], names: frozenset[str], stopped_at: float) -> int:
    """How many of the items `names`, of a job that was stopped, a worker has begun that cannot have had them at hand.

    What it has read ahead it predicts in order, so that is over once it has begun as many items as that.
    """
    begun: Counter[str] = Counter()
    late: set[str] = set()
    for call in calls:
        if call.at > stopped_at + KNOWN_WITHIN_S:
            worker = call.process.partition("-")[0]
            if begun[worker] >= AT_HAND:
                late |= names.intersection(call.names)
            begun[worker] += len(call.names)
    return len(late)


@dataclass(frozen=True, slots=True)
class Suspects:
    """Items in a predictor when its worker was killed, that came back to the same slot: `alone` of `total` by
    themselves."""

    alone: int = 0
    total: int = 0


def suspects(calls: Sequence[Call], lives: Sequence[Life]) -> Suspects:
    """The successor on a killed worker's slot knows from the journal what was in its predictor."""
    by_worker: dict[int, list[Call]] = defaultdict(list)
    for call in sorted(calls, key=lambda call: call.at):
        by_worker[int(call.process.partition("-")[0])].append(call)
    found: list[bool] = []
    for life in lives:
        if life.killed is None:
            continue
        # One call is under way at a time, and whether it was that when the signal came is known to within the rounding.
        last = by_worker[life.pid][-1:]
        under_way = {name for call in last if call.answered > life.killed + ROUNDING_S for name in call.names}
        heirs = [one.pid for one in lives if one.name == life.name and one.started > life.killed]
        for name in sorted(under_way):
            later = [call for call in calls if call.at > life.killed and name in call.names]
            if later and heirs and int(later[0].process.partition("-")[0]) == heirs[0]:
                found.append(later[0].names == (name,))
    return Suspects(sum(found), len(found))


def check_suspects(found: Suspects) -> Iterator[Finding]:
    """A partition that went to another worker and came back may have brought some of them unknown."""
    if found.alone < found.total / 2:
        yield Finding(
            OTHER,
            f"of {found.total} items that a killed worker had in its predictor {found.alone} ran alone in the next one",
        )


@dataclass(frozen=True, slots=True)
class Recomputed:
    """Extra predictions of items that are no poison, over those items.

    `unexplained`: by no spoiled call. `needless`: nor by a fault.
    """

    ratio: float
    unexplained: float
    needless: float
    items: int


def recomputed(truth: Truth, found: Evidence, injected: Sequence[Injected], lives: Sequence[Life] = ()) -> Recomputed:
    """An item whose call fails for its neighbour's sake has to be predicted again; for anything else it need not be.

    A worker that has given up, which `health` judges, costs what a killed one does.
    """
    kinds = {item.name: item.kind for item in truth.items.values()}
    calls: dict[str, list[Call]] = defaultdict(list)
    for call in found.calls:
        for name in call.names:
            if kinds.get(name) in (Kind.GOOD, Kind.REFERENCE):
                calls[name].append(call)
    windows = [window(one) for one in injected if one.name.startswith(AGAIN_AFTER)]
    windows += [
        (life.ended, life.ended + FELT_S)
        for life in lives
        if life.gave_up and life.ended is not None and life.name.startswith("worker")
    ]
    count: Counter[str] = Counter()
    for mine in calls.values():
        for before, again in pairwise(mine):
            count["extra"] += 1
            if not _is_spoiled(before, kinds):
                count["unexplained"] += 1
                count["needless"] += not any(began <= again.at and before.at <= end for began, end in windows)
    total = max(1, sum(kind in (Kind.GOOD, Kind.REFERENCE) for kind in kinds.values()))
    return Recomputed(count["extra"] / total, count["unexplained"] / total, count["needless"] / total, total)


def window(fault: Injected) -> tuple[float, float]:
    """From when to when a fault may be to blame, in seconds since the epoch."""
    since = fault.began if fault.harm is None else fault.harm.since
    took = RECOVERS_WITHIN_S if fault.recovered is None else fault.recovered
    return fault.began, since + took + FELT_S


def _is_spoiled(call: Call, kinds: Mapping[str, Kind]) -> bool:
    return any(kinds.get(name) in SPOILING for name in call.names)


def check_recomputed(again: Recomputed, injected: Sequence[Injected]) -> Iterator[Finding]:
    """A partition that is given away in order is drained first, so that joining and leaving cost no prediction."""
    hard = sum(one.name.startswith(AGAIN_AFTER) for one in injected)
    needless = round(again.needless * again.items)
    if needless > max(3, NEEDLESS * again.items):
        yield Finding(
            OTHER, f"harmless items were predicted again {needless} times, with neither poison nor fault to it"
        )
    explained = round(again.unexplained * again.items) - needless
    if explained > AGAIN_A_FAULT * hard:
        yield Finding(OTHER, f"{hard} faults made workers predict harmless items again {explained} times")
