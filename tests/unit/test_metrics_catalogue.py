"""The catalogue keeps Prometheus's conventions, and its page is what it says."""

from pathlib import Path

import pytest

from stream_infer.telemetry.catalogue.every import every_metric, metrics_at
from stream_infer.telemetry.catalogue.metric import Histogram, Kind, Role
from stream_infer.telemetry.catalogue.page import page

METRICS = every_metric()
NO_UNITS = ("_ms", "_milliseconds", "_minutes", "_kb", "_mb", "_mib", "_percent", "_count", "_sum", "_bucket")


def test_the_published_page_is_that_of_the_code():
    published = Path(__file__).parents[2] / "docs" / "metrics.md"

    assert published.read_text() == page(), "run: python -m stream_infer.telemetry.catalogue > docs/metrics.md"


def test_each_name_is_there_once():
    names = [metric.name for metric in METRICS]

    assert len(names) > 60
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_metric_keeps_the_conventions(metric):
    name = metric.name
    assert name.startswith("stream_infer_")
    assert name == name.lower()
    assert name.endswith("_total") is (metric.kind is Kind.COUNTER)
    assert not name.removesuffix("_total").endswith(NO_UNITS)
    assert not any(kind.value in name for kind in Kind)
    assert metric.meaning.endswith(".")
    assert "\n" not in metric.meaning
    assert "|" not in metric.meaning


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_labels_are_few_and_never_a_job_or_an_item(metric):
    labels = set(metric.label_names)

    assert len(labels) <= 3
    assert not labels & {"job_id", "item_id", "custom_id", "key", "uri", "worker"}
    # What a target of Prometheus has: a label of that name would be renamed.
    assert not labels & {"job", "instance", "role", "le", "quantile"}


@pytest.mark.parametrize("metric", [one for one in METRICS if isinstance(one, Histogram)], ids=lambda one: one.name)
def test_the_bounds_of_a_histogram_rise(metric):
    assert list(metric.bounds) == sorted(set(metric.bounds))
    assert metric.bounds[0] > 0


@pytest.mark.parametrize("role", Role)
def test_every_role_has_metrics(role):
    assert len(metrics_at(role)) > 3
