"""APIs and who works on them as a person reads it. Pure: from bodies to tables."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from stream_infer.cli.job_tables import plain, table_of
from stream_infer.clients.progress import duration
from stream_infer.definitions import ApiState
from stream_infer.gateway.api_bodies import ApiBody, ApiStatus, ReplicaBody

_STYLES = {ApiStatus.LIVE: "green", ApiStatus.HINDERED: "red", ApiStatus.UNKNOWN: "yellow"}


def api_table(apis: Sequence[ApiBody], now: float) -> Table:
    """`now` in seconds since the epoch."""
    table = table_of(
        "api!", "status!", "up-to-date>", "available>", "requested>", "last update>", "avg latency>", "active jobs>",
        "waiting>", "items/s>", "predictor",
    )  # fmt: skip
    for api in apis:
        table.add_row(
            plain(api.name),
            _status(api),
            "?" if api.up_to_date is None else f"{api.up_to_date}",
            "?" if api.available is None else f"{api.available}",
            f"{api.requested}",
            duration(now - api.updated_at),
            "" if api.avg_latency is None else latency(api.avg_latency),
            f"{api.active_jobs:,}",
            f"{api.waiting_items:,}",
            f"{api.rate:,.0f}" if api.rate else "",
            plain(f"{api.predictor.get('type', '')} {_short_target(api.predictor.get('target', ''))}"),
        )
    return table


def _status(api: ApiBody) -> Text:
    """Of one that was deployed and does not serve that first."""
    if api.state is not ApiState.LIVE:
        return Text(str(api.state), "red" if api.state is ApiState.FAILED else "cyan")
    return Text(str(api.status), _STYLES.get(api.status, "cyan"))


def replica_table(replicas: Sequence[ReplicaBody]) -> Table:
    table = table_of("replica!", "ready!", "in flight>", "")
    for replica in replicas:
        ready = Text("yes", "green") if replica.is_ready else Text("no", "yellow")
        table.add_row(plain(replica.url), ready, f"{replica.in_flight:,}", plain(replica.reason or ""))
    return table


def latency(seconds: float) -> str:
    """To three digits: 1.23 s, 45.6 ms, 789 us."""
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("us", 1e6)):
        if seconds * factor >= 1 or unit == "us":
            return f"{seconds * factor:.3g} {unit}"
    raise AssertionError


def _short_target(target: str) -> str:
    """Of a file its name."""
    return target.rpartition("/")[2] if target.startswith("/") else target
