"""A job, as a thread sees it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar, Unpack

from stream_infer.clients import calls
from stream_infer.clients.call import Request
from stream_infer.clients.following import AGAIN_AFTER_S, LogFollower
from stream_infer.clients.gateway import Gateway
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


class Rows(Iterator[R], Generic[R]):
    """Results, or failures, in the order of the job's items: an iterator that reads as it goes, once."""

    def __init__(self, gateway: Gateway, request: Request, kind: Kind[R]) -> None:
        self._kind = kind
        self._lines = gateway.lines(request)

    def __iter__(self) -> Rows[R]:
        return self

    def __next__(self) -> R:
        return self._kind.read(json.loads(next(self._lines)))

    def to_dataframe(self) -> pd.DataFrame:
        """A row each, all of them in memory; the members of an output are columns (`output.label`). Needs pandas."""
        maker = FrameMaker()
        for line in self._lines:
            maker.take(line)
        return maker.frame()

    def download(self, folder: str | os.PathLike[str]) -> Path:
        """All of them in `folder`: JSON lines in one file, whose path is returned, and a file for each output that
        is not JSON."""
        with FolderWriter(folder, self._kind) as writer:
            for line in self._lines:
                writer.take(line)
        return writer.path


class Job(JobFacts):
    """A job. `status` is how it was when it was last looked at: `refresh()` and `wait()` look again."""

    def __init__(self, gateway: Gateway, status: JobBody) -> None:
        super().__init__(status)
        self._gateway = gateway

    def refresh(self) -> Job:
        """Looks at it again."""
        self.status = self._gateway.ask(calls.job(self.id))
        return self

    def wait(self, timeout: float | None = None, *, progress: Progress = True) -> Job:
        """Waits for its end, whatever that is, at most `timeout` seconds: then WaitTimeout, and the job goes on.

        `progress`: a bar on a terminal and in a notebook; False for none, or a function that is told of each look.
        """
        with shown(progress) as show:
            self.status = self._gateway.run(job_ended(self.id, timeout_s=timeout, seen=show))
        return self

    def stop(self) -> Job:
        """Stops it: items that have not begun are skipped, what is done stays."""
        self.status = self._gateway.ask(calls.stop(self.id))
        return self

    def replay(self, **letters: Unpack[Letters]) -> ReplayBody:
        """Runs its dead letters again, each once: all of them, or those that `letters` choose; needs a key that may
        `admin`. The job has to have ended, and goes on in its next generation: `wait()` waits for that one's end."""
        done, self.status = self._gateway.run(job_replayed(self.id, letters))
        return done

    def results(self) -> Rows[Result]:
        """What is stored so far."""
        return Rows(self._gateway, calls.results(self.id), RESULTS)

    def failures(self) -> Rows[Failure]:
        """The items that have failed so far."""
        return Rows(self._gateway, calls.failures(self.id), FAILURES)

    def logs(self, *, follow: bool = False) -> Iterator[LogLineBody]:
        """What was said about it so far, oldest first; with `follow`, until it has ended."""
        return follow_lines(self._gateway, self.id) if follow else past_lines(self._gateway, self.id)


def past_lines(gateway: Gateway, job_id: str) -> Iterator[LogLineBody]:
    """Everything said about a job so far."""
    after: str | None = None
    has_more = True
    while has_more:
        page = gateway.ask(calls.logs(job_id, after))
        yield from page.lines
        after, has_more = page.next, page.has_more


def follow_lines(gateway: Gateway, job_id: str) -> Iterator[LogLineBody]:
    """Everything said about a job until it has ended."""
    follower = LogFollower(job_id)
    while not follower.has_ended:
        try:
            for raw in gateway.lines(follower.request()):
                line = follower.take(raw)
                if line is not None:
                    yield line
            follower.stream_ended()
        except ServiceUnavailable as error:
            follower.require_patience(error)
        if not follower.has_ended:
            time.sleep(AGAIN_AFTER_S)
