"""One run of one contestant, and rounds of several in turns.

A run: fresh topics; the contestant is started and has answered some warm-up items, so that starting, loading and
joining are over for everyone; then its topic is filled by a transaction that nobody sees; the time begins when that is
committed and ends when the last result is committed (see observer.py). The first fetch from an idle group and the last
commit are inside, alike for all.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from benchmarks.bench import NULL_API, Bench, Lane, announce_job
from benchmarks.contestants import Contestant
from benchmarks.load import Fill, Load
from benchmarks.observer import EVERY_S, Observer, Unfinished
from benchmarks.processes import Started, started

WARM_UP_ITEMS = 4000
_START_S = 90.0
_SETTLE_S = 0.5
_SETTLE_MEMBERS_S = 2.0
# The slowest that anybody may be, in items a second.
_SLOWEST = 1000.0

Announce = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Run:
    """`rate` in items a second; `cpu_us` microseconds of all its processes an item."""

    items: int
    rate: float
    cpu_us: float
    duplicates: int


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a run takes place under, but for who runs. `members` processes share the work, on this `core` where one is
    given; somebody looks for results every `look_every_s`."""

    load: Callable[[Contestant], Load]
    api: Mapping[str, Any] = field(default_factory=lambda: NULL_API)
    changes: Mapping[str, Any] | None = None
    environment: Mapping[str, str] | None = None
    members: int = 1
    warm_up_items: int = WARM_UP_ITEMS
    slowest: float = _SLOWEST
    look_every_s: float = EVERY_S
    core: int | None = None


@contextmanager
def warm(
    bench: Bench, contestant: Contestant, conditions: Conditions
) -> Iterator[tuple[Lane, Sequence[Started], Observer]]:
    """The contestant at work, having answered its warm-up items. Raises Unfinished, with its last words."""
    load = conditions.load(contestant)
    with ExitStack() as opened:
        lane = opened.enter_context(
            bench.lane(conditions.api, all_topics=contestant.is_ours, changes=conditions.changes)
        )
        if contestant.is_ours and contestant.of_job:
            announce_job(lane)
        with Fill(bench.bootstrap, lane.source) as first:
            first.add(load, range(conditions.warm_up_items), "w")
            first.release()
        members = [
            opened.enter_context(
                started(
                    contestant.command(lane), lane.folder / f"log.{number}", conditions.environment, conditions.core
                )
            )
            for number in range(conditions.members)
        ]
        observer = opened.enter_context(Observer(bench.bootstrap, lane.target, conditions.look_every_s))
        try:
            observer.wait_for(conditions.warm_up_items, _START_S, members[0].is_running)
            _await_members(bench, lane, conditions.members)
            yield lane, members, observer
        except Unfinished as error:
            raise Unfinished(f"{contestant.name}: {error}\n{members[0].last_words()}") from None


def run_once(bench: Bench, contestant: Contestant, conditions: Conditions) -> Run:
    """Raises Unfinished."""
    load = conditions.load(contestant)
    with warm(bench, contestant, conditions) as (lane, members, observer), Fill(bench.bootstrap, lane.source) as fill:
        fill.add(load, range(load.items))
        time.sleep(_SETTLE_S)
        before = sum(member.cpu_seconds() for member in members)
        began = fill.release()
        timeout = 60.0 + load.items / conditions.slowest
        seen = observer.wait_for(conditions.warm_up_items + load.items, timeout, members[0].is_running)
        cpu = sum(member.cpu_seconds() for member in members) - before
    return Run(load.items, load.items / (seen.finished_at - began), cpu / load.items * 1e6, seen.duplicates)


def in_turns(
    bench: Bench, contestants: Sequence[Contestant], conditions: Conditions, rounds: int, announce: Announce
) -> dict[str, list[Run]]:
    """Each contestant once a round, in another order each time. Who fails once is left out from there on.

    Raises Unfinished where it is one of ours, or one of ours says something twice.
    """
    runs: dict[str, list[Run]] = {one.name: [] for one in contestants if one.is_there}
    for one in contestants:
        if not one.is_there:
            announce(f"  {one.name} is left out: {one.needs} is not there (make bench builds it)")
    for number in range(rounds):
        for one in random.Random(number).sample(contestants, len(contestants)):
            if one.name not in runs:
                continue
            try:
                run = run_once(bench, one, conditions)
            except Unfinished as error:
                if one.is_ours:
                    raise
                announce(f"  {error}")
                del runs[one.name]
                continue
            runs[one.name].append(run)
            twice = f", {run.duplicates} results twice" if run.duplicates else ""
            if twice and one.is_ours:
                raise Unfinished(f"{one.name}: of {run.items} items{twice}")
            announce(f"  round {number + 1}: {one.name} {run.rate:,.0f}/s, {run.cpu_us:.1f} us CPU an item{twice}")
    return runs


def _await_members(bench: Bench, lane: Lane, members: int) -> None:
    """Until each of several members has partitions, and keeps them for a while."""
    deadline = time.monotonic() + _START_S
    before: list[int] = []
    while members > 1:
        [described] = bench.admin.describe_consumer_groups([lane.group]).values()
        shares = [
            sorted((place.topic, place.partition) for place in member.assignment.topic_partitions)
            for member in described.result().members
            if member.assignment is not None
        ]
        sizes = [len(share) for share in shares]
        if len(shares) == members and all(shares) and sizes == before:
            return
        if time.monotonic() > deadline:
            raise Unfinished(f"the group's members have {sizes} partitions")
        before = sizes
        time.sleep(_SETTLE_MEMBERS_S)
