"""What the gateway knows of all jobs: `{p}.jobs` and `{p}.status` in memory, on every replica alike."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from operator import attrgetter
from types import MappingProxyType
from typing import TypeAlias

from stream_infer.errors import ServiceUnavailable
from stream_infer.gateway.changes import Followers
from stream_infer.gateway.history import History, seen
from stream_infer.gateway.job_lists import JobLists, ListName, Place
from stream_infer.jobs.spec import Job, decode_job
from stream_infer.jobs.status import JobStatus, decode_status
from stream_infer.kafka.views import CompactedView
from stream_infer.settings import KafkaSettings
from stream_infer.topics import Topics

CATCH_UP_TIMEOUT_S = 5.0
# Every answer waits for it. Measured: a list takes 12 ms instead of 52 at the views' own 50 ms, for 0.6 % of a core.
_LOOK_EVERY_S = 0.01
_HOLD_S = 0.05
_ALL: ListName = ("all",)


@dataclass(frozen=True, slots=True)
class KnownJob:
    """A job's spec and its row; a row that the tracker has not written yet is that of a job just submitted."""

    job: Job
    status: JobStatus


ListsOf: TypeAlias = Callable[[KnownJob], Mapping[ListName, Place]]
"""The lists that a job stands in beside that of all, and where."""


def _no_lists(_known: KnownJob) -> Mapping[ListName, Place]:
    return MappingProxyType({})


class JobBoard:
    """Every read first reads to the end of both topics, so that a client sees its own writes on any replica.

    That costs one question for the ends, however many requests wait for it at the same time.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        loop: asyncio.AbstractEventLoop,
        retention_s: float,
        lists_of: ListsOf = _no_lists,
    ) -> None:
        self._retention_s = retention_s
        self._lists_of = lists_of
        self._lists = JobLists()
        topics = Topics(kafka.topic_prefix)
        self._loop = loop
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._histories: dict[str, History] = {}
        self.followers = Followers()
        key_of = attrgetter("job_id")
        hurry = {"look_every_s": _LOOK_EVERY_S, "hold_s": _HOLD_S}
        self._jobs = CompactedView(kafka, topics.jobs, decode_job, self._on_job, key_of=key_of, **hurry)
        self._statuses = CompactedView(kafka, topics.status, decode_status, self._on_status, key_of=key_of, **hurry)

    def start(self) -> None:
        """Blocks until both are read. Raises TopicMismatch or ServiceUnavailable."""
        self._jobs.begin()
        self._statuses.start()
        self._jobs.start()
        self._lists.settle(_ALL)

    def close(self) -> None:
        self._jobs.close()
        self._statuses.close()

    async def catch_up(self, timeout_s: float | None = None) -> None:
        """Returns once all that was committed before the call is seen. Raises ServiceUnavailable."""
        reached = (self._jobs.catch_up(), self._statuses.catch_up())
        await asyncio.gather(*(caught_up(one, timeout_s) for one in reached))

    async def find(self, job_id: str) -> KnownJob | None:
        """The job as of now."""
        await self.catch_up()
        return self.peek(job_id)

    async def all(self) -> Iterator[KnownJob]:
        """Every job, the newest first; each is looked at as it is asked for."""
        await self.catch_up()
        return (known for _, known in self.walk(_ALL, is_up=False))

    def behind(self, job: Job) -> Iterator[KnownJob]:
        """Those that come after `job` among all, as far as they were read."""
        return (known for _, known in self.walk(_ALL, _place(job), is_up=False))

    def walk(
        self, name: ListName, after: Place | None = None, *, is_up: bool = True
    ) -> Iterator[tuple[Place, KnownJob]]:
        """The jobs of a list that stand behind `after`, from the least place on or from the greatest down, as far as
        they were read. From any thread. Made one by one: of 10,000 jobs a page shows 20."""
        forgotten = time.time() - self._retention_s
        for place in self._lists.walk(name, after, is_up=is_up):
            job = self._jobs.get(place[1])
            known = None if job is None else _known(job, self._statuses.get(job.job_id), forgotten)
            if known is not None:
                yield place, known

    def forgotten(self) -> list[str]:
        """The ids of jobs of which only the spec is left, as far as was read: what `all` leaves out."""
        before = time.time() - self._retention_s
        jobs = self._jobs.snapshot().values()
        return [job.job_id for job in jobs if _known(job, self._statuses.get(job.job_id), before) is None]

    def has_job_of(self, api: str) -> bool:
        return any(job.api == api for job in self._jobs.snapshot().values())

    def history(self, job_id: str) -> History | None:
        """As far as it was read; None of a job of which no row was."""
        return self._histories.get(job_id)

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

    def _on_job(self, job_id: str, _job: Job | None) -> None:
        """On the view's thread."""
        self._lists.put(job_id, lambda: self._places(job_id))
        self._tell(job_id)

    def _on_status(self, job_id: str, status: JobStatus | None) -> None:
        """On the view's thread."""
        if status is None:
            self._histories.pop(job_id, None)
        else:
            self._histories[job_id] = seen(self._histories.get(job_id), status)
        self._lists.put(job_id, lambda: self._places(job_id))
        self._tell(job_id)

    def _places(self, job_id: str) -> Mapping[ListName, Place]:
        """Also of a job whose row is not there any more: who walks a list leaves it out."""
        job = self._jobs.get(job_id)
        if job is None:
            return {}
        return {_ALL: _place(job), **self._lists_of(KnownJob(job, _row(job, self._statuses.get(job_id))))}

    def _tell(self, job_id: str) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake, job_id)

    def _wake(self, job_id: str) -> None:
        for changed in self._waiting.get(job_id, ()):
            changed.set()
        self.followers.mark(job_id)


def is_ending(status: JobStatus) -> bool:
    return status.cause is not None or status.state.is_final


def _place(job: Job) -> Place:
    return job.submitted_at, job.job_id


def _known(job: Job, status: JobStatus | None, forgotten_before: float) -> KnownJob | None:
    """None for a job that is so old that the tracker has forgotten it."""
    if status is None and job.submitted_at < forgotten_before:
        return None
    return KnownJob(job, _row(job, status))


def _row(job: Job, status: JobStatus | None) -> JobStatus:
    return JobStatus(job_id=job.job_id, api=job.api, submitted_at=job.submitted_at) if status is None else status


async def caught_up(reached: Future[None], timeout_s: float | None = None) -> None:
    """Waits for a view, if nothing else is said for 5 s. Raises ServiceUnavailable."""
    timeout_s = CATCH_UP_TIMEOUT_S if timeout_s is None else timeout_s
    inner = asyncio.wrap_future(reached)
    # An error that comes after we have given up is nobody's; taken here, asyncio does not complain of it.
    inner.add_done_callback(lambda late: late.cancelled() or late.exception())
    # Shielded: cancelling the future itself would end the view's thread, which is about to resolve it.
    try:
        await asyncio.wait_for(asyncio.shield(inner), timeout_s)
    except TimeoutError:
        raise ServiceUnavailable(f"Kafka has not answered for {timeout_s:.0f} s where jobs stand") from None
