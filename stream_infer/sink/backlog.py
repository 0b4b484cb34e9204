"""What the finalizer has read of one status partition and not done yet. No I/O; time is an argument."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from stream_infer.jobs.status import JobStatus, Phase, State


class Step(StrEnum):
    """What a status asks of the finalizer."""

    UNSEAL = "unseal"
    HOOK = "hook"
    ASSEMBLE = "assemble"


@dataclass(frozen=True, slots=True)
class Task:
    """A step for a job, asked for by the status record at `offset`."""

    offset: int
    step: Step
    status: JobStatus

    @property
    def name(self) -> tuple[str, int, Step]:
        return (self.status.job_id, self.status.generation, self.step)

    @property
    def output(self) -> str | None:
        """The place that it writes to, where that is none of the store's own."""
        assemble = self.status.assemble
        return assemble.output if self.step is Step.ASSEMBLE and assemble is not None else None


def step_of(status: JobStatus) -> Step | None:
    """What is to be done for a job that stands so. One that was reopened is not complete: `_SUCCESS` has to go."""
    if status.state is not State.FINALIZING:
        return Step.UNSEAL if status.generation > 1 and not status.state.is_final else None
    match status.phase:
        case Phase.HOOK:
            return Step.HOOK
        case Phase.ASSEMBLE:
            return Step.ASSEMBLE
        case _:
            return None


class Backlog:
    """Only a job's latest status counts: an older one that still asks for a step has been overtaken.

    So steps are begun when the partition's end was seen, or `max_wait_s` after the first record where writing never
    pauses.
    """

    def __init__(self, linger_s: float, max_wait_s: float = 1.0) -> None:
        self._linger_s = linger_s
        self._max_wait_s = max_wait_s
        self._tasks: dict[str, Task] = {}
        self._done: dict[str, tuple[str, int, Step]] = {}
        self._position: int | None = None
        self._committed: int | None = None
        self._moved_at = 0.0
        self._at_end = False

    def see(self, job_id: str, offset: int, status: JobStatus | None, now: float) -> None:
        """The record at `offset`; None is a tombstone."""
        self._move(offset + 1, now)
        self._at_end = False
        step = None if status is None else step_of(status)
        if status is None or status.state.is_final:
            self._done.pop(job_id, None)
        self._tasks.pop(job_id, None)
        if status is not None and step is not None:
            task = Task(offset, step, status)
            if self._done.get(job_id) != task.name:
                self._tasks[job_id] = task

    def pass_over(self, offset: int, now: float) -> None:
        """The record at `offset` is one that nobody can read: what its job has asked for stands.

        Taken for a tombstone, a stranger's garbage under a job's key left the job in FINALIZING for ever.
        """
        self._move(offset + 1, now)
        self._at_end = False

    def end(self, offset: int, now: float) -> None:
        """Everything below `offset` has been read."""
        self._move(offset, now)
        self._at_end = True

    def tasks(self, now: float) -> list[Task]:
        """What may be begun, in the order of the records that ask for it."""
        if not self._tasks or not (self._at_end or now >= self._moved_at + self._max_wait_s):
            return []
        return sorted(self._tasks.values(), key=lambda task: task.offset)

    def current(self, task: Task) -> bool:
        """Whether the step is still asked for, by this record of the status or a later one."""
        latest = self._tasks.get(task.status.job_id)
        return latest is not None and latest.name == task.name

    def position_without(self, task: Task | None = None) -> int | None:
        """How far the group's place may go, once `task` is done."""
        left = [other.offset for other in self._tasks.values() if task is None or other.name != task.name]
        return min(left, default=self._position)

    def finished(self, task: Task, now: float) -> None:
        """The step's transaction is committed, with `position_without` it."""
        self.committed(self.position_without(task), now)
        self._tasks.pop(task.status.job_id, None)
        self._done[task.status.job_id] = task.name

    def committed(self, position: int | None, now: float) -> None:
        self._committed = position
        self._moved_at = now

    def idle_position(self, now: float) -> int | None:
        """A place to commit although no step is done: records that ask for nothing, and transaction markers."""
        position = self.position_without()
        if position is None or position <= (self._committed or 0):
            return None
        patience = min(self._linger_s, self._max_wait_s) if self._at_end else self._max_wait_s
        return position if now >= self._moved_at + patience else None

    def _move(self, position: int, now: float) -> None:
        if self._position is None or self._position <= (self._committed or 0):
            self._moved_at = now
        self._position = position
