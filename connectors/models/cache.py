"""Copies of models on this machine: whole or not there at all, made once however many processes ask at a time.

    {cache}/{digest of the address}/lock
    {cache}/{digest of the address}/{version}/{name}

A version is never changed and never removed: a predictor's process that is replaced hours later loads what its worker
was started with. The folder as a whole may be deleted while nobody uses it.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stream_infer.errors import PredictorUnavailable

_NEW = "new-"
_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Copy:
    """What is to be kept: `name` is the file's or folder's own, `version` changes whenever its content does."""

    uri: str
    version: str
    name: str


def keep(cache: Path, copy: Copy, make: Callable[[Path], None]) -> Path:
    """The copy's path. Where it is not there, `make` is given an empty folder, to put `copy.name` into it.

    Blocks while another process makes the same. Raises PredictorUnavailable where the disk does not take it, and what
    `make` raises; nothing is left then.
    """
    home = cache / digest(copy.uri)
    place = home / digest(copy.version)
    found = place / copy.name
    if not found.exists():
        with _disk_errors(copy.uri, cache):
            home.mkdir(parents=True, exist_ok=True)
            with _locked(home):
                if not found.exists():
                    _make(home, place, make)
    return found


def digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:_DIGITS]


def _make(home: Path, place: Path, make: Callable[[Path], None]) -> None:
    for left in home.glob(f"{_NEW}*"):  # by a process that was killed: whoever has the lock is alone here
        shutil.rmtree(left, ignore_errors=True)
    new = Path(tempfile.mkdtemp(prefix=_NEW, dir=home))
    try:
        make(new)
        new.rename(place)
    finally:
        shutil.rmtree(new, ignore_errors=True)


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    with (home / "lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _disk_errors(uri: str, cache: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise PredictorUnavailable(
            f"model {uri} cannot be kept below {cache}: {error.strerror or error}; "
            "free some space, or set state_dir to another disk"
        ) from error
