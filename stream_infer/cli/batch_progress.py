"""How far a batch is: a bar on a terminal, a line every ten seconds elsewhere. All of it on stderr."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from stream_infer.batch.run import Wish
from stream_infer.batch.session import Progress
from stream_infer.cli.console import open_console

LINE_EVERY_S = 10.0
_BAR_EVERY_S = 0.1


@contextmanager
def open_progress(progress: Progress, wish: Wish) -> Iterator[Callable[[], None]]:
    """Yields what is to be called whenever something may have changed; cheap, however often."""
    console = open_console(stderr=True)
    if not console.is_terminal:
        yield _lines(progress, wish, console)
        return
    columns = (
        TextColumn("{task.fields[state]}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("{task.fields[line]}"),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=console, expand=True, auto_refresh=False) as bar:
        # Where it goes on is no speed: the time that remains is reckoned from what this run has done.
        task = bar.add_task("", total=None, completed=progress.done, state="loading", line="")
        shown = 0.0

        def show() -> None:
            nonlocal shown
            now = time.monotonic()
            if now - shown >= _BAR_EVERY_S:
                shown = now
                bar.update(
                    task,
                    total=progress.total,
                    completed=progress.done,
                    state=_state(progress, wish),
                    line=_rate(progress),
                )
                bar.refresh()

        yield show
        shown = 0.0
        show()


def summary(progress: Progress, *, is_complete: bool) -> str:
    """What has come of it, in one sentence or two."""
    done, total = progress.done, progress.total
    what = f"{done:,} of {total:,} files are done" if not is_complete and total else f"{_files(done)} done"
    failed = f", {progress.failed:,} failed" if progress.failed else ""
    before = f"; {progress.before:,} of them before" if progress.before else ""
    this_run = f"{_files(progress.in_this_run)} in {progress.seconds:.1f} s{_speed(progress)}"
    return f"{what}{failed}{before}. This run: {this_run}"


def _lines(progress: Progress, wish: Wish, console: Console) -> Callable[[], None]:
    at = time.monotonic()

    def show() -> None:
        nonlocal at
        now = time.monotonic()
        if now - at >= LINE_EVERY_S:
            at = now
            of = "" if progress.total is None else f" of {progress.total:,}"
            line = f"{_state(progress, wish)}: {progress.done:,}{of} files, {_rate(progress)}"
            console.print(line, markup=False, highlight=False, soft_wrap=True)

    return show


def _state(progress: Progress, wish: Wish) -> str:
    if wish.drain:
        return "ending"
    return "running" if progress.in_this_run else "loading"


def _rate(progress: Progress) -> str:
    failed = f", {progress.failed:,} failed" if progress.failed else ""
    return f"{progress.in_this_run / max(progress.seconds, 1e-3):,.0f}/s{failed}"


def _speed(progress: Progress) -> str:
    return f" ({progress.in_this_run / progress.seconds:,.0f}/s)" if progress.in_this_run else ""


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count:,} files"
