"""How many workers a job wants, as its status says."""

from __future__ import annotations

from dataclasses import dataclass

from stream_infer.jobs.status import HinderedRole, JobStatus


@dataclass(frozen=True, slots=True)
class JobDemand:
    """A job that has work. `workers`: how many it wants, if it says so. `waiting`: items published and not ended."""

    workers: int | None
    waiting: int
    exhausted: bool
    is_halted: bool = False

    @property
    def wanted(self) -> int:
        """No more than it has items, once all of them are published."""
        wanted = self.workers or 1
        return max(1, min(wanted, self.waiting)) if self.exhausted else wanted


def job_demand(status: JobStatus) -> JobDemand | None:
    """None where there is nothing for a worker: also where its source cannot be read, and has given nothing."""
    gives_nothing = HinderedRole.INTAKE in status.hindrances and status.counts.waiting <= 0
    if not status.has_work or gives_nothing:
        return None
    return JobDemand(
        workers=status.workers,
        waiting=max(0, status.counts.waiting),
        exhausted=status.exhausted,
        is_halted=HinderedRole.WORKER in status.hindrances,
    )
