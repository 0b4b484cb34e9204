"""All results of a run in one picture."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.batching import BatchingResult
from benchmarks.growth import GrowthResult
from benchmarks.latency import LatencyResult
from benchmarks.model import ModelResult
from benchmarks.null_model import NullResult
from benchmarks.realtime import RealtimeResult
from benchmarks.report import Summary

_OURS, _OTHERS = "#1f77b4", "#b0b0b0"
_MIB = 1 << 20


@dataclass(slots=True)
class Results:
    """Of the parts that were run."""

    null: NullResult | None = None
    latency: LatencyResult | None = None
    model: ModelResult | None = None
    batching: BatchingResult | None = None
    growth: GrowthResult | None = None
    realtime: RealtimeResult | None = None

    def summarise(self, summary: Summary) -> None:
        for part in (self.null, self.latency, self.model, self.growth, self.realtime):
            if part is not None:
                part.summarise(summary)


def draw(results: Results, file: Path) -> None:
    """A PNG with a panel for each part."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(4, 3, figsize=(15, 14.5), layout="constrained")
    places = iter(panels.flat)
    if results.null is not None:
        for size, runs in results.null.runs.items():
            rates = {name: [run.rate for run in of_one] for name, of_one in runs.items()}
            _bars(next(places), f"null model, items of {size:,} B: items/s", rates)
    if results.latency is not None:
        delays = {name: results.latency.p99(name) for name in results.latency.delays}
        _bars(next(places), "100 items/s: p99 of produce to committed result, ms", delays)
    if results.model is not None:
        _bars(next(places), "EfficientNet-Lite0, cores shared with the broker: images/s", results.model.shared)
        _bars(next(places), "EfficientNet-Lite0, one thread: images/s", results.model.beside)
        if results.model.apart:
            _bars(next(places), "EfficientNet-Lite0, a core of its own: images/s", results.model.apart)
    if results.batching is not None:
        _batches(next(places), results.batching)
    if results.growth is not None:
        _growth(next(places), next(places), results.growth)
    for panel in places:
        panel.set_axis_off()
    figure.savefig(file, dpi=80, bbox_inches="tight")
    plt.close(figure)


def _bars(panel: Any, title: str, values: dict[str, Sequence[float]] | dict[str, list[float]]) -> None:
    """The median of each, and its spread as a line."""
    names = [name for name, figures in values.items() if figures]
    medians = [statistics.median(values[name]) for name in names]
    low = [median - min(values[name]) for name, median in zip(names, medians, strict=True)]
    high = [max(values[name]) - median for name, median in zip(names, medians, strict=True)]
    colours = [_OURS if name.startswith("worker") else _OTHERS for name in names]
    panel.barh(names, medians, xerr=[low, high], color=colours, capsize=3)
    panel.invert_yaxis()
    panel.set_title(title, fontsize=10)
    panel.xaxis.set_major_formatter("{x:,.0f}")
    panel.locator_params(axis="x", nbins=5)
    panel.tick_params(labelsize=8)


def _batches(panel: Any, result: BatchingResult) -> None:
    sizes = list(result.points)
    panel.bar(sizes, [statistics.median(one.rate for one in result.points[size]) for size in sizes], color=_OURS)
    panel.set_title(f"max_batch_size: images/s; line: p99 ms at {result.arrivals:.0f}/s", fontsize=10)
    delays = panel.twinx()
    delays.plot(sizes, [statistics.median(one.p99 for one in result.points[size]) for size in sizes], "k.-")
    delays.set_ylim(bottom=0)


def _growth(cost: Any, memory: Any, result: GrowthResult) -> None:
    items = list(result.curve)
    spent = [statistics.median(run.cpu_us for run in runs) for runs in result.curve.values()]
    cost.plot(items, spent, ".-", color=_OURS)
    cost.set_xscale("log")
    cost.set_ylim(bottom=0)
    cost.set_title("worker: CPU us an item, by number of items", fontsize=10)
    for name, role in result.memory.roles.items():
        memory.plot([at for at, _ in role.samples], [size / _MIB for _, size in role.samples], label=name)
    memory.set_ylim(bottom=0)
    memory.set_title(f"resident MiB over a job of {result.memory.items:,} lines, by seconds", fontsize=10)
    memory.legend(fontsize=8)
