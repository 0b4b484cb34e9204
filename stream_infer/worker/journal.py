"""What the predictor was at, on a disk that outlives this process: when the kernel kills the whole pod, the items in it
are suspects at the next start.

A suspect runs alone. One that was alone in the predictor at `STRIKES` ends of the whole worker is rejected unseen: to
try once more would take the worker down for ever. A worker may also be killed for no reason of its items, which is why
one strike is not enough. Who is one no more: an item that was answered, or lies below what the group has committed, or
in a partition that is not ours any more, or in a topic that was made anew since.

Two files. That of the calls is written over in place at every call, so it holds nothing else; that of the suspects is
replaced when they have changed, and only once in a while: a suspect too many costs a call of its own, no more.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import structlog

from stream_infer.errors import Stage
from stream_infer.records import Failure, Position
from stream_infer.worker.held import Partition

_LOG = structlog.get_logger(__name__)
STRIKES = 2
MOST_KEPT = 1024
"""Suspects of earlier ends that are kept: of partitions that never came back here, nothing else is heard."""
_BETWEEN_WRITES_S = 1.0
_LENGTH_DIGITS = 10


class Suspects:
    """Positions whose items were in the predictor when a worker of this slot was killed, and their strikes."""

    def __init__(self, strikes: dict[Position, int] | None = None) -> None:
        self._strikes = strikes or {}
        self.changed = False

    def __bool__(self) -> bool:
        return bool(self._strikes)

    def has(self, position: Position) -> bool:
        return position in self._strikes

    def verdict(self, position: Position) -> Failure | None:
        """The failure of an item that has taken whole workers down. It stays a suspect until that is delivered."""
        strikes = self._strikes.get(position, 0)
        if strikes < STRIKES:
            return None
        message = f"the whole worker was killed {strikes} times with this item alone in its predictor"
        return Failure(Stage.PREDICT, "stream_infer.engine.isolation.PredictorCrashed", message, final=True)

    def settle(self, positions: Iterable[Position]) -> None:
        """These have been answered."""
        for position in positions:
            self.changed |= self._strikes.pop(position, None) is not None

    def passed(self, partition: Partition, offset: int) -> None:
        """The group has committed `offset`: whoever did it, what lies below is done."""
        self.settle([each for each in self._strikes if each[:2] == partition and each.offset < offset])

    def forget(self, partitions: Collection[Partition]) -> None:
        """These are somebody else's now, and what becomes of their items is not heard here."""
        self.settle([each for each in self._strikes if each[:2] in partitions])

    def as_list(self) -> list[list[Any]]:
        return [[*position, strikes] for position, strikes in self._strikes.items()]


class _Call(NamedTuple):
    """`text` is what is written of it."""

    offsets: Mapping[Partition, Sequence[int]]
    alone: bool
    text: bytes


class CrashJournal:
    """The calls that are in the child now, written down before they are handed over: one small write a call."""

    def __init__(
        self,
        file: Path,
        offsets_of: Callable[[Sequence[int]], Mapping[Partition, Sequence[int]]],
        topic_ids: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`offsets_of` tokens leaves out where there is nothing to blame. Raises OSError where it cannot be written.

        A suspect of a topic whose id in `topic_ids` is another one by now is none.
        """
        self._suspects_file = file.with_suffix(".suspects.json")
        self._topic_ids = dict(topic_ids or {})
        self.suspects = Suspects(_strikes(_read_calls(file), _load(self._suspects_file), self._topic_ids))
        self._offsets_of = offsets_of
        self._clock = clock
        self._calls: dict[int, _Call] = {}
        file.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._write_calls()  # first: a kill between the two would count these calls twice
        self._write_suspects()
        self._written = -math.inf

    def begun(self, call_id: int, tokens: Sequence[int], *, alone: bool) -> None:
        offsets = self._offsets_of(tokens)
        text = orjson.dumps([alone, [[*partition, places] for partition, places in offsets.items()]])
        self._calls[call_id] = _Call(offsets, alone, text)
        self._write_calls()

    def ended(self, call_id: int) -> None:
        call = self._calls.pop(call_id, None)
        if self.suspects and call is not None and call.alone:
            self.suspects.settle(Position(*at, offset) for at, offsets in call.offsets.items() for offset in offsets)
        self._write_calls()
        if self.suspects.changed and self._clock() >= self._written + _BETWEEN_WRITES_S:
            self._write_suspects()

    def close(self) -> None:
        """An orderly end leaves no suspects but those of partitions that have not come back here."""
        self._calls.clear()
        self._write_calls()
        self._write_suspects()
        os.close(self._descriptor)

    def _write_calls(self) -> None:
        text = b"[" + b",".join([call.text for call in self._calls.values()]) + b"]"
        try:
            # The length first: what a longer text has left behind it is not read.
            os.pwrite(self._descriptor, b"%0*d" % (_LENGTH_DIGITS, len(text)) + text, 0)
        except OSError as error:
            _LOG.warning("journal_not_written", reason=str(error))

    def _write_suspects(self) -> None:
        self._written = self._clock()
        part = self._suspects_file.with_suffix(".part")
        try:
            part.write_bytes(orjson.dumps({"topics": self._topic_ids, "suspects": self.suspects.as_list()}))
            part.replace(self._suspects_file)
        except OSError as error:
            _LOG.warning("journal_not_written", reason=str(error))
        else:
            self.suspects.changed = False


def _read_calls(file: Path) -> Any:
    """What a worker of this slot has left; what cannot be read names nobody."""
    try:
        data = file.read_bytes()
        return orjson.loads(data[_LENGTH_DIGITS : _LENGTH_DIGITS + int(data[:_LENGTH_DIGITS])])
    except (OSError, ValueError):
        return []


def _load(file: Path) -> dict[str, Any]:
    try:
        found = orjson.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _strikes(calls: Any, found: Mapping[str, Any], topic_ids: Mapping[str, str]) -> dict[Position, int]:
    """What is left of the suspects, and behind them the calls that were never answered."""
    try:
        before = {_position(*place): min(max(int(n), 0), STRIKES) for *place, n in found.get("suspects", ())}
        strikes = dict(list(before.items())[-MOST_KEPT:])
        for alone, places in calls:
            for topic, partition, offsets in places:
                for offset in offsets:
                    position = _position(topic, partition, offset)
                    strikes[position] = strikes.pop(position, 0) + bool(alone)
        made = dict(found.get("topics", {}))
    except (TypeError, ValueError) as error:
        _LOG.warning("journal_unreadable", reason=str(error))
        return {}
    return {each: n for each, n in strikes.items() if made.get(each.topic) == topic_ids.get(each.topic)}


def _position(topic: Any, partition: Any, offset: Any) -> Position:
    if not (isinstance(topic, str) and isinstance(partition, int) and isinstance(offset, int)):
        raise TypeError("a position that is none")
    return Position(topic, partition, offset)
