"""What earlier runs have written, without holding it: where to go on is read off the lines themselves.

Each run writes its files in the order of their names, so that a file of lines is a few sorted stretches, one behind
the other. Side by side they are one sorted list of the files that are done, which is laid beside the folder's own: so a
million files cost no more memory than ten, and a file that has come since the last run is done in this one.
"""

from __future__ import annotations

import fcntl
import heapq
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NamedTuple, Self

from stream_infer.batch.lines import BEGINNING, NotOurs, path_in
from stream_infer.errors import ServiceUnavailable, UsageError

_BLOCK = 64 * 1024
# Of all stretches together, while their lines are read side by side.
_READ_AHEAD = 32 * 1024 * 1024
_SMALLEST_WINDOW = 512


class _Stretch(NamedTuple):
    """Lines whose files are in order: the bytes from `start` to `end`."""

    start: int
    end: int


@dataclass(slots=True)
class LinesFile:
    """A file of lines that this process alone writes to. `count` of its lines, and their sorted `stretches`.

    Closed without a line, it is removed unless it `stays`.
    """

    path: Path
    _file: BinaryIO
    stays: bool = False
    count: int = 0
    stretches: list[_Stretch] = field(default_factory=list)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Opens it, or makes it; nothing of it changes before `scan` has shown whose it is.

        Raises UsageError where another process writes to it, or where it cannot be written.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = path.open("a+b", buffering=0)
        except OSError as error:
            raise UsageError(f"{path} cannot be written: {error.strerror}; give another --output") from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise UsageError(f"{path} is being written by another run: let it end, or give another --output") from None
        return cls(path, file)

    def scan(self, key_of: Callable[[str], bytes]) -> None:
        """Counts the lines and finds the stretches; a last one that was not written to its end is cut off.

        Raises UsageError for a line, or a beginning of one, that no batch has written, and changes nothing then.
        """
        self.count, self.stretches = 0, []
        start = at = 0
        last = b""
        end = _end_of_lines(self._file)
        self._check_beginning(os.pread(self._file.fileno(), len(BEGINNING), end))
        with self.path.open("rb") as lines:
            while at < end:
                line = lines.readline()
                key = self._key(line, key_of)
                if key <= last and self.count:
                    self.stretches.append(_Stretch(start, at))
                    start = at
                last = key
                at += len(line)
                self.count += 1
        if at > start:
            self.stretches.append(_Stretch(start, at))
        self._file.truncate(end)

    def keys(self, stretch: _Stretch, window: int, key_of: Callable[[str], bytes]) -> Iterator[bytes]:
        """The files of one stretch; holds `window` bytes of it, or a line."""
        rest, at = b"", stretch.start
        while at < stretch.end:
            chunk = os.pread(self._file.fileno(), min(window, stretch.end - at), at)
            at += len(chunk)
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                yield self._key(line, key_of)

    def append(self, lines: list[bytes]) -> None:
        """Writes the lines, each with its end. Raises ServiceUnavailable where the disk does not take them."""
        data = memoryview(b"".join(lines))
        try:
            while data:
                data = data[os.write(self._file.fileno(), data) :]
        except OSError as error:
            raise ServiceUnavailable(
                f"{self.path} cannot be written on: {error.strerror}; what is there counts: mend that and run again"
            ) from error
        self.count += len(lines)

    def empty(self) -> None:
        self._file.truncate(0)
        self.count, self.stretches = 0, []

    def close(self) -> None:
        """With everything on the disk; another process may write to it then."""
        os.fsync(self._file.fileno())
        if not self.stays and not os.fstat(self._file.fileno()).st_size:
            self.path.unlink(missing_ok=True)
        self._file.close()

    def _check_beginning(self, half: bytes) -> None:
        if not BEGINNING.startswith(half):
            raise UsageError(
                f"{self.path} ends in what this batch has not written: {half!r}. "
                "Give another --output, or --overwrite to begin anew"
            )

    def _key(self, line: bytes, key_of: Callable[[str], bytes]) -> bytes:
        try:
            return key_of(path_in(line))
        except NotOurs as error:
            raise UsageError(
                f"{self.path} holds a line that this batch has not written: it {error}: {line[:80]!r}. "
                "Give another --output, or --overwrite to begin anew"
            ) from None


def done_keys(files: Iterable[LinesFile], key_of: Callable[[str], bytes]) -> Iterator[bytes]:
    """The keys of all lines of all files, in order, each file having been scanned."""
    stretches = [(file, stretch) for file in files for stretch in file.stretches]
    window = max(_SMALLEST_WINDOW, min(_BLOCK, _READ_AHEAD // max(1, len(stretches))))
    return heapq.merge(*(file.keys(stretch, window, key_of) for file, stretch in stretches))


def undone(files: Iterable[bytes], done: Iterator[bytes]) -> Iterator[bytes]:
    """Those of `files` that are not `done`; both are sorted."""
    current = next(done, None)
    for key in files:
        while current is not None and current < key:
            current = next(done, None)
        if current != key:
            yield key


def _end_of_lines(file: BinaryIO) -> int:
    """Behind the last line end; 0 where there is none."""
    at = file.seek(0, os.SEEK_END)
    while at > 0:
        size = min(_BLOCK, at)
        newline = os.pread(file.fileno(), size, at - size).rfind(b"\n")
        if newline >= 0:
            return at - size + newline + 1
        at -= size
    return 0
