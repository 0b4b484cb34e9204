"""The files of a directory, each one an item by reference."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, unquote_to_bytes

import orjson

from connectors.content_types import content_type_of
from connectors.local_files import may_pass
from connectors.policy import FetchPolicy
from connectors.sources.globs import FileSelection, select_files
from connectors.uris import RefusedPlace
from stream_infer.errors import ServiceUnavailable, SourceError
from stream_infer.ports import SourceItem
from stream_infer.records import REFERENCE, Payload


class _Entry(NamedTuple):
    """What a directory holds. `order` is its path from the root, with a '/' behind a directory's, as bytes."""

    order: bytes
    path: str
    is_directory: bool


class DirectorySource:
    """Regular files below `root`, at any depth, in the order of their paths' bytes; holds one directory a level.

    `includes` and `excludes` are patterns as globs.py has them: hidden files only where a pattern writes their dot.
    A link to a file is an item; where it leads outside of what the policy allows, or nowhere, that item alone fails,
    when it is fetched. Links to directories are not followed, nor is anything but files and directories. The cursor is
    the percent-encoded path from the root.
    """

    def __init__(
        self, root: Path, policy: FetchPolicy, *, includes: Sequence[str] = (), excludes: Sequence[str] = ()
    ) -> None:
        self._root = root.absolute()
        self._policy = policy
        self._selection: FileSelection = select_files(includes, excludes)

    def read(self, after: str | None) -> Iterator[SourceItem]:
        """The items behind the cursor `after`. Raises SourceError or ServiceUnavailable."""
        yield from map(self._item, self._entries_behind(after))

    def keys(self) -> Iterator[bytes]:
        """Of all items, in their order, at a third of what these cost. Raises as `read` does."""
        return (entry.order for entry in self._entries_behind(None))

    def _entries_behind(self, after: str | None) -> Iterator[_Entry]:
        self._check_root()
        entry: _Entry | None = None
        for entry in self._files(b"" if after is None else unquote_to_bytes(after)):
            yield entry
        if entry is None and after is None:
            raise SourceError(f"no file below {self._root} is meant by includes and excludes: look at its patterns")

    def _check_root(self) -> None:
        try:
            self._policy.allowed_root(Path(os.path.realpath(self._root)))
        except RefusedPlace as error:
            raise SourceError(str(error)) from None
        if not self._root.is_dir():
            raise SourceError(f"{self._root} is not a directory of this machine: give one that is")

    def _files(self, after: bytes) -> Iterator[_Entry]:
        """Selected files whose order is behind `after`. A stack of its own: a tree may be deeper than Python's."""
        open_directories = [iter(self._entries(b""))]
        while open_directories:
            entry = next(open_directories[-1], None)
            if entry is None:
                open_directories.pop()
            elif entry.order <= after and not (entry.is_directory and after.startswith(entry.order)):
                continue
            elif entry.is_directory:
                if self._selection.enters(_parts(entry)):
                    open_directories.append(iter(self._entries(entry.order)))
            elif self._selection.selects(_parts(entry)):
                yield entry

    def _entries(self, above: bytes) -> list[_Entry]:
        """Sorted. `above` is a directory's order; empty for the root."""
        directory = self._root / os.fsdecode(above)
        try:
            with os.scandir(directory) as found:
                entries = [
                    _Entry(
                        above + os.fsencode(entry.name) + b"/" * entry.is_dir(follow_symlinks=False),
                        entry.path,
                        entry.is_dir(follow_symlinks=False),
                    )
                    for entry in found
                    if entry.is_dir(follow_symlinks=False) or entry.is_file() or _is_broken_link(entry)
                ]
        except OSError as error:
            kind = ServiceUnavailable if may_pass(error) else SourceError
            raise kind(f"{directory} cannot be listed: {error.strerror}; exclude it or change its mode") from error
        return sorted(entries)

    def _item(self, entry: _Entry) -> SourceItem:
        uri = Path(entry.path).as_uri()
        value = orjson.dumps({"uri": uri, "content_type": content_type_of(entry.path)})
        return SourceItem(Payload(value, REFERENCE), source=uri, cursor=quote(entry.order), key=entry.order)


def _parts(entry: _Entry) -> list[str]:
    return os.fsdecode(entry.order).rstrip("/").split("/")


def _is_broken_link(entry: os.DirEntry[str]) -> bool:
    """It becomes an item, so that its absence is seen as a dead letter."""
    return entry.is_symlink() and not Path(entry.path).exists()
