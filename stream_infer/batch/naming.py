"""A file's key, which is its path from the folder, and the `filepath` of its line, which opens it. Pure."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from stream_infer.batch.lines import NotOurs


@dataclass(frozen=True, slots=True)
class Naming:
    """`folder` as the user wrote it: `filepath` is what `Path(folder) / …` comes to."""

    folder: str

    @property
    def prefix(self) -> str:
        whole = str(Path(self.folder))
        if whole == ".":
            return ""
        return whole if whole.endswith("/") else f"{whole}/"

    def path_of(self, key: bytes) -> str:
        return self.prefix + os.fsdecode(key)

    def key_of(self, path: str) -> bytes:
        """Raises NotOurs for a path that does not lie in the folder."""
        if not path.startswith(self.prefix) or path == self.prefix:
            raise NotOurs(f"is about {path!r}, which is not below {self.folder}")
        return os.fsencode(path[len(self.prefix) :])


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
