"""Readings as Prometheus reads them. Only this module knows its client.

Measured: its import takes 40 ms. A role with an event loop takes that at its start, the others when somebody asks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector

from stream_infer.telemetry.catalogue.metric import Kind, Reading
from stream_infer.telemetry.exposure import Exposure

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def metrics_text(exposure: Exposure) -> bytes:
    """The numbers of this process, its CPU and memory included, in the text format 0.0.4."""
    registry = CollectorRegistry()
    registry.register(_Shown(exposure))
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    return generate_latest(registry)


class _Shown(Collector):
    def __init__(self, exposure: Exposure) -> None:
        self._exposure = exposure

    def collect(self) -> Iterator[Family]:
        return map(_family, self._exposure.readings())


def _family(reading: Reading) -> Family:
    metric = reading.metric
    if metric.kind is Kind.HISTOGRAM:
        return _histogram(reading)
    kind: type[CounterMetricFamily | GaugeMetricFamily]
    kind = CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily
    family = kind(metric.name, metric.meaning, labels=metric.label_names)
    for labels, value in reading.values.items():
        family.add_metric(list(map(str, labels)), value)
    return family


def _histogram(reading: Reading) -> Family:
    metric = reading.metric
    family = HistogramMetricFamily(metric.name, metric.meaning, labels=metric.label_names)
    for labels, distribution in reading.values.items():
        buckets = [
            ("+Inf" if math.isinf(bound) else str(bound), float(count)) for bound, count in distribution.buckets()
        ]
        family.add_metric(list(map(str, labels)), buckets, distribution.total)
    return family
