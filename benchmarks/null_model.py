"""Items a second with a model that does nothing: the overhead, ours and everybody's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from benchmarks.bench import Bench
from benchmarks.contest import Announce, Conditions, Run, in_turns, run_once
from benchmarks.contestants import (
    BIG_ITEMS,
    BY_HAND_TX,
    EVERYBODY,
    HANDWRITTEN_TX,
    JOB_WORKER,
    OURS,
    QUIX,
    WORKER,
    Contestant,
)
from benchmarks.load import JsonLoad, Load
from benchmarks.report import Summary, median_and_spread, ratio, table

SIZES = (100, 1_000, 100_000)
ITEMS = 200_000
_WARM_UP = 100_000
_MOST_BYTES = 2_000_000_000


@dataclass(frozen=True, slots=True)
class NullResult:
    """The runs of each contestant, for each size of an item in bytes."""

    runs: dict[int, dict[str, list[Run]]]

    def ratio(self, name: str, size: int, ours: str = WORKER) -> float | None:
        runs = self.runs.get(size, {})
        return ratio(_rates(runs.get(ours, [])), _rates(runs.get(name, [])))

    def summarise(self, summary: Summary) -> None:
        """The worker of job items, with headers, ids and counts, beside loops that have none; of the worst size."""
        for size in self.runs:
            summary.by_size[size] = {
                "vs_handwritten_tx": self.ratio(HANDWRITTEN_TX, size, JOB_WORKER),
                "vs_quix_eos": self.ratio(QUIX, size, JOB_WORKER),
            }
        found = summary.by_size.values()
        summary.vs_handwritten_tx = _least(one["vs_handwritten_tx"] for one in found)
        summary.vs_quix_eos = _least(one["vs_quix_eos"] for one in found)

    def text(self) -> str:
        return "\n\n".join(self._table(size) for size in self.runs)

    def _table(self, size: int) -> str:
        rows = []
        known = {one.name: one for one in (*EVERYBODY, *BIG_ITEMS)}
        for name, runs in self.runs[size].items():
            one = known[name]
            beside = self.ratio(name, size, JOB_WORKER if one.of_job else WORKER)
            rows.append(
                [
                    name,
                    median_and_spread(_rates(runs)),
                    "–" if beside is None else f"{beside:.2f}",
                    median_and_spread([run.cpu_us for run in runs], 1),
                    one.guarantee,
                    one.lacks or "–",
                ]
            )
        heads = ["items of " + _size(size), "items/s", "worker is × it", "CPU us/item", "guarantee", "what it lacks"]
        return table(heads, rows)


def warm_up(bench: Bench) -> None:
    """Of the broker; what is measured is thrown away."""
    for contestant in (BY_HAND_TX, OURS):
        run_once(bench, contestant, Conditions(lambda _: JsonLoad(_WARM_UP, min(SIZES))))


def measure(
    bench: Bench, sizes: Sequence[int], items: int, rounds: int, announce: Announce, only: Sequence[str] = ()
) -> NullResult:
    """`only`: parts of contestants' names; the worker always takes part."""
    runs = {}
    for size in sizes:
        chosen = EVERYBODY if size == min(SIZES) else BIG_ITEMS
        if only:
            chosen = [one for one in chosen if one is OURS or any(part in one.name.lower() for part in only)]
        load = JsonLoad(max(1, min(items, _MOST_BYTES // size)), size)
        announce(f"null model, {load.items:,} items of {_size(size)}")

        def load_of(contestant: Contestant, load: JsonLoad = load) -> Load:
            return replace(load, items=max(1, int(load.items * contestant.share)), of_job=contestant.of_job)

        runs[size] = in_turns(bench, chosen, Conditions(load_of), rounds, announce)
    return NullResult(runs)


def _least(ratios: Iterable[float | None]) -> float | None:
    return min((one for one in ratios if one is not None), default=None)


def _rates(runs: Sequence[Run]) -> list[float]:
    return [run.rate for run in runs]


def _size(size: int) -> str:
    return f"{size:,} B" if size < 1000 else f"{size // 1000:,} KB"
