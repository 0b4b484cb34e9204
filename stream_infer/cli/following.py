"""Following a job to its end: a live bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from rich.console import Console

from stream_infer.clients.gateway import Gateway
from stream_infer.clients.progress import lines_on, terminal_bar
from stream_infer.clients.waiting import Absence, job_ended
from stream_infer.errors import ServiceUnavailable
from stream_infer.gateway.representations import JobBody

T = TypeVar("T")


def follow(client: Gateway, job_id: str, console: Console) -> JobBody:
    """The job in its final state; shows on `console` how it gets there. Raises what `job_ended` raises."""
    if not console.is_terminal:
        return client.run(job_ended(job_id, timeout_s=None, seen=lines_on(console)))
    with terminal_bar(console) as show:
        return client.run(job_ended(job_id, timeout_s=None, seen=show))


def looks(
    look: Callable[[], T],
    every_s: float,
    sleep: Callable[[float], None] = time.sleep,
    now: Callable[[], float] = time.monotonic,
) -> Iterator[T]:
    """What `look` finds, every so many seconds. Raises ServiceUnavailable where the gateway is away for long."""
    absence = Absence(now)
    while True:
        try:
            found = look()
        except ServiceUnavailable:
            if absence.is_long():
                raise
        else:
            absence.end()
            yield found
        sleep(every_s)
