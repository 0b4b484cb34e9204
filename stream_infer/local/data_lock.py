"""One owner for a data directory, for as long as anything that the owner started still lives."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from stream_infer.errors import ServiceUnavailable

_ASK_AGAIN_S = 0.05


class DataLock:
    """A lock on a directory that the broker inherits, so that it ends only when owner and broker are gone."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    @classmethod
    def take(cls, directory: Path, timeout_s: float) -> DataLock:
        """Take the lock; while a dead owner's broker is still ending, wait up to `timeout_s` seconds for it.

        Raises ServiceUnavailable at once when the directory's owner is alive, else after the timeout.
        """
        path = directory / "owner.lock"
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        deadline = time.monotonic() + timeout_s
        while not _try_lock(fd):
            owner = os.pread(fd, 32, 0).decode().strip()
            if time.monotonic() >= deadline or _is_alive(owner):
                os.close(fd)
                raise ServiceUnavailable(
                    f"{directory} is in use by process {owner or 'unknown'}. Stop that one, or use another directory."
                )
            time.sleep(_ASK_AGAIN_S)
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        return cls(fd)

    @staticmethod
    def is_held(directory: Path) -> bool:
        """Whether anyone holds the lock of `directory` now. Takes a share of it for an instant."""
        try:
            fd = os.open(directory / "owner.lock", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            return not _try_lock(fd, fcntl.LOCK_SH)
        finally:
            os.close(fd)

    def release(self) -> None:
        """Give up this process's share of the lock. Call once."""
        os.close(self.fd)


def _try_lock(fd: int, kind: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_alive(pid: str) -> bool:
    if not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not _is_zombie(pid)


def _is_zombie(pid: str) -> bool:
    """Whether it has ended and only its parent has not asked yet; it holds no lock any more. Known on Linux only."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    # `pid (name) state …`, and a name may hold anything, ')' too.
    return stat.rpartition(")")[2].split()[0] in ("Z", "X")
