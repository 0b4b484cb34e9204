"""All metrics, in the order of the page."""

from __future__ import annotations

from types import ModuleType
from typing import Any, Final

from stream_infer.telemetry.catalogue import items, jobs, model, serving, store, webhooks
from stream_infer.telemetry.catalogue.metric import Metric, Role

SECTIONS: Final[tuple[tuple[str, ModuleType], ...]] = (
    ("Items", items),
    ("Model and GPU", model),
    ("Jobs and their sources", jobs),
    ("Results in the store", store),
    ("Webhooks", webhooks),
    ("HTTP, and Kafka as the gateway sees it", serving),
)


def metrics_of(section: ModuleType) -> list[Metric[Any]]:
    """Those that a module of the catalogue defines, in its order."""
    return [value for value in vars(section).values() if isinstance(value, Metric)]


def every_metric() -> list[Metric[Any]]:
    return [metric for _, section in SECTIONS for metric in metrics_of(section)]


def metrics_at(role: Role) -> list[Metric[Any]]:
    """What `/metrics` of a role has."""
    return [metric for metric in every_metric() if role in metric.roles]
