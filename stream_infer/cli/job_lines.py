"""How a job's lines look."""

from __future__ import annotations

import re
import time

from stream_infer.gateway.representations import LogLineBody
from stream_infer.telemetry.logs import CONTROLS

_COLOURS = re.compile(r"\x1b\[[0-9;:?]*[ -/]*[@-~]")


def plain(line: LogLineBody) -> str:
    """`HH:MM:SS who | line`, in local time; a role's fields follow as name=value."""
    at = time.strftime("%H:%M:%S", time.localtime(line.at))
    told = [f"{name}={value}" for name, value in line.fields.items()]
    if line.item_id is not None:
        told.insert(0, f"item_id={line.item_id}")
    level = f"{line.level}: " if line.source == "role" and line.level not in ("info", "debug") else ""
    text = _COLOURS.sub("", " ".join([f"{at} {line.who} | {level}{line.line}", *told]))
    return CONTROLS.sub(" ", text)
