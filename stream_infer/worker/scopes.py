"""Which items share a micro-batch where each job has an instance of the predictor, and the job as that sees it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from stream_infer.engine.task import Scope
from stream_infer.engine.wire import pack_job
from stream_infer.headers import ordinal_of
from stream_infer.jobs.spec import Job
from stream_infer.predictors.protocol import Job as DescribedJob
from stream_infer.records import Item
from stream_infer.worker.known_jobs import KnownJobs

JOBLESS: Final = Scope(None)
_MOST_REMEMBERED = 1000


def described(job: Job) -> DescribedJob:
    """The job in the words of a predictor."""
    return DescribedJob(
        id=job.job_id,
        config=job.config,
        api=job.api,
        workers=job.workers or 1,
        batch_size=job.batch_size,
        items=job.items,
        submitted_at=job.submitted_at,
    )


class Scopes:
    """A job is cut into parts of as many items as a call may have: what is read again makes the same micro-batches.

    `batch_size_of` is the size for a job that wants such a one, None: any. Used on the loop's thread.
    """

    def __init__(self, jobs: KnownJobs, batch_size_of: Callable[[int | None], int]) -> None:
        self._jobs = jobs
        self._batch_size_of = batch_size_of
        self._known: dict[str, tuple[int, bytes]] = {}

    def of(self, item: Item) -> Scope:
        """Items that name a job which nobody has submitted are those of none."""
        known = None if item.job_id is None else self._lookup(item.job_id)
        if known is None or item.job_id is None:
            return JOBLESS
        most, packed = known
        ordinal = ordinal_of(item.job_id, item.item_id)
        return Scope(item.job_id, None if ordinal is None else ordinal // most, most, packed)

    def _lookup(self, job_id: str) -> tuple[int, bytes] | None:
        known = self._known.get(job_id)
        if known is None:
            job = self._jobs.job(job_id)
            if job is None:
                return None
            if len(self._known) >= _MOST_REMEMBERED:
                self._known.clear()
            known = self._batch_size_of(job.batch_size), pack_job(described(job))
            self._known[job_id] = known
        # Each time: a replay has it begin again after it has ended.
        self._jobs.ended.served.add(job_id)
        return known
