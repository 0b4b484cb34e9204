"""What every peer is told, and the model that every peer calls."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

BATCH = 256
COMMIT_S = 0.2
# How long a batch may wait to be filled: the worker's default `max_wait_ms`.
WAIT_S = 0.02


@dataclass(frozen=True)
class Arguments:
    """Read `source`, write `target`, as the group or application `group`; `scratch` is a folder to write in."""

    bootstrap: str
    source: str
    target: str
    group: str
    scratch: str


def read_arguments() -> Arguments:
    parser = argparse.ArgumentParser()
    for name in ("bootstrap", "source", "target", "group", "scratch"):
        parser.add_argument(f"--{name}", required=True)
    return Arguments(**vars(parser.parse_args()))


def predict(items: list[object]) -> list[object]:
    """The null model."""
    return [{"label": "null"}] * len(items)
