"""Webhooks as a person reads them. Pure: from bodies to text and tables."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from rich.table import Table
from rich.text import Text

from stream_infer.cli.job_tables import plain, said_of, table_of
from stream_infer.gateway.webhooks.bodies import DeliveryBody
from stream_infer.webhooks import DeliveryState

_STYLES = {DeliveryState.DELIVERED: "green", DeliveryState.PENDING: "cyan"}


def delivery_table(deliveries: Sequence[DeliveryBody]) -> Table:
    table = table_of("id!", "when!", "job", "event!", "state!", "attempts>", "")
    for one in deliveries:
        table.add_row(
            one.id,
            _time(one.at),
            plain(one.job_id),
            one.event.value,
            Text(one.state.value, _STYLES.get(one.state, "red")),
            f"{one.attempts}",
            plain(said_of(one)),
        )
    return table


def _time(at: float) -> str:
    return datetime.fromtimestamp(at).astimezone().strftime("%m-%d %H:%M:%S")
