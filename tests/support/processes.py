"""Whether processes have really gone."""

import time

import psutil


def is_gone(pid: int) -> bool:
    """Whether the process has ended; a zombie has (nobody reaps orphans in a bare container)."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def survivors(pids: list[int], within_s: float) -> list[int]:
    """Those that have not ended `within_s` seconds from now."""
    deadline = time.monotonic() + within_s
    while (alive := [pid for pid in pids if not is_gone(pid)]) and time.monotonic() < deadline:
        time.sleep(0.02)
    return alive
