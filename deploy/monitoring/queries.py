"""PromQL of the metrics of the catalogue. All of it is text; what is asked for is checked as it is put together."""

from __future__ import annotations

import re
from typing import Any, Final, TypeAlias

from stream_infer.telemetry.catalogue.metric import Counter, Histogram, Metric

_MATCHER = re.compile(r'^(\w+)(=~|!~|!=|=)".*"$')
# What Prometheus adds to every sample.
TARGET_LABELS: Final = frozenset({"instance", "role", "job"})
EVERY_SCRAPE: Final = "$__rate_interval"
"""Grafana: as far back as some scrapes reach."""

Labels: TypeAlias = tuple[str, ...]


def select(metric: Metric[Any], *matchers: str, part: str = "") -> str:
    """Its samples: `select(LAG, 'topic="retry"')`. `part` of a histogram: `_bucket`, `_sum` or `_count`.

    ValueError: a matcher of a label that the metric does not have.
    """
    for matcher in matchers:
        found = _MATCHER.match(matcher)
        if found is None or found[1] not in {*metric.label_names, *TARGET_LABELS}:
            raise ValueError(f"{metric.name} has the labels {', '.join(metric.label_names)}: {matcher}")
    if isinstance(metric, Histogram) is not bool(part):
        raise ValueError(f"{metric.name} is a {metric.kind}: its samples are not {metric.name}{part}")
    return metric.name + part + (f"{{{', '.join(matchers)}}}" if matchers else "")


def chosen(metric: Metric[Any], *matchers: str, part: str = "") -> str:
    """Its samples of the APIs that are chosen on the dashboard, if it has an API's label.

    With a group there may be none: the sink's and the tracker's groups are no API's own, and always shown.
    """
    if "api" not in metric.label_names:
        return select(metric, *matchers, part=part)
    apis = 'api=~"$api|"' if "group" in metric.label_names else 'api=~"$api"'
    return select(metric, apis, *matchers, part=part)


def rate(metric: Counter[Any] | Histogram[Any], *matchers: str, part: str = "", over: str = EVERY_SCRAPE) -> str:
    """A second, of what is chosen; of a histogram of a `part`."""
    return f"rate({chosen(metric, *matchers, part=part)}[{over}])"


def risen(counter: Counter[Any], *matchers: str, over: str) -> str:
    """By how much in that time, of what is chosen."""
    return f"increase({chosen(counter, *matchers)}[{over}])"


def risen_or_new(counter: Counter[Any], *matchers: str, over: str) -> str:
    """As `risen`, of a counter whose labels come with what is counted: one that was not there before has risen by all
    that it says. For so long behind its own start Prometheus takes everything for new.
    """
    samples = chosen(counter, *matchers)
    return f"({samples} unless {samples} offset {over}) or increase({samples}[{over}])"


def total(by: Labels, of: str) -> str:
    return f"sum by ({', '.join(by)}) ({of})" if by else f"sum({of})"


def largest(by: Labels, of: str) -> str:
    return f"max by ({', '.join(by)}) ({of})" if by else f"max({of})"


def smallest(by: Labels, of: str) -> str:
    return f"min by ({', '.join(by)}) ({of})" if by else f"min({of})"


def quantile(share: float, by: Labels, histogram: Histogram[Any], *, over: str = EVERY_SCRAPE) -> str:
    return f"histogram_quantile({share}, {total(('le', *by), rate(histogram, part='_bucket', over=over))})"


def mean(by: Labels, histogram: Histogram[Any]) -> str:
    return of_all(total(by, rate(histogram, part="_sum")), total(by, rate(histogram, part="_count")))


def of_all(part: str, whole: str) -> str:
    """A share from 0 to 1. Of nothing there is none: NaN, which Grafana leaves out."""
    return f"{part} / {whole}"
