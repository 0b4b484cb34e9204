"""docs/metrics.md, made from the catalogue; a test compares."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import Any

from stream_infer.telemetry.catalogue.every import SECTIONS, metrics_of
from stream_infer.telemetry.catalogue.metric import Metric

_BEGINNING = """\
<!-- Made by: python -m stream_infer.telemetry.catalogue > docs/metrics.md -->

# Metrics

Every role serves `/metrics` for Prometheus, `/healthz` (the process answers) and `/readyz` (it can do its work; else
503, with what is missing) on `metrics.listen`. Where nothing is set that is `127.0.0.1:9400`, or any free port where
that is taken, which the log names (`metrics_served`); the gateway and realtime replicas then do so on their own address
alone. Where a role cannot listen it says so, tries again, and works on.

On `metrics.listen` nobody is asked for a key; what is served are the names of APIs and routes, exception classes, and
numbers. In a container set `STREAM_INFER__METRICS__LISTEN=0.0.0.0:9400`, and let a network policy say who may ask. On
their own address the gateway and realtime replicas ask for a key with the scope `read` where there are
[keys](security.md#api-keys).

Under `up` each process has a port of its own, and `STATE_DIR/prometheus/targets.json` lists them all:

    scrape_configs:
      - job_name: stream-infer
        file_sd_configs: [{files: [.stream-infer/prometheus/targets.json]}]

There each target has the labels `role` and, as its `instance`, the name in `up`'s log, such as `worker shouter/0`.
Workers that are not running are listed, too: `up == 0` says nothing of one that nobody needs.

Jobs are no labels: there is no end of them. `stream-infer get JOB` tells of one, and `logs JOB`. A metric that
has nothing to tell is absent or 0. Numbers of items are counted once a transaction or once a micro-batch, never item by
item, so that they cost nothing; the rest is read when somebody asks. Prometheus's own `process_*` and `python_info`
stand beside these.
"""


def page() -> str:
    sections = [f"## {title}\n\n{_table(section)}" for title, section in SECTIONS]
    return "\n".join([_BEGINNING, *sections])


def _table(section: ModuleType) -> str:
    rows = [_row(metric) for metric in metrics_of(section)]
    return "\n".join(["| metric | of | means |", "| --- | --- | --- |", *rows, ""])


def _row(metric: Metric[Any]) -> str:
    return f"| {' '.join(_name(metric))} | {', '.join(metric.roles)} | {metric.meaning} |"


def _name(metric: Metric[Any]) -> Iterator[str]:
    """With its labels as PromQL has them, and its kind."""
    labels = ", ".join(metric.label_names)
    yield f"`{metric.name}{{{labels}}}`" if labels else f"`{metric.name}`"
    yield metric.kind.value
