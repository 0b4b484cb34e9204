"""What has been read of one partition and is not in the store yet. No I/O; time is an argument."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

from stream_infer.settings import SinkSettings
from stream_infer.sink.names import Destination
from stream_infer.sink.packed_lines import Line, PackedLines

# Seconds between two flushes for jobs that wait for it: each closes what is held of all others, too.
_AWAITED_EVERY_S = 1.0
_LINE_OVERHEAD = 48  # bytes of memory a line costs beside its own: three numbers, and what its columns have spare


@dataclass(frozen=True, slots=True)
class Closed:
    """The buffers of a partition at one moment, and the position that is true once they are in the store."""

    lines: dict[Destination, PackedLines]
    position: int
    bytes: int


class PartitionBuffer:
    """Many jobs in one partition, and one position for all of them.

    The position is the offset after the last record, or the end of the partition where that was seen: transaction
    markers take offsets, and lag has to reach exactly 0.
    """

    def __init__(self) -> None:
        self.bytes = 0
        self._lines: dict[Destination, PackedLines] = {}
        self._position: int | None = None
        self._committed: int | None = None
        self._moved_at = 0.0
        self._at_end = False

    def add(self, destination: Destination, line: Line, now: float) -> None:
        self._move(line.offset + 1, now)
        self._at_end = False
        lines = self._lines.get(destination)
        if lines is None:
            lines = self._lines[destination] = PackedLines()
        lines.append(line)
        self.bytes += len(line.data) + _LINE_OVERHEAD

    def end(self, offset: int, now: float) -> None:
        """Everything below `offset` has been read."""
        self._move(offset, now)
        self._at_end = True

    def committed(self, offset: int) -> None:
        """The group's place is `offset`: as read at the assignment, or as closed and committed since."""
        self._committed = offset

    def due_in(self, policy: SinkSettings, now: float, awaited: Container[str] = ()) -> float | None:
        """Seconds until the buffers are to be closed, 0 or less for now; None while there is nothing to commit.

        Past bug: 100 items behind a million ended in seconds, and their job 10 s later, since the partition had no end.
        So what lies here of a job that is `awaited` does not wait for its age.
        """
        if not self.has_moved:
            return None
        if self.bytes >= policy.flush_bytes:
            return 0.0
        age = policy.flush_age
        if self._at_end:
            age = min(policy.eof_linger, age)
        elif any(destination.job_id in awaited for destination in self._lines):
            age = min(max(policy.eof_linger, _AWAITED_EVERY_S), age)
        return self._moved_at + age - now

    @property
    def since(self) -> float | None:
        """When the first of what is not closed came, in the seconds that were passed in; None: there is nothing."""
        return self._moved_at if self.has_moved else None

    @property
    def has_moved(self) -> bool:
        return self._position is not None and self._position > (self._committed or 0)

    def close(self) -> Closed:
        """Empties the buffers. What was closed counts as committed: on any failure the whole buffer is thrown away."""
        assert self._position is not None
        closed = Closed(self._lines, self._position, self.bytes)
        self._lines = {}
        self.bytes = 0
        self._committed = self._position
        return closed

    def _move(self, position: int, now: float) -> None:
        if not self.has_moved:
            self._moved_at = now
        self._position = position
