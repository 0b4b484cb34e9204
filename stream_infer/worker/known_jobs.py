"""What a worker knows of jobs: their config, whether they go on, and which ones it has just failed itself."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future
from typing import Protocol

from stream_infer.jobs.spec import Job
from stream_infer.jobs.status import JobStatus
from stream_infer.records import Item


class JobsView(Protocol):
    def get(self, key: str) -> Job | None: ...

    def catch_up(self) -> Future[None]: ...


class StatusView(Protocol):
    def get(self, key: str) -> JobStatus | None: ...

    def catch_up(self) -> Future[None]: ...


class EndingJobs:
    """Jobs whose items are to be skipped from now on. `note` is called on the thread of the view of `status`."""

    def __init__(self) -> None:
        self._noted: deque[str] = deque()

    def note(self, job_id: str, status: JobStatus | None) -> None:
        if status is not None and status.is_skipping and not status.state.is_final:
            self._noted.append(job_id)

    def take(self) -> set[str]:
        """Those noted since the last call."""
        return {self._noted.popleft() for _ in range(len(self._noted))}


class EndedJobs:
    """Jobs that have an instance here and have ended. `note` is called on the thread of the view of `status`."""

    def __init__(self) -> None:
        self.served: set[str] = set()
        self._noted: deque[str] = deque()

    def note(self, job_id: str, status: JobStatus | None) -> None:
        if job_id in self.served and (status is None or status.state.is_final):
            self._noted.append(job_id)

    def take(self) -> set[str]:
        """Those noted since the last call; they are served no more."""
        taken = {self._noted.popleft() for _ in range(len(self._noted))}
        self.served -= taken
        return taken


class KnownJobs:
    """The views of `jobs` and `status`, and what this worker has decided and they do not show yet."""

    def __init__(self, jobs: JobsView, status: StatusView, ending: EndingJobs, ended: EndedJobs | None = None) -> None:
        self._jobs = jobs
        self._status = status
        self._failed: set[tuple[str, int]] = set()
        self.ending = ending
        self.ended = ended or EndedJobs()

    def job(self, job_id: str) -> Job | None:
        return self._jobs.get(job_id)

    def status(self, job_id: str) -> JobStatus | None:
        return self._status.get(job_id)

    def is_known(self, job_id: str) -> bool:
        """Its spec, too: the view of `jobs` may be behind that of `status`, and the spec says what becomes of items."""
        return self._status.get(job_id) is not None and self._jobs.get(job_id) is not None

    def catch_up(self) -> Future[None]:
        """Of both views."""
        return _both(self._status.catch_up(), self._jobs.catch_up())

    def is_skipping(self, item: Item) -> bool:
        """Whether the item's job is ending otherwise than by itself."""
        if item.job_id is None:
            return False
        status = self._status.get(item.job_id)
        return (status is not None and status.skips(item.generation)) or (item.job_id, item.generation) in self._failed

    def fail(self, job_id: str, generation: int) -> None:
        """Skips the rest of the job from here on, before the status says so."""
        self._failed.add((job_id, generation))

    def has_failed(self, job_id: str, generation: int) -> bool:
        """Whether this worker has failed it."""
        return (job_id, generation) in self._failed

    def max_ratio(self, job_id: str, default: float) -> float:
        """The job's own bound on failures in the predictor."""
        job = self._jobs.get(job_id)
        return default if job is None or job.breaker is None else job.breaker.max_ratio


def _both(first: Future[None], second: Future[None]) -> Future[None]:
    """Done when both are; fails as the first of them that fails."""
    both: Future[None] = Future()

    def take(ended: Future[None], then: Future[None] | None) -> None:
        error = ended.exception()
        if error is not None:
            both.set_exception(error)
        elif then is None:
            both.set_result(None)
        else:
            then.add_done_callback(lambda done: take(done, None))

    first.add_done_callback(lambda done: take(done, second))
    return both
