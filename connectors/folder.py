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
        self._max_bytes = max_bytes
        self._content_type = choice.content_type
        policy = FetchPolicy(allowed_directories=(self._root,))
        self._source = DirectorySource(self._root, policy, includes=choice.includes, excludes=choice.excludes)

    def keys(self) -> Iterator[bytes]:
        """In the order of their bytes; holds one directory a level. Raises SourceError or ServiceUnavailable."""
        if not self._root.is_dir():
            raise SourceError(f"{self._root} is not a directory of this machine: give one that is")
        for item in self._source.read(None):
            assert item.key is not None, item
            yield item.key

    def read(self, key: bytes) -> Payload:
        """Raises RefusedItem, or RetryableError where it may be read later."""
        path = self._root / os.fsdecode(key)
        try:
            with path.open("rb", buffering=0) as file:
                size = os.fstat(file.fileno()).st_size
                data = file.readall() if size <= self._max_bytes else b""
        except OSError as error:
            if may_pass(error):
                raise RetryableError(f"{path} cannot be read: {error.strerror}") from error
            raise RefusedItem(f"{path} cannot be read: {error.strerror}") from error
        if max(size, len(data)) > self._max_bytes:
            raise RefusedItem(
                f"{path} has {max(size, len(data)):,} bytes, the limit is {self._max_bytes:,}: "
                "raise workers.max_in_flight_bytes, or make the file smaller"
            )
        return Payload(data, self._content_type or _type_by_ending(path.suffix))


@lru_cache(maxsize=1024)
def _type_by_ending(ending: str) -> str:
    """Looked up once: a folder's files have few endings."""
    return content_type_of(f"file{ending}")
