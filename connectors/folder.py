"""A directory of the user's own, on this machine: its files' names in order, and their bytes.

What a job may read is guarded (`local_files.py`); here whoever names the directory may read it, links included.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from connectors.content_types import content_type_of
from connectors.local_files import may_pass
from connectors.policy import FetchPolicy
from connectors.sources import DirectorySource
from stream_infer.errors import RefusedItem, RetryableError, SourceError
from stream_infer.records import Payload

_BLOCK = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Choice:
    """Which files are meant, as globs.py has it, and what they are: None, by their names' endings."""

    includes: Sequence[str] = ()
    excludes: Sequence[str] = ()
    content_type: str | None = None


class Folder:
    """The files below `root` that are meant. Safe to share between threads.

    A file's key is its path from the root, in bytes.
    """

    def __init__(self, root: Path, choice: Choice, *, max_bytes: int) -> None:
        self._root = root.absolute()
        self._directory = os.fsencode(self._root)
        self._max_bytes = max_bytes
        self._content_type = choice.content_type
        policy = FetchPolicy(allowed_directories=(self._root,))
        self._source = DirectorySource(self._root, policy, includes=choice.includes, excludes=choice.excludes)

    def keys(self) -> Iterator[bytes]:
        """In the order of their bytes; holds one directory a level. Raises SourceError or ServiceUnavailable."""
        if not self._root.is_dir():
            raise SourceError(f"{self._root} is not a directory of this machine: give one that is")
        yield from self._source.keys()

    def read(self, key: bytes) -> Payload:
        """Raises RefusedItem, or RetryableError where it may be read later."""
        path = os.path.join(self._directory, key)  # noqa: PTH118 - bytes; a Path for each of a million files costs
        try:
            size, data = _read_file(path, self._max_bytes)
        except OSError as error:
            said = f"{os.fsdecode(path)} cannot be read: {error.strerror}"
            raise (RetryableError(said) if may_pass(error) else RefusedItem(said)) from error
        if max(size, len(data)) > self._max_bytes:
            raise RefusedItem(
                f"{os.fsdecode(path)} has {max(size, len(data)):,} bytes, the limit is {self._max_bytes:,}: "
                "raise workers.max_in_flight_bytes, or make the file smaller"
            )
        return Payload(data, self._content_type or _type_by_ending(os.path.splitext(key)[1]))  # noqa: PTH122 - bytes


def _read_file(path: bytes, limit: int) -> tuple[int, bytes]:
    """Its size when it was opened, and what it holds unless that is above the limit. As few calls as it takes: each
    lets go of Python's lock and has to wait for it again."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(descriptor).st_size
        if size > limit:
            return size, b""
        data = os.read(descriptor, size + 1)
        while 0 < len(data) <= limit and len(data) != size:  # it is longer than a read takes, or grows meanwhile
            more = os.read(descriptor, _BLOCK)
            if not more:
                break
            data += more
        return size, data
    finally:
        os.close(descriptor)


@lru_cache(maxsize=1024)
def _type_by_ending(ending: bytes) -> str:
    """Looked up once: a folder's files have few endings."""
    return content_type_of(f"file{os.fsdecode(ending)}")
