"""How much a worker reads ahead, and when it commits. Pure: time is passed in."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PacePolicy:
    """Bounds of one worker. Times in seconds.

    `batches_ahead` full micro-batches of items are at most between reading and the model's answer; `max_held` entries
    and `max_held_bytes` at most between reading and commit. `commit_interval`: under load at most one transaction in
    that time, so that a hundred workers make 500 deltas a second, where the tracker takes some 2,000; what one of
    them cannot hold goes at once. `rest`: from the end of one to the next; measured at 100 items a second, one that
    begins at once takes 80 ms, since the markers of the last are still being written, and 4 ms otherwise.
    `retry_delay` after a transaction that was aborted, doubling up to `retry_delay_cap`.
    """

    batches_ahead: int
    max_held: int
    max_held_bytes: int
    commit_interval: float = 0.2
    rest: float = 0.01
    max_transaction_entries: int = 20_000
    max_transaction_bytes: int = 8 * 1024 * 1024
    retry_delay: float = 0.2
    retry_delay_cap: float = 5.0

    def may_wait(self, partitions: int) -> tuple[int, int]:
        """How many entries, and bytes, may wait here of each of so many partitions before it is paused.

        Together half of what is held, however many they are: the other half is for what can be worked on.
        """
        share = 2 * max(1, partitions)
        return max(1, self.max_held // share), max(1, self.max_held_bytes // share)


@dataclass(slots=True)
class Pace:
    """When the last transaction was, and how it went."""

    policy: PacePolicy
    _next_commit: float = 0.0
    _rested: float = 0.0
    _aborted_in_a_row: int = 0

    def room(self, pending: int, held: int, held_bytes: int, *, batch_size: int, depth: int = 0) -> int:
        """How many more records may be read now. `depth`: micro-batches that may be in the predictor's process."""
        if held_bytes >= self.policy.max_held_bytes:
            return 0
        return max(
            0, min(max(self.policy.batches_ahead, 2 * depth) * batch_size - pending, self.policy.max_held - held)
        )

    def is_commit_due(self, now: float, *, idle: bool, held: int) -> bool:
        """At once when there is nothing else to do or no room left, else once an interval; after an abort, when its
        delay is over."""
        if now >= self._next_commit:
            return True
        return self.may_begin(now) and (idle or held >= self.policy.max_held)

    def may_begin(self, now: float) -> bool:
        """Whether a transaction may begin: not at once after another; after an abort, when its delay is over."""
        return now >= (self._next_commit if self._aborted_in_a_row else self._rested)

    def committed(self, now: float) -> None:
        self._aborted_in_a_row = 0
        self._rested = now + self.policy.rest
        self._next_commit = now + self.policy.commit_interval

    def aborted(self, now: float) -> float:
        """Notes that it has to be done again; answers the delay."""
        delay = min(self.policy.retry_delay * 2.0**self._aborted_in_a_row, self.policy.retry_delay_cap)
        self._aborted_in_a_row += 1
        self._next_commit = now + delay
        return delay
