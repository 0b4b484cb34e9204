"""What the predictor was at, on a disk that outlives this process: when the kernel kills the whole pod, the items in it
are suspects at the next start.

A suspect runs alone. One that was alone in the predictor at `STRIKES` ends of the whole worker is rejected unseen: to
try once more would take the worker down for ever. A worker may also be killed for no reason of its items, which is why
one strike is not enough.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import orjson
import structlog

from stream_infer.errors import Stage
from stream_infer.records import Failure, Position

_LOG = structlog.get_logger(__name__)
STRIKES = 2
_LENGTH_DIGITS = 10


class Suspects:
    """Positions whose items were in the predictor when a worker of this slot was killed, and their strikes."""

    def __init__(self, strikes: dict[Position, int] | None = None) -> None:
        self._strikes = strikes or {}

    def __bool__(self) -> bool:
        return bool(self._strikes)

    def has(self, position: Position) -> bool:
        return position in self._strikes

    def verdict(self, position: Position) -> Failure | None:
        """The failure of an item that has taken whole workers down."""
        strikes = self._strikes.get(position, 0)
        if strikes < STRIKES:
            return None
        message = f"the whole worker was killed {strikes} times with this item alone in its predictor"
        return Failure(Stage.PREDICT, "stream_infer.engine.isolation.PredictorCrashed", message, final=True)

    def settle(self, positions: Iterable[Position]) -> None:
        for position in positions:
            self._strikes.pop(position, None)

    def as_list(self) -> list[list[Any]]:
        return [[*position, strikes] for position, strikes in self._strikes.items()]


class CrashJournal:
    """The calls that are in the child now, written down before they are handed over: one small write a call."""

    def __init__(self, file: Path, position_of: Callable[[int], Position | None]) -> None:
        """`position_of` a token, or None where there is nothing to blame. Raises OSError where it cannot be written."""
        self.suspects = Suspects(_strikes(_read(file)))
        self._position_of = position_of
        self._calls: dict[int, tuple[bool, list[Position]]] = {}
        file.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._write()

    def begun(self, call_id: int, tokens: Sequence[int], *, alone: bool) -> None:
        positions = [position for token in tokens if (position := self._position_of(token)) is not None]
        self._calls[call_id] = (alone, positions)
        self._write()

    def ended(self, call_id: int) -> None:
        alone, positions = self._calls.pop(call_id, (False, []))
        if self.suspects and alone:
            self.suspects.settle(positions)
        self._write()

    def close(self) -> None:
        """An orderly end leaves no suspects but those that are still to be tried."""
        self._calls.clear()
        self._write()
        os.close(self._descriptor)

    def _write(self) -> None:
        calls = [[alone, _grouped(positions)] for alone, positions in self._calls.values()]
        text = orjson.dumps({"calls": calls, "suspects": self.suspects.as_list()})
        try:
            # The length first: what a longer text has left behind it is not read.
            os.pwrite(self._descriptor, b"%0*d" % (_LENGTH_DIGITS, len(text)) + text, 0)
        except OSError as error:
            _LOG.warning("journal_not_written", reason=str(error))


def _grouped(positions: Iterable[Position]) -> list[list[Any]]:
    places: dict[tuple[str, int], list[int]] = {}
    for topic, partition, offset in positions:
        places.setdefault((topic, partition), []).append(offset)
    return [[topic, partition, offsets] for (topic, partition), offsets in places.items()]


def _read(file: Path) -> dict[str, Any]:
    """What a worker of this slot has left; what cannot be read names nobody."""
    try:
        data = file.read_bytes()
        found = orjson.loads(data[_LENGTH_DIGITS : _LENGTH_DIGITS + int(data[:_LENGTH_DIGITS] or b"0")])
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _strikes(found: dict[str, Any]) -> dict[Position, int]:
    try:
        strikes = {Position(topic, partition, offset): n for topic, partition, offset, n in found.get("suspects", ())}
        for alone, places in found.get("calls", ()):
            for topic, partition, offsets in places:
                for offset in offsets:
                    position = Position(topic, partition, offset)
                    strikes[position] = strikes.get(position, 0) + bool(alone)
    except (TypeError, ValueError) as error:
        _LOG.warning("journal_unreadable", reason=str(error))
        return {}
    return strikes
