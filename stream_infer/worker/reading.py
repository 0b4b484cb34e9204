"""How much is read, and of which partitions: what is waiting here bounds both."""

from __future__ import annotations

import time
from collections.abc import Sequence

from stream_infer.kafka.consumer import GroupConsumer, Partition
from stream_infer.records import EndOfPartition, Run
from stream_infer.worker.admission import Admission
from stream_infer.worker.ledger import Ledger
from stream_infer.worker.pace import Pace

_FULL_BEFORE_PAUSE_S = 5.0


class Reading:
    """Polls the consumer, and pauses partitions of which enough is here. Used on the loop's thread."""

    def __init__(self, ledger: Ledger, admission: Admission, pace: Pace, *, look_at_full_s: float = 0.25) -> None:
        self._ledger = ledger
        self._admission = admission
        self._pace = pace
        self._look_at_full_s = look_at_full_s
        self._full_since: float | None = None
        self._paused: set[Partition] = set()
        self._looked_at = 0.0
        self._enough: set[Partition] = set()

    def read(self, consumer: GroupConsumer, room: int, timeout_s: float) -> list[Run | EndOfPartition]:
        """Polls for at most `room` records. Full for long: paused and polled, so that the group keeps this member.

        Pausing drops what librdkafka has prefetched, so a moment's fullness just leaves the queue alone.
        """
        now = time.monotonic()
        if room:
            self._full_since = None
            self._pause(consumer, self._overfull(now))
            return consumer.poll_runs(room, timeout_s)
        self._full_since = self._full_since or now
        if now - self._full_since < _FULL_BEFORE_PAUSE_S:
            return []
        return self.hold(consumer)

    def hold(self, consumer: GroupConsumer) -> list[Run | EndOfPartition]:
        """Polls with everything paused: what comes yet was on its way."""
        self._pause(consumer, set(self._ledger.partitions()))
        return consumer.poll_runs(1, 0.0)

    def begin(self, partitions: Sequence[Partition]) -> None:
        """What is assigned is not paused, and what stays may be: librdkafka keeps it so."""
        self._paused -= set(partitions)

    def end(self, partitions: Sequence[Partition]) -> None:
        self._paused -= set(partitions)
        self._enough -= set(partitions)

    def _overfull(self, now: float) -> set[Partition]:
        """Of which enough is waiting here: paused at once, and read on some time after some of it is due."""
        if not self._ledger.is_waiting or now >= self._looked_at + self._look_at_full_s:
            self._looked_at = now
            self._enough = set()
        if self._ledger.is_waiting:
            self._enough |= self._admission.overfull(self._ledger.partitions(), self._pace.policy.may_wait)
        return self._enough

    def _pause(self, consumer: GroupConsumer, wanted: set[Partition]) -> None:
        if wanted == self._paused:
            return
        ours = set(self._ledger.partitions())
        consumer.pause(sorted((wanted - self._paused) & ours))
        consumer.resume(sorted((self._paused - wanted) & ours))
        self._paused = wanted & ours
