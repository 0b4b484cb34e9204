"""What a metric is: its name, its labels, who serves it, and what it tells an operator.

Metrics are values and their labels are tuples with names, so that a typo in either is a type error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from inspect import get_annotations
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

from stream_infer.telemetry.distribution import Distribution

L = TypeVar("L", bound=tuple[str, ...])


class Kind(StrEnum):
    """Prometheus's own names."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Role(StrEnum):
    """Whose `/metrics` has it."""

    GATEWAY = "gateway"
    INTAKE = "intake"
    WORKER = "worker"
    REALTIME = "realtime"
    TRACKER = "tracker"
    SINK = "sink"


class Reading(NamedTuple):
    """A metric's values at one moment, by its labels; of a histogram each is a Distribution."""

    metric: Metric[Any]
    values: Mapping[Any, Any]


@dataclass(frozen=True, eq=False)
class Metric(Generic[L]):
    """`labels` is a NamedTuple of few values, never a job's id; `meaning` is one paragraph for an operator."""

    kind: ClassVar[Kind]

    name: str
    labels: type[L]
    roles: tuple[Role, ...]
    meaning: str

    @property
    def label_names(self) -> tuple[str, ...]:
        return tuple(get_annotations(self.labels))


class Counter(Metric[L]):
    """Only rises, and begins at 0 with its process. The name ends with `_total`."""

    kind = Kind.COUNTER

    def reading(self, values: Mapping[L, float]) -> Reading:
        return Reading(self, values)


class Gauge(Metric[L]):
    """What is so now."""

    kind = Kind.GAUGE

    def reading(self, values: Mapping[L, float]) -> Reading:
        return Reading(self, values)


@dataclass(frozen=True, eq=False)
class Histogram(Metric[L]):
    """`bounds` of its buckets, rising, without the infinite one."""

    kind = Kind.HISTOGRAM

    bounds: tuple[float, ...]

    def distribution(self) -> Distribution:
        return Distribution(self.bounds)

    def reading(self, values: Mapping[L, Distribution]) -> Reading:
        return Reading(self, values)


class Whole(NamedTuple):
    """No label: of the whole process."""


class OfApi(NamedTuple):
    api: str


WHOLE = Whole()
# Seconds; beyond its last bound, and below its first, a histogram tells nothing apart. Of a request, a transaction, a
# flush; of a call of a model, which may take next to no time, or as long as `batching.call_timeout` lets it; of a job.
MOMENTS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
CALL_MOMENTS = (0.0001, 0.00025, 0.0005, *MOMENTS, 900.0)
WHILES = (1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, *(hours * 3600.0 for hours in (4, 12, 24, 72, 168)))
SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0)
