"""A job, as a coroutine sees it. What `job.py` has, with await."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar, Unpack

import anyio

from stream_infer.clients import calls
from stream_infer.clients.async_gateway import AsyncGateway
from stream_infer.clients.call import Request
from stream_infer.clients.following import AGAIN_AFTER_S, LogFollower
from stream_infer.clients.job_facts import JobFacts
from stream_infer.clients.progress import Progress, shown
from stream_infer.clients.replaying import Letters, job_replayed
from stream_infer.clients.rows import FAILURES, RESULTS, Failure, FolderWriter, FrameMaker, Kind, Result
from stream_infer.clients.waiting import job_ended
from stream_infer.errors import ServiceUnavailable
from stream_infer.gateway.dead_letters.bodies import ReplayBody
from stream_infer.gateway.representations import JobBody, LogLineBody

if TYPE_CHECKING:
    import pandas as pd

R = TypeVar("R")


class AsyncRows(AsyncIterator[R], Generic[R]):
    """Results, or failures, in the order of the job's items: an iterator that reads as it goes, once."""

    def __init__(self, gateway: AsyncGateway, request: Request, kind: Kind[R]) -> None:
        self._kind = kind
        self._lines = gateway.lines(request)

    def __aiter__(self) -> AsyncRows[R]:
        return self

    async def __anext__(self) -> R:
        return self._kind.read(json.loads(await anext(self._lines)))

    async def to_dataframe(self) -> pd.DataFrame:
        """A row each, all of them in memory; the members of an output are columns (`output.label`). Needs pandas."""
        maker = FrameMaker()
        async for line in self._lines:
            maker.take(line)
        return maker.frame()

    async def download(self, folder: str | os.PathLike[str]) -> Path:
        """All of them in `folder`: JSON lines in one file, whose path is returned, and a file for each output that
        is not JSON."""
        with FolderWriter(folder, self._kind) as writer:
            async for line in self._lines:
                writer.take(line)
        return writer.path


class AsyncJob(JobFacts):
    """A job. `status` is how it was when it was last looked at: `refresh()` and `wait()` look again."""

    def __init__(self, gateway: AsyncGateway, status: JobBody) -> None:
        super().__init__(status)
        self._gateway = gateway

    async def refresh(self) -> AsyncJob:
        """Looks at it again."""
        self.status = await self._gateway.ask(calls.job(self.id))
        return self

    async def wait(self, timeout: float | None = None, *, progress: Progress = True) -> AsyncJob:  # noqa: ASYNC109
        """Waits for its end, whatever that is, at most `timeout` seconds: then WaitTimeout, and the job goes on.

        `progress`: a bar on a terminal and in a notebook; False for none, or a function that is told of each look.
        """
        with shown(progress) as show:
            self.status = await self._gateway.run(job_ended(self.id, timeout_s=timeout, seen=show))
        return self

    async def stop(self) -> AsyncJob:
        """Stops it: items that have not begun are skipped, what is done stays."""
        self.status = await self._gateway.ask(calls.stop(self.id))
        return self

    async def replay(self, **letters: Unpack[Letters]) -> ReplayBody:
        """Runs its dead letters again, each once: all of them, or those that `letters` choose; needs a key that may
        `admin`. The job has to have ended, and goes on in its next generation: `wait()` waits for that one's end."""
        done, self.status = await self._gateway.run(job_replayed(self.id, letters))
        return done

    def results(self) -> AsyncRows[Result]:
        """What is stored so far."""
        return AsyncRows(self._gateway, calls.results(self.id), RESULTS)

    def failures(self) -> AsyncRows[Failure]:
        """The items that have failed so far."""
        return AsyncRows(self._gateway, calls.failures(self.id), FAILURES)

    def logs(self, *, follow: bool = False) -> AsyncIterator[LogLineBody]:
        """What was said about it so far, oldest first; with `follow`, until it has ended."""
        return follow_lines(self._gateway, self.id) if follow else past_lines(self._gateway, self.id)


async def past_lines(gateway: AsyncGateway, job_id: str) -> AsyncIterator[LogLineBody]:
    """Everything said about a job so far."""
    after: str | None = None
    has_more = True
    while has_more:
        page = await gateway.ask(calls.logs(job_id, after))
        for line in page.lines:
            yield line
        after, has_more = page.next, page.has_more


async def follow_lines(gateway: AsyncGateway, job_id: str) -> AsyncIterator[LogLineBody]:
    """Everything said about a job until it has ended."""
    follower = LogFollower(job_id)
    while not follower.has_ended:
        try:
            async for raw in gateway.lines(follower.request()):
                line = follower.take(raw)
                if line is not None:
                    yield line
            follower.stream_ended()
        except ServiceUnavailable as error:
            follower.require_patience(error)
        if not follower.has_ended:
            await anyio.sleep(AGAIN_AFTER_S)
