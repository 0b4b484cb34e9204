"""A job's lines from the gateway, in pages or as they come, and how they look."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stream_infer.errors import ServiceUnavailable
from stream_infer.gateway.representations import LogLineBody
from stream_infer.telemetry.logs import CONTROLS

if TYPE_CHECKING:
    from stream_infer.cli.client import GatewayClient

PATIENCE_S = 60.0
_AGAIN_AFTER_S = 0.5
_COLOURS = re.compile(r"\x1b\[[0-9;:?]*[ -/]*[@-~]")


@dataclass(frozen=True, slots=True)
class Event:
    """A server-sent event; `id` is the last one that was given."""

    name: str
    data: str
    id: str | None


def past_lines(client: GatewayClient, job_id: str) -> Iterator[LogLineBody]:
    """Everything said so far. Raises as GatewayClient does."""
    after: str | None = None
    while True:
        page = client.logs(job_id, after)
        yield from page.lines
        after = page.next
        if not page.has_more:
            return


def follow_lines(
    client: GatewayClient,
    job_id: str,
    sleep: Callable[[float], None] = time.sleep,
    now: Callable[[], float] = time.monotonic,
) -> Iterator[LogLineBody]:
    """Everything said about the job until it has ended.

    A gateway that goes away meanwhile is waited for, up to a minute: then ServiceUnavailable.
    """
    after: str | None = None
    heard_at: float | None = None
    while True:
        try:
            for event in events(client.follow_logs(job_id, after)):
                heard_at = now()
                if event.name == "end":
                    return
                after = event.id or after
                if event.data:
                    yield LogLineBody.model_validate_json(event.data)
            heard_at = now() if heard_at is None else heard_at
        except ServiceUnavailable:
            if heard_at is None or now() - heard_at > PATIENCE_S:
                raise
        sleep(_AGAIN_AFTER_S)


def events(lines: Iterator[bytes]) -> Iterator[Event]:
    """The events in a stream's lines, as far as our gateway writes them; comments are events without data."""
    name, data, place = "message", "", None
    for raw in lines:
        line = raw.decode(errors="replace").rstrip("\r\n")
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match field:
            case "event":
                name = value
            case "data":
                data = value
            case "id":
                place = value
            case "" if not line:
                yield Event(name, data, place)
                name, data = "message", ""


def plain(line: LogLineBody) -> str:
    """`HH:MM:SS who | line`, in local time; a role's fields follow as name=value."""
    at = time.strftime("%H:%M:%S", time.localtime(line.at))
    told = [f"{name}={value}" for name, value in line.fields.items()]
    if line.item_id is not None:
        told.insert(0, f"item_id={line.item_id}")
    level = f"{line.level}: " if line.source == "role" and line.level not in ("info", "debug") else ""
    text = _COLOURS.sub("", " ".join([f"{at} {line.who} | {level}{line.line}", *told]))
    return CONTROLS.sub(" ", text)
