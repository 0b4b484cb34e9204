"""Started contestants: they end with the benchmark, and how much CPU and memory they and their children take."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from stream_infer.local.leashed import LeashedProcess

ROOT = Path(__file__).parents[1]
_GRACE_S = 20.0
_TAIL_LINES = 15
_LOOK_EVERY_S = 0.1


class Started:
    """A process of a contestant and what it has started."""

    def __init__(self, process: LeashedProcess, log: Path) -> None:
        self._process = process
        self._log = log
        self.pid = process.pid

    def is_running(self) -> bool:
        return self._process.poll() is None

    def wait(self) -> None:
        """Until it has ended by itself."""
        while self.is_running():
            time.sleep(_LOOK_EVERY_S)

    def cpu_seconds(self) -> float:
        """Of all of them that are alive, so far."""
        total = 0.0
        for process in family(self.pid):
            with suppress(psutil.Error):
                times = process.cpu_times()
                total += times.user + times.system
        return total

    def last_words(self) -> str:
        lines = self._log.read_text(errors="replace").splitlines()
        return "\n".join(f"    {line}" for line in lines[-_TAIL_LINES:])


@contextmanager
def started(command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> Iterator[Started]:
    """The process while it runs; ended in order, and killed where that takes long, with whatever it leaves behind."""
    told = {**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})}
    told.pop("PYTHONDONTWRITEBYTECODE", None)
    process = LeashedProcess.start(command, output=log, grace_s=_GRACE_S, env=told)
    try:
        yield Started(process, log)
    finally:
        process.stop(_GRACE_S + 5)
        _kill_session(process.session)


def _kill_session(session: int) -> None:
    """LitServe ends without its workers and its queue's manager, which would run beside whoever is measured next."""
    for process in psutil.process_iter():
        with suppress(OSError, psutil.Error):
            if os.getsid(process.pid) == session:
                process.kill()


def family(pid: int) -> list[psutil.Process]:
    """The process and all below it; none where it is gone."""
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.Error:
        return []


def resident_bytes(pid: int) -> int:
    """Of the process and all below it."""
    total = 0
    for process in family(pid):
        with suppress(psutil.Error):
            total += process.memory_info().rss
    return total
