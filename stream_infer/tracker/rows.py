"""The rows of one partition, and what of them has changed since they were last written. No I/O."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from stream_infer.jobs.events import Event, TimeoutReached
from stream_infer.jobs.lifecycle import fold, is_timed_out
from stream_infer.jobs.status import JobStatus


@dataclass(frozen=True, slots=True)
class Changes:
    """Rows to write (None: a tombstone), and the progress offset to go on from once they are, None where it stays.

    `entered`: the row at each change of a job's state, in their order. `events`: how many were folded.
    """

    rows: dict[str, JobStatus | None]
    next_offset: int | None
    entered: tuple[JobStatus, ...] = ()
    events: int = 0


@dataclass(slots=True)
class PartitionRows:
    """Every known job of one partition by its id, as restored from `{p}.status` and folded since."""

    rows: dict[str, JobStatus]
    _changed: set[str] = field(default_factory=set)
    _entered: list[JobStatus] = field(default_factory=list)
    _next_offset: int | None = None
    _events: int = 0

    def fold(self, event: Event | None, offset: int) -> None:
        """Folds the record at `offset`; one that is no event of ours (None) is passed over."""
        self._next_offset = offset + 1
        if event is None:
            return
        self._events += 1
        before = self.rows.get(event.job_id)
        after = fold(before, event, offset)
        if after is not None and after is not before:
            self.rows[event.job_id] = after
            self._changed.add(event.job_id)
            if before is None or after.state is not before.state:
                self._entered.append(after)

    def all(self) -> list[JobStatus]:
        """Of every job; from any thread."""
        return list(self.rows.values())

    def overdue(self, now: float) -> Iterator[TimeoutReached]:
        """What the timer has to say on `{p}.progress`; `now` in seconds since the epoch."""
        for row in self.rows.values():
            if is_timed_out(row, now):
                yield TimeoutReached(job_id=row.job_id, at=now, generation=row.generation)

    def forget_older_than(self, retention: float, now: float) -> None:
        """Drops the jobs that ended more than `retention` seconds ago; each leaves a tombstone to write."""
        for job_id, row in list(self.rows.items()):
            if row.state.is_final and now - row.times.get(row.state.value, now) > retention:
                del self.rows[job_id]
                self._changed.add(job_id)

    def take_changes(self) -> Changes:
        """What has to be written. Forgotten here: whoever cannot write it has to restore the rows."""
        rows = {job_id: self.rows.get(job_id) for job_id in self._changed}
        changes = Changes(rows, self._next_offset, tuple(self._entered), self._events)
        self._changed, self._entered = set(), []
        self._next_offset, self._events = None, 0
        return changes

    @property
    def has_changes(self) -> bool:
        return bool(self._changed) or self._next_offset is not None
