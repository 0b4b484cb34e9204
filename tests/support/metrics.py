"""What a process shows of itself, read as Prometheus does."""

from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from stream_infer.telemetry.catalogue.metric import Kind, Metric
from stream_infer.telemetry.exposition import metrics_text
from stream_infer.telemetry.exposure import Exposure

Samples = Mapping[tuple[str, frozenset[tuple[str, str]]], float]


def samples_of(text: str | bytes) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Each sample's value by its name and labels; a sample that comes twice fails."""
    found: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
    said = text.decode() if isinstance(text, bytes) else text
    for family in text_string_to_metric_families(said):
        for sample in family.samples:
            key = sample.name, frozenset(sample.labels.items())
            assert key not in found, key
            found[key] = sample.value
    return found


def shown_by(exposure: Exposure) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return samples_of(metrics_text(exposure))


def value(samples: Samples, metric: Metric[Any] | str, **labels: str) -> float:
    """Of the one sample of that name and those labels."""
    name = metric if isinstance(metric, str) else metric.name
    return samples[name, frozenset(labels.items())]


def names(samples: Samples) -> set[str]:
    return {name for name, _ in samples}


def sample_names(metric: Metric[Any]) -> Iterator[str]:
    """The names of its samples."""
    if metric.kind is Kind.HISTOGRAM:
        yield from (f"{metric.name}_{part}" for part in ("bucket", "sum", "count"))
    else:
        yield metric.name
