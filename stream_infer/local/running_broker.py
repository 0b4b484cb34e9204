"""Where the local broker of a running `up` is, for the commands beside it."""

from __future__ import annotations

import json
from pathlib import Path

from stream_infer.local.broker_files import HOST, PORTS_FILE
from stream_infer.local.data_lock import DataLock


def broker_dir(state_dir: Path) -> Path:
    """Where `up` keeps its broker's data."""
    return state_dir / "kafka"


def running_broker(state_dir: Path) -> str | None:
    """`host:port` of the broker that `up` runs, or is starting, on `state_dir`; None where there is none."""
    directory = broker_dir(state_dir)
    if not DataLock.is_held(directory):
        return None
    try:
        return f"{HOST}:{int(json.loads((directory / PORTS_FILE).read_text())['clients'])}"
    except (OSError, ValueError, KeyError, TypeError):
        return None  # its ports are being chosen at this moment
