"""Figures as text: medians with their spread, tables, and the last line."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

import orjson


@dataclass(slots=True)
class Summary:
    """What the last line says; None where a part was not run, or its peer was not there.

    The first two are those of the worst size; `by_size` has them for each, in bytes. `vs_model_limit` is of files
    and a model of one thread, beside which there is a core for all else; `model` has the other settings, and S3.
    """

    vs_handwritten_tx: float | None = None
    vs_quix_eos: float | None = None
    vs_model_limit: float | None = None
    latency_vs_handwritten_p99: float | None = None
    rss_growth: float | None = None
    realtime_overhead_p99_ms: float | None = None
    model: dict[str, float | None] = field(default_factory=dict)
    realtime: dict[str, float | None] = field(default_factory=dict)
    by_size: dict[int, dict[str, float | None]] = field(default_factory=dict)

    def line(self) -> str:
        return orjson.dumps(self, option=orjson.OPT_NON_STR_KEYS).decode()


def median_and_spread(values: Sequence[float], digits: int = 0) -> str:
    """`median (min–max)`."""
    if not values:
        return "–"
    return f"{statistics.median(values):,.{digits}f} ({min(values):,.{digits}f}–{max(values):,.{digits}f})"


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float | None:
    """The median of what each round says: the machine's speed drifts between rounds, less so within one."""
    pairs = list(zip(ours, theirs, strict=False))
    return round(statistics.median(mine / other for mine, other in pairs), 3) if pairs else None


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """As Markdown has it, aligned for a terminal too."""
    widths = [max(len(row[column]) for row in [heads, *rows]) for column in range(len(heads))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in [heads, ["-" * width for width in widths], *rows]
    ]
    return "\n".join(lines)


def percent(fraction: float | None) -> str:
    return "–" if fraction is None else f"{fraction:+.1%}"
