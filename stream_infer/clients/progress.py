"""How far a job is, while it is waited for: a bar on a terminal and in a notebook, lines or nothing elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any, TypeAlias

from stream_infer.gateway.representations import JobBody

if TYPE_CHECKING:
    from rich.console import Console

LINE_EVERY_S = 2.0
Show: TypeAlias = Callable[[JobBody], None]
# True: a bar, where somebody sees it. A function is told of each look at the job.
Progress: TypeAlias = bool | Show


def eta(job: JobBody) -> float | None:
    """Seconds until its last item ends at the present rate, or None where that cannot be said."""
    if not job.is_enqueued or job.rate <= 0:
        return None
    return job.counts.waiting / job.rate


def ended(job: JobBody) -> int:
    return job.counts.succeeded + job.counts.rejected + job.counts.skipped


def progress_line(job: JobBody) -> str:
    """A job on one line, for logs and pipes."""
    size = f"{job.counts.enqueued}" if job.is_enqueued else f"{job.counts.enqueued}+"
    parts = [f"{job.state}", f"{ended(job)}/{size} {'item' if size == '1' else 'items'}"]
    if job.counts.rejected:
        parts.append(f"{job.counts.rejected} failed")
    if job.counts.skipped:
        parts.append(f"{job.counts.skipped} skipped")
    if job.rate and not job.is_final:
        parts.append(f"{job.rate:,.0f} items/s")
    left = eta(job)
    if left is not None and job.counts.waiting:
        parts.append(f"{duration(left)} left")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """Rounded up to what matters: 0:05, 12:30, 3:00:00."""
    whole = max(0, round(seconds))
    hours, rest = divmod(whole, 3600)
    minutes, second = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{second:02}" if hours else f"{minutes}:{second:02}"


@contextmanager
def shown(progress: Progress) -> Iterator[Show]:
    """What is to be told of each look at the job."""
    if callable(progress):
        yield progress
    elif not progress:
        yield _nothing
    elif is_notebook():
        yield NotebookBar().show
    elif sys.stderr.isatty():
        from rich.console import Console

        with terminal_bar(Console(stderr=True)) as show:
            yield show
    else:
        yield _nothing


@contextmanager
def terminal_bar(console: Console) -> Iterator[Show]:
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.fields[state]}"), BarColumn(bar_width=None), TextColumn("{task.fields[line]}"))
    with Bar(*columns, console=console, transient=False, expand=True) as bar:
        task = bar.add_task("", total=None, state="", line="")

        def show(job: JobBody) -> None:
            # Before everything is enqueued the size is unknown: the bar pulses.
            total = job.counts.enqueued if job.is_enqueued else None
            state, _, line = progress_line(job).partition(", ")
            bar.update(task, total=total, completed=ended(job), state=state, line=line)

        yield show


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


def lines_on(console: Console, now: Callable[[], float] = time.monotonic) -> Show:
    pace = LinePace()

    def show(job: JobBody) -> None:
        line = progress_line(job)
        if pace.is_due(job, line, now()):
            console.print(f"{job.job_id}: {line}", markup=False, highlight=False, soft_wrap=True)

    return show


class NotebookBar:
    """A bar in a cell's output, of plain HTML: the notebook keeps how it stood in the end, and nothing but IPython is
    needed. (rich and tqdm draw theirs with ipywidgets, and warn where that is not installed.)"""

    def __init__(self) -> None:
        self._handle: Any = None

    def show(self, job: JobBody) -> None:
        from IPython import display

        draw: Any = display.display  # typed in no version, or not at all
        drawn = {"text/html": bar_html(job), "text/plain": progress_line(job)}
        if self._handle is None:
            self._handle = draw(drawn, raw=True, display_id=True)
        else:
            self._handle.update(drawn, raw=True)


def bar_html(job: JobBody) -> str:
    """Without a value, while the size is not known, a browser draws a bar that moves."""
    is_sized = job.is_enqueued and job.counts.enqueued
    value = f' value="{ended(job)}" max="{job.counts.enqueued}"' if is_sized else ""
    value = ' value="1" max="1"' if job.is_final and not is_sized else value
    bar = f'<progress style="width: 24em; vertical-align: middle"{value}></progress>'
    return f"<div>{bar} <code>{escape(job.job_id)}</code> {escape(progress_line(job))}</div>"


def is_notebook() -> bool:
    """Whether this runs in the kernel of a notebook; IPython is not imported for that."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and hasattr(shell, "kernel")


def _nothing(_job: JobBody) -> None:
    """Nobody looks."""
