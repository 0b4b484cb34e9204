"""What the gateway knows of all jobs: `{p}.jobs` and `{p}.status` in memory, on every replica alike."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from concurrent.futures import Future
from dataclasses import dataclass
from operator import attrgetter

from stream_infer.errors import ServiceUnavailable
from stream_infer.jobs.spec import Job, decode_job
from stream_infer.jobs.status import JobStatus, decode_status
from stream_infer.kafka.views import CompactedView
from stream_infer.settings import KafkaSettings
from stream_infer.topics import Topics

CATCH_UP_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class KnownJob:
    """A job's spec and its row; a row that the tracker has not written yet is that of a job just submitted."""

    job: Job
    status: JobStatus


class JobBoard:
    """Every read first reads to the end of both topics, so that a client sees its own writes on any replica.

    That costs one question for the ends, however many requests wait for it at the same time.
    """

    def __init__(self, kafka: KafkaSettings, loop: asyncio.AbstractEventLoop, retention_s: float) -> None:
        self._retention_s = retention_s
        topics = Topics(kafka.topic_prefix)
        self._loop = loop
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._jobs = CompactedView(kafka, topics.jobs, decode_job, key_of=attrgetter("job_id"))
        self._statuses = CompactedView(
            kafka, topics.status, decode_status, self._on_status, key_of=attrgetter("job_id")
        )

    def start(self) -> None:
        """Blocks until both are read. Raises TopicMismatch or ServiceUnavailable."""
        self._jobs.start()
        self._statuses.start()

    def close(self) -> None:
        self._jobs.close()
        self._statuses.close()

    async def catch_up(self, timeout_s: float = CATCH_UP_TIMEOUT_S) -> None:
        """Returns once all that was committed before the call is seen. Raises ServiceUnavailable."""
        await asyncio.gather(_done(self._jobs.catch_up(), timeout_s), _done(self._statuses.catch_up(), timeout_s))

    async def find(self, job_id: str) -> KnownJob | None:
        """The job as of now."""
        await self.catch_up()
        return self.peek(job_id)

    async def all(self) -> list[KnownJob]:
        """Every job, the newest first."""
        await self.catch_up()
        statuses = self._statuses.snapshot()
        forgotten = time.time() - self._retention_s
        known = [_known(job, statuses.get(job_id), forgotten) for job_id, job in self._jobs.snapshot().items()]
        return sorted(
            (entry for entry in known if entry is not None),
            key=lambda entry: (-entry.job.submitted_at, entry.job.job_id),
        )

    def peek(self, job_id: str) -> KnownJob | None:
        """The job as far as it was read; free of charge."""
        job = self._jobs.get(job_id)
        return None if job is None else _known(job, self._statuses.get(job_id), time.time() - self._retention_s)

    async def wait_until_ending(self, job_id: str, timeout_s: float) -> KnownJob | None:
        """The job once its row shows a cause or a final state, or as it is when the time is up."""
        deadline = time.monotonic() + timeout_s
        changed = asyncio.Event()
        self._waiting[job_id].add(changed)
        try:
            while True:
                changed.clear()
                known = self.peek(job_id)
                left = deadline - time.monotonic()
                if known is None or left <= 0 or is_ending(known.status):
                    return known
                try:
                    await asyncio.wait_for(changed.wait(), left)
                except TimeoutError:
                    return self.peek(job_id)
        finally:
            self._waiting[job_id].discard(changed)
            if not self._waiting[job_id]:
                del self._waiting[job_id]

    def _on_status(self, job_id: str, _status: JobStatus | None) -> None:
        """On the view's thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake, job_id)

    def _wake(self, job_id: str) -> None:
        for changed in self._waiting.get(job_id, ()):
            changed.set()


def is_ending(status: JobStatus) -> bool:
    return status.cause is not None or status.state.is_final


def _known(job: Job, status: JobStatus | None, forgotten_before: float) -> KnownJob | None:
    """None for a job that is so old that the tracker has forgotten it."""
    if status is None and job.submitted_at < forgotten_before:
        return None
    row = JobStatus(job_id=job.job_id, api=job.api, submitted_at=job.submitted_at) if status is None else status
    return KnownJob(job, row)


async def _done(reached: Future[None], timeout_s: float) -> None:
    inner = asyncio.wrap_future(reached)
    # An error that comes after we have given up is nobody's; taken here, asyncio does not complain of it.
    inner.add_done_callback(lambda late: late.cancelled() or late.exception())
    # Shielded: cancelling the future itself would end the view's thread, which is about to resolve it.
    try:
        await asyncio.wait_for(asyncio.shield(inner), timeout_s)
    except TimeoutError:
        raise ServiceUnavailable(f"Kafka has not answered for {timeout_s:.0f} s where jobs stand") from None
