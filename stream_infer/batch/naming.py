"""A file's key, which is its path from the folder, and the `filepath` of its line, which opens it. Pure."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from stream_infer.batch.lines import NotOurs


class Naming:
    """`folder` as the user wrote it: `filepath` is what `Path(folder) / …` comes to."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        whole = str(Path(folder))
        self._prefix = "" if whole == "." else whole if whole.endswith("/") else f"{whole}/"

    def path_of(self, key: bytes) -> str:
        return self._prefix + os.fsdecode(key)

    def key_of(self, path: str) -> bytes:
        """Raises NotOurs for a path that does not lie in the folder."""
        if not path.startswith(self._prefix) or path == self._prefix:
            raise NotOurs(f"is about {path!r}, which is not below {self.folder}")
        return os.fsencode(path[len(self._prefix) :])


def keys_below(folder: Path, paths: Iterable[Path]) -> tuple[bytes, ...]:
    """The keys that these absolute paths would have; one that is not below the folder has none."""
    real = folder.resolve()
    resolved = (path.parent.resolve() / path.name for path in paths)
    return tuple(os.fsencode(path.relative_to(real)) for path in resolved if path.is_relative_to(real))


def chosen(keys: Iterator[bytes], own: tuple[bytes, ...], limit: int | None) -> Iterator[bytes]:
    """The first `limit` keys, our `own` files, and what is below them, not counted."""
    below = tuple(key + b"/" for key in own)
    others = (key for key in keys if key not in own and not key.startswith(below)) if own else keys
    return islice(others, limit)
