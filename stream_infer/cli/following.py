"""Following a job to its end: a live bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from stream_infer.cli.client import GatewayClient
from stream_infer.cli.job_tables import ended, progress_line
from stream_infer.errors import ServiceUnavailable
from stream_infer.gateway.representations import JobBody

T = TypeVar("T")
POLL_S = 0.5
LINE_EVERY_S = 2.0
PATIENCE_S = 60.0


@dataclass(slots=True)
class LinePace:
    """When a line is worth printing: at once when the state changes, else at most every 2 s and if it differs."""

    state: str = ""
    text: str = ""
    at: float = float("-inf")

    def is_due(self, job: JobBody, text: str, now: float) -> bool:
        due = job.state != self.state or (text != self.text and now - self.at >= LINE_EVERY_S)
        if due:
            self.state, self.text, self.at = job.state, text, now
        return due


def follow(client: GatewayClient, job_id: str, console: Console) -> JobBody:
    """The job in its final state; shows on `console` how it gets there. Raises what `observations` raises."""
    return _follow_live(client, job_id, console) if console.is_terminal else _follow_plainly(client, job_id, console)


def observations(
    look: Callable[[], JobBody], sleep: Callable[[float], None] = time.sleep, now: Callable[[], float] = time.monotonic
) -> Iterator[JobBody]:
    """The job twice a second, the last time in its final state. Raises ServiceUnavailable as `looks` does."""
    for job in looks(look, POLL_S, sleep, now):
        yield job
        if job.is_final:
            return


def looks(
    look: Callable[[], T],
    every_s: float,
    sleep: Callable[[float], None] = time.sleep,
    now: Callable[[], float] = time.monotonic,
) -> Iterator[T]:
    """What `look` finds, every so many seconds.

    A gateway that is away for less than a minute is waited for: jobs go on without it. Then ServiceUnavailable.
    """
    away_since: float | None = None
    while True:
        try:
            found = look()
        except ServiceUnavailable:
            away_since = now() if away_since is None else away_since
            if now() - away_since > PATIENCE_S:
                raise
        else:
            away_since = None
            yield found
        sleep(every_s)


def _follow_live(client: GatewayClient, job_id: str, console: Console) -> JobBody:
    columns = (TextColumn("{task.fields[state]}"), BarColumn(bar_width=None), TextColumn("{task.fields[line]}"))
    with Progress(*columns, console=console, transient=False, expand=True) as progress:
        task = progress.add_task("", total=None, state="", line="")
        for job in observations(lambda: client.job(job_id)):
            # Before everything is enqueued the size is unknown: the bar pulses.
            total = job.counts.enqueued if job.is_enqueued else None
            state, _, line = progress_line(job).partition(", ")
            progress.update(task, total=total, completed=ended(job), state=state, line=line)
    return job


def _follow_plainly(client: GatewayClient, job_id: str, console: Console) -> JobBody:
    pace = LinePace()
    for job in observations(lambda: client.job(job_id)):
        line = progress_line(job)
        if pace.is_due(job, line, time.monotonic()):
            console.print(f"{job_id}: {line}", markup=False, highlight=False, soft_wrap=True)
    return job
