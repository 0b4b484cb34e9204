"""Notices that librdkafka has stopped reading a partition. Pure: time and the broker's answers are passed in.

Measured (librdkafka 2.16, brokers stopped and restarted under load): a member that was expelled and came back waits for
ever for the offsets of its new partitions, while the broker gives them to anybody else who asks. Nothing says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from stream_infer.kafka.offsets import Partition

# A place that librdkafka has not found yet. At an empty partition it still tells of the end.
NOWHERE = -1


class _Standing(NamedTuple):
    place: int
    since: float
    """When it came here, or was last seen at the end; once it is behind, when that was first seen."""
    is_behind: bool = False


class StallWatch:
    """Told where reading stands, at times when nothing that was fetched is left to be taken. Times in seconds."""

    def __init__(self, look_every_s: float = 5.0, ask_every_s: float = 10.0, stalled_after_s: float = 25.0) -> None:
        self._look_every = look_every_s
        self._ask_every = ask_every_s
        self._after = stalled_after_s
        self._next_look = 0.0
        self._standing: dict[Partition, _Standing] = {}

    def is_due(self, now: float) -> bool:
        return now >= self._next_look

    def look(
        self, places: Mapping[Partition, int], end_of: Callable[[Partition], int | None], now: float
    ) -> list[Partition]:
        """The partitions that have had something to read, and have not moved, for too long.

        `places` are the next offsets of what is to be read, or NOWHERE. `end_of` a partition may take seconds to answer
        None, which excuses it: its broker is away. Then no other is asked for this time; they come first at the next.

        Having stood for long is not enough: on a quiet partition a record may have come this moment (once, for a worker
        and an intake that were stopped by it).
        """
        self._next_look = now + self._look_every
        standing: dict[Partition, _Standing] = {}
        stalled: list[Partition] = []
        answers = True
        for partition in sorted(places, key=self._since):
            place, before = places[partition], self._standing.get(partition)
            if before is None or before.place != place:
                standing[partition] = _Standing(place, now)
                continue
            standing[partition] = before
            is_due = now - before.since >= (self._after if before.is_behind else self._ask_every)
            if not is_due or not answers:
                continue
            end = end_of(partition)
            answers = end is not None
            if end is None or place >= end:
                standing[partition] = _Standing(place, now)
            elif before.is_behind:
                stalled.append(partition)
            else:
                standing[partition] = _Standing(place, now, is_behind=True)
        self._standing = standing
        return stalled

    def _since(self, partition: Partition) -> float:
        before = self._standing.get(partition)
        return 0.0 if before is None else before.since
