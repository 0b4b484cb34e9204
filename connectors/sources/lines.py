"""Lines of a file that may be larger than memory, and the cursor behind each of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from stream_infer.errors import SourceError

MAX_LINE_BYTES = 16 * 1024 * 1024
# A longer line is passed over, and is an item that fails alone, unless it is so many times as long: what has no end at
# all, or unpacks to gigabytes, is read no further.
_PASSED_OVER = 16
_PIECE_BYTES = 64 * 1024
_BOM = b"\xef\xbb\xbf"
_CURSOR = re.compile(r"(\d{1,18}):(\d{1,18})(?::(\S+))?", re.ASCII)


class LineCursor(NamedTuple):
    """Behind a line: how many bytes (uncompressed) and how many lines are done of which version of the file.

    Written "bytes:lines" or "bytes:lines:version".
    """

    offset: int = 0
    line: int = 0
    version: str = ""

    def __str__(self) -> str:
        return f"{self.offset}:{self.line}:{self.version}" if self.version else f"{self.offset}:{self.line}"


def read_cursor(text: str | None) -> LineCursor:
    """Raises SourceError."""
    if text is None:
        return LineCursor()
    if (match := _CURSOR.fullmatch(text)) is None:
        raise SourceError(f"cursor {text!r} is not one of a file with lines: it reads bytes:lines")
    return LineCursor(int(match[1]), int(match[2]), match[3] or "")


class Line(NamedTuple):
    """A line that is not blank, without its end and the blanks around it; `cursor.line` is its number from 1.

    `refused` says why there is nothing of it.
    """

    data: bytes
    cursor: LineCursor
    refused: str | None = None


def read_lines(file: BinaryIO, name: str, after: LineCursor, max_line_bytes: int) -> Iterator[Line]:
    """The lines behind `after`; holds one. `name` is the file's in messages. Raises SourceError."""
    offset, number, version = after
    if offset:
        file.seek(offset - 1)
        if not file.read(1):
            raise SourceError(f"{name} was read up to byte {offset} and is shorter now: submit the job again")
    while raw := file.readline(max_line_bytes + 2):
        offset += len(raw)
        number += 1
        data = raw.rstrip(b"\r\n")
        if len(data) > max_line_bytes:
            said = (
                f"{name} line {number} is longer than {max_line_bytes} bytes: one item is one line; "
                "split it, or put the payload into a file of its own"
            )
            offset += _passed_over(file, raw, max_line_bytes * _PASSED_OVER, said)
            yield Line(b"", LineCursor(offset, number, version), said)
            continue
        if number == 1:
            data = data.removeprefix(_BOM)
        if data := data.strip(b" \t\r\n"):
            yield Line(data, LineCursor(offset, number, version))


def _passed_over(file: BinaryIO, begun: bytes, most: int, said: str) -> int:
    """Reads to the end of the line that has `begun`; answers how many bytes that were. Raises SourceError."""
    passed, piece = 0, begun
    while piece and not piece.endswith(b"\n"):
        if passed > most:
            raise SourceError(f"{said}. It does not end within {most} bytes more, so nothing behind it is read")
        piece = file.readline(_PIECE_BYTES)
        passed += len(piece)
    return passed
