"""A directory that behaves like an object store: an object is there whole or not at all, also after a power cut."""

from __future__ import annotations

import errno
import fcntl
import os
import threading
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from connectors.stores.keys import UNCOMMITTED, checked_key, checked_prefix
from stream_infer.errors import NoLinks, ServiceUnavailable
from stream_infer.ports import StoredObject

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_TAKEN = frozenset({errno.ENOTDIR, errno.EISDIR, errno.EEXIST})
_ABANDONED_AFTER_S = 3600.0


class DirectoryStore:
    """Objects are files below `root`, which is made by the first `put`. Safe to share between threads and processes.

    A key cannot be both an object and the start of another one's ("a" and "a/b"): ValueError.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._uncommitted = root / UNCOMMITTED
        self._swept = False
        self._sweeping = threading.Lock()

    def uri(self, key: str) -> str:
        return self._path(key).as_uri()

    def put(self, key: str, data: bytes, content_type: str = "") -> None:  # noqa: ARG002 - no place for it in a file
        """Writes to a file beside, then renames it: file, name and new directories are on disk when this returns.

        `content_type` is not kept. Raises ServiceUnavailable or ValueError.
        """
        self.put_chunks(key, (data,))

    def put_chunks(self, key: str, chunks: Iterable[bytes], content_type: str = "") -> None:  # noqa: ARG002 - as above
        """As `put`, chunk by chunk."""
        path = self._path(key)
        with self._translated("write", path):
            _make_directory(self._uncommitted)
            _make_directory(path.parent)
            self._sweep_once()
            with _new_draft(self._uncommitted) as draft:
                name = Path(draft.name)
                try:
                    for chunk in chunks:
                        draft.write(chunk)
                    draft.flush()
                    os.fsync(draft.fileno())
                    name.replace(path)
                finally:
                    name.unlink(missing_ok=True)
            _sync_directory(path.parent)

    def get(self, key: str) -> bytes:
        """Raises KeyError, ServiceUnavailable or ValueError."""
        path = self._path(key)
        with self._translated("read", path):
            try:
                return path.read_bytes()
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                raise KeyError(key) from None

    def piece(self, key: str, start: int, size: int) -> bytes:
        """Raises as `get`."""
        path = self._path(key)
        with self._translated("read", path):
            try:
                with path.open("rb") as file:
                    file.seek(start)
                    return file.read(size)
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                raise KeyError(key) from None

    def exists(self, key: str) -> bool:
        path = self._path(key)
        with self._translated("read", path):
            return path.is_file()

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """In the order of UTF-8 bytes, as S3 has it; holds one directory a level."""
        above, slash, _ = checked_prefix(prefix).rpartition("/")
        with self._translated("list", self._root):
            yield from self._below(above + slash, prefix)

    def link(self, key: str, seconds: int) -> str:  # noqa: ARG002 - as every store's
        raise NoLinks(
            f"the store is a directory, {self._root}, which has no links: read the files there, or stream the results; "
            "a store in S3 has links"
        )

    def delete(self, key: str) -> None:
        path = self._path(key)
        with self._translated("delete in", path), suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
            path.unlink()
            _sync_directory(path.parent)

    def _below(self, above: str, prefix: str) -> Iterator[StoredObject]:
        """The objects below the directory `above` (its key, ending in '/', or empty for the root)."""
        try:
            with os.scandir(self._root / above) as entries:
                found = {above + entry.name + "/" * entry.is_dir(): entry for entry in entries}
        except (FileNotFoundError, NotADirectoryError):
            return
        # A directory sorts with its '/', so that walking gives the keys in order: "a-b" is before "a/b".
        for key, entry in sorted(found.items(), key=lambda pair: os.fsencode(pair[0])):
            if not key.startswith(prefix[: len(key)]) or not _may_be_ours(key):
                continue
            if key.endswith("/"):
                yield from self._below(key, prefix)
            elif key.startswith(prefix):
                with suppress(FileNotFoundError):  # deleted since
                    yield StoredObject(key, entry.stat().st_size)

    def _path(self, key: str) -> Path:
        return self._root / checked_key(key)

    def _sweep_once(self) -> None:
        """Removes what killed processes left unfinished."""
        with self._sweeping:
            if self._swept:
                return
            self._swept = True
        for draft in self._uncommitted.iterdir():
            with suppress(FileNotFoundError):
                if _is_abandoned(draft):
                    draft.unlink()

    @contextmanager
    def _translated(self, doing: str, path: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in _TAKEN and self._root.is_dir():
                raise ValueError(f"{path} cannot be an object: what it lies in is one, or it is a directory") from error
            advice = "free some space there" if error.errno in _FULL else "look at the directory's owner, mode and disk"
            raise ServiceUnavailable(
                f"cannot {doing} the store at {path}: {error.strerror}; {advice}, or set `store` to another place"
            ) from error


def _may_be_ours(key: str) -> bool:
    try:
        return bool(checked_prefix(key))
    except ValueError:
        return False


def _make_directory(path: Path) -> None:
    """With those above it, each entered durably into its parent."""
    if path.is_dir():
        return
    _make_directory(path.parent)
    path.mkdir(exist_ok=True)
    _sync_directory(path.parent)


def _new_draft(folder: Path) -> BinaryIO:
    """Locked while it is written: the kernel opens the lock of a killed process."""
    while True:
        draft = (folder / uuid.uuid4().hex).open("xb")
        with suppress(OSError):  # a file system without locks
            fcntl.flock(draft, fcntl.LOCK_EX)
        if os.fstat(draft.fileno()).st_nlink:
            return draft
        draft.close()  # swept before it was locked


def _is_abandoned(draft: Path) -> bool:
    """Where there are no locks nothing takes an hour to be written. Raises FileNotFoundError."""
    with draft.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return os.fstat(file.fileno()).st_mtime < time.time() - _ABANDONED_AFTER_S
    return True


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
