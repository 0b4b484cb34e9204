"""Opening a local file that somebody else named, without being led outside the allowed directories."""

from __future__ import annotations

import errno
import os
import stat
import sys
from pathlib import Path
from typing import BinaryIO

from connectors.policy import FetchPolicy
from connectors.uris import RefusedPlace

# O_PATH needs no right to list the directories on the way, only to pass through them.
_PASS_THROUGH = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | (os.O_PATH if sys.platform == "linux" else os.O_RDONLY)
# O_NONBLOCK: opening a named pipe must not wait for somebody to write into it.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


_PASSES = frozenset(
    {
        errno.EAGAIN,
        errno.ECONNRESET,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.EIO,
        errno.EMFILE,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.ENFILE,
        errno.ENOMEM,
        errno.ENOTCONN,
        errno.ESTALE,
        errno.ETIMEDOUT,
    }
)


def may_pass(error: OSError) -> bool:
    """Whether it says more of this machine, its network or a mounted server than of the file."""
    return error.errno in _PASSES


def open_allowed(path: Path, policy: FetchPolicy) -> BinaryIO:
    """The regular file at `path`, open for reading. Raises RefusedPlace, or OSError as the system has it."""
    real = Path(os.path.realpath(path))
    root = policy.allowed_root(real)
    descriptor = _open_beneath(root, real)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise RefusedPlace(f"{path} is not a regular file: name one")
    return os.fdopen(descriptor, "rb")


def _open_beneath(root: Path, real: Path) -> int:
    """Walks from `root` without following any link: between resolving and opening a directory may become one."""
    *parents, name = real.relative_to(root).parts or (".",)
    directory = os.open(root, _PASS_THROUGH)
    try:
        for part in parents:
            inner = os.open(part, _PASS_THROUGH, dir_fd=directory)
            os.close(directory)
            directory = inner
        return os.open(name, _READ, dir_fd=directory)
    finally:
        os.close(directory)
