"""What a submission would enqueue, without submitting it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stream_infer.clients import calls
from stream_infer.clients.errors import GatewayFailed
from stream_infer.clients.given import Source
from stream_infer.clients.steps import Pour, Steps
from stream_infer.clients.submitting import reaching


@dataclass(frozen=True, slots=True)
class PlannedItem:
    """An item that would be enqueued. `item` is its value, where that is JSON and not long; `source`, `content_type`
    and `bytes` are None of items that are given themselves. `error` says why it would be a dead letter."""

    ordinal: int
    item: Any = None
    source: str | None = None
    content_type: str | None = None
    bytes: int | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """The first items of a source. `is_all`: there are no more of them; `error`: behind them the job would fail, and
    why."""

    items: tuple[PlannedItem, ...]
    is_all: bool
    error: str | None = None


def planning(url: str, api: str, source: Source, options: Mapping[str, Any], limit: int) -> Steps[Plan]:
    """The first `limit` items. What the gateway at `url` cannot read is sent, and removed again."""

    def look(spec: Mapping[str, Any]) -> Steps[Plan]:
        lines: list[dict[str, Any]] = []
        yield Pour(calls.dry_run(api, {**spec, **options}, limit), lambda line: lines.append(json.loads(line)))
        return plan_of(lines)

    return reaching(url, source, look, keeps=False)


def plan_of(lines: list[dict[str, Any]]) -> Plan:
    """Of the lines of a dry run, an item each, and behind them the end. Raises GatewayFailed where that is missing."""
    if not lines or "is_all" not in lines[-1]:
        raise GatewayFailed("the gateway's list of items has no end")
    *items, end = lines
    known = PlannedItem.__dataclass_fields__.keys()
    planned = (PlannedItem(**{name: value for name, value in line.items() if name in known}) for line in items)
    return Plan(tuple(planned), end["is_all"], end.get("error"))
