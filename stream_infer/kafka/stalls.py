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


class StallWatch:
    """Told where reading stands, at times when nothing that was fetched is left to be taken. Times in seconds."""

    def __init__(self, look_every_s: float = 10.0, stalled_after_s: float = 30.0) -> None:
        self._every = look_every_s
        self._after = stalled_after_s
        self._next_look = 0.0
        self._standing: dict[Partition, _Standing] = {}

    def is_due(self, now: float) -> bool:
        return now >= self._next_look

    def look(
        self, places: Mapping[Partition, int], end_of: Callable[[Partition], int | None], now: float
    ) -> list[Partition]:
        """The partitions that have something to read and have not moved for too long.

        `places` are the next offsets of what is to be read, or NOWHERE. `end_of` a partition may take seconds to answer
        None, which excuses it: its broker is away. Then no other is asked for this time.
        """
        self._next_look = now + self._every
        standing: dict[Partition, _Standing] = {}
        stalled: list[Partition] = []
        answers = True
        for partition, place in places.items():
            before = self._standing.get(partition)
            if before is None or before.place != place:
                standing[partition] = _Standing(place, now)
                continue
            standing[partition] = before
            if now - before.since < self._after or not answers:
                continue
            end = end_of(partition)
            answers = end is not None
            if end is None or place >= end:
                standing[partition] = _Standing(place, now)
            else:
                stalled.append(partition)
        self._standing = standing
        return stalled
