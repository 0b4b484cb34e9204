"""A file of JSON lines: each line that is not blank is an item."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import BinaryIO, cast

from connectors.local_files import may_pass
from connectors.sources.files import SourceFile, source_errors
from connectors.sources.lines import MAX_LINE_BYTES, Line, read_cursor, read_lines
from stream_infer.errors import ServiceUnavailable, SourceError
from stream_infer.ports import SourceItem
from stream_infer.records import JSON, Payload


class JsonlSource:
    """Reads line by line in constant memory; a name that ends in .gz is unpacked on the way.

    A line that is not JSON, or too long, is an item all the same: the worker rejects it, and the others are served. An
    item's source is the file's URI with `#line=` and its number from 1.
    """

    def __init__(self, file: SourceFile, *, max_line_bytes: int = MAX_LINE_BYTES) -> None:
        self._file = file
        self._max_line_bytes = max_line_bytes

    def read(self, after: str | None) -> Iterator[SourceItem]:
        """The items behind `after`. Raises SourceError, and ServiceUnavailable where its place cannot be reached."""
        uri = self._file.uri
        line: Line | None = None
        for line in lines_of(self._file, after, unpacks=uri.endswith(".gz"), max_line_bytes=self._max_line_bytes):
            source = f"{uri}#line={line.cursor.line}"
            yield SourceItem(Payload(line.data, JSON), source, str(line.cursor), refused=line.refused)
        if line is None and after is None:
            raise SourceError(f"{uri} is empty: it needs one line of JSON an item")


def lines_of(file: SourceFile, after: str | None, *, unpacks: bool, max_line_bytes: int) -> Iterator[Line]:
    """The lines behind the cursor `after`. Raises SourceError or ServiceUnavailable."""
    uri = file.uri
    with ExitStack() as stack:
        stack.enter_context(reading(uri))
        start = read_cursor(after)
        opened, version = file.open()
        stack.enter_context(opened)
        if start.version not in ("", version):
            raise SourceError(f"{uri} was replaced while it was being read: submit the job again")
        if unpacks:
            opened = stack.enter_context(unpacked(opened))
        yield from read_lines(opened, uri, start._replace(version=version), max_line_bytes)


def unpacked(file: BinaryIO) -> BinaryIO:
    return cast("BinaryIO", gzip.GzipFile(fileobj=file))


@contextmanager
def reading(uri: str) -> Iterator[None]:
    """Raises what goes wrong while the file at `uri` is read as SourceError, or as ServiceUnavailable."""
    try:
        with source_errors(uri):
            yield
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise SourceError(f"{uri} is not gzip, or broken off, and cannot be unpacked: {error}") from error
    except OSError as error:
        kind = ServiceUnavailable if may_pass(error) else SourceError
        raise kind(f"{uri} cannot be read on: {error.strerror or error}") from error
