"""Started contestants: they end with the benchmark, and how much CPU and memory they and their children take."""

from __future__ import annotations

import os
import shutil
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
def started(
    command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None, core: int | None = None
) -> Iterator[Started]:
    """The process while it runs, on this core where one is given; ended in order, and killed where that takes long,
    with whatever it leaves behind."""
    if core is not None:
        command = ["taskset", "--cpu-list", str(core), *command]
    told = {**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})}
    told.pop("PYTHONDONTWRITEBYTECODE", None)
    process = LeashedProcess.start(command, output=log, grace_s=_GRACE_S, env=told)
    try:
        yield Started(process, log)
    finally:
        process.stop(_GRACE_S + 5)
        _kill_session(process.session)


def can_be_apart() -> bool:
    """There is more than one core, and a process can be bound to one."""
    bindable = shutil.which("taskset") is not None and hasattr(os, "sched_getaffinity")
    return bindable and len(os.sched_getaffinity(0)) > 1


@contextmanager
def kept_off(core: int, pids: Sequence[int]) -> Iterator[None]:
    """All threads of these processes, and of this one, leave the core alone; what they start does, too."""
    before = os.sched_getaffinity(0)
    everybody = [*pids, os.getpid()]
    _move(everybody, before - {core})
    try:
        yield
    finally:
        _move(everybody, before)


def _move(pids: Sequence[int], cores: set[int]) -> None:
    for pid in pids:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):  # it has ended
                os.sched_setaffinity(int(thread.name), cores)


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
