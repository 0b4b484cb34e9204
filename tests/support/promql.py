"""What an expression of PromQL asks for, as far as names and labels go, held against the catalogue."""

import re
from collections.abc import Iterator

from stream_infer.telemetry.catalogue.every import every_metric
from stream_infer.telemetry.catalogue.metric import Histogram
from tests.support.metrics import sample_names

# What Prometheus itself adds to every sample, and what it, and its client, have of every target.
_OF_TARGETS = {"instance", "role", "job"}
_LABELS = {
    name: {*metric.label_names, *_OF_TARGETS, *({"le"} if isinstance(metric, Histogram) else ())}
    for metric in every_metric()
    for name in sample_names(metric)
} | {"up": _OF_TARGETS, "process_start_time_seconds": _OF_TARGETS}
METRIC_OF = {name: metric.name for metric in every_metric() for name in sample_names(metric)}
_SELECTOR = re.compile(r"\b(stream_infer_\w+|up|process_start_time_seconds)\b(?:\{([^}]*)\})?")
_MATCHER = re.compile(r'(\w+)(?:=~|!~|!=|=)"[^"]*"')
_GROUPED = re.compile(r"\b(?:sum|max|min|avg|count) by \(([^)]*)\) \(")
_MATCHED = re.compile(r"\b(?:on|ignoring) \(([^)]*)\)")


def complaints(expr: str) -> list[str]:
    """Metrics that there are not, and labels that a metric has not: matched, summed by, or joined on."""
    found = list(_SELECTOR.finditer(expr))
    unknown = [f"no such metric: {one[1]}" for one in found if one[1] not in _LABELS]
    if unknown or not found:
        return unknown or [f"no metric at all: {expr}"]
    return [*_of_matchers(found), *_of_groups(expr), *_of_joins(expr, found)]


def metrics_in(expr: str) -> set[str]:
    """By the names that the catalogue has."""
    return {METRIC_OF[one[1]] for one in _SELECTOR.finditer(expr) if one[1] in METRIC_OF}


def selectors(expr: str) -> list[tuple[str, str]]:
    """Each sample's name and what stands between its braces."""
    return [(one[1], one[2] or "") for one in _SELECTOR.finditer(expr)]


def has_api(sample: str) -> bool:
    return "api" in _LABELS[sample]


def _of_matchers(found: list[re.Match[str]]) -> Iterator[str]:
    for selector in found:
        for label in _MATCHER.findall(selector[2] or ""):
            if label not in _LABELS[selector[1]]:
                yield f"{selector[1]} has no label {label}"


def _of_groups(expr: str) -> Iterator[str]:
    """Each metric between an aggregation's parentheses has the labels that are kept."""
    for grouped in _GROUPED.finditer(expr):
        inner = expr[grouped.end() : _closing(expr, grouped.end())]
        for selector in _SELECTOR.finditer(inner):
            for label in _names(grouped[1]):
                if label not in _LABELS[selector[1]]:
                    yield f"{selector[1]} has no label {label} to go by"


def _of_joins(expr: str, found: list[re.Match[str]]) -> Iterator[str]:
    for label in (label for joined in _MATCHED.findall(expr) for label in _names(joined)):
        if not all(label in _LABELS[selector[1]] for selector in found):
            yield f"not all have a label {label}: {expr}"


def _names(labels: str) -> list[str]:
    return [label.strip() for label in labels.split(",")]


def _closing(expr: str, start: int) -> int:
    """Where the parenthesis ends that was opened just before `start`."""
    depth = 1
    for place in range(start, len(expr)):
        depth += {"(": 1, ")": -1}.get(expr[place], 0)
        if depth == 0:
            return place
    raise AssertionError(f"a parenthesis is not closed: {expr}")
