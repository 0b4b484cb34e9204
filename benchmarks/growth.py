"""What grows with the number of items, and with the number of workers: cost per item, memory, items a second."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks import memory
from benchmarks.bench import Bench
from benchmarks.contest import Announce, Conditions, Run, in_turns, run_once
from benchmarks.contestants import OURS
from benchmarks.load import JsonLoad
from benchmarks.report import Summary, median_and_spread, ratio, table

FEWEST = 10_000
ITEMS = 2_000_000
_SIZE = 100
_STEP = 10
_SHARED_ITEMS = 200_000
# Of the job in which memory is looked at, to one of the longest curve: its first million only warm it up.
_LINES_AN_ITEM = 3


@dataclass(frozen=True, slots=True)
class GrowthResult:
    """Runs of the worker by number of items, and of one and two workers at the same items."""

    curve: dict[int, list[Run]]
    workers: dict[int, list[Run]]
    memory: memory.MemoryResult

    def summarise(self, summary: Summary) -> None:
        summary.rss_growth = self.memory.growth

    def text(self) -> str:
        cost = [
            [
                f"{items:,}",
                median_and_spread([run.rate for run in runs]),
                median_and_spread([run.cpu_us for run in runs], 1),
            ]
            for items, runs in self.curve.items()
        ]
        one = self.workers[1]
        shares = []
        for members, runs in self.workers.items():
            beside = ratio([run.rate for run in runs], [run.rate for run in one])
            shares.append([str(members), median_and_spread([run.rate for run in runs]), f"{beside or 0:.2f}"])
        return "\n\n".join(
            [
                table(["items", "items/s", "CPU us/item"], cost),
                table(["workers", "items/s", "× one"], shares),
                self.memory.text(),
            ]
        )


def measure(bench: Bench, items: int, rounds: int, announce: Announce) -> GrowthResult:
    numbers = _steps(items)
    curve: dict[int, list[Run]] = {number: [] for number in numbers}
    for turn in range(rounds):
        for number in numbers if turn % 2 == 0 else numbers[::-1]:
            announce(f"growth, {number:,} items")
            runs = in_turns(bench, [OURS], _conditions(number), 1, announce)
            curve[number] += runs.get(OURS.name, [])
    workers: dict[int, list[Run]] = {1: [], 2: []}
    for _ in range(rounds):
        for members, of_some in workers.items():
            run = run_once(bench, OURS, _conditions(min(items, _SHARED_ITEMS), members))
            of_some.append(run)
            announce(f"  {members} workers: {run.rate:,.0f}/s")
    return GrowthResult(curve, workers, memory.measure(bench, _LINES_AN_ITEM * items, announce))


def _steps(items: int) -> Sequence[int]:
    """10⁴, 10⁵, … and `items` itself."""
    numbers = []
    number = FEWEST
    while number < items:
        numbers.append(number)
        number *= _STEP
    return [*numbers, items]


def _conditions(items: int, members: int = 1) -> Conditions:
    load = JsonLoad(items, _SIZE)
    return Conditions(lambda _: load, members=members)
