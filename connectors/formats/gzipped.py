"""Lines of JSON, compressed: an object is one gzip member, so that several behind one another are one again."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator

from connectors.formats.plain import PlainFormat
from stream_infer.ports import Folder, ResultLines

_LEVEL = 6


class GzippedLines(PlainFormat):
    suffix = ".jsonl.gz"
    content_type = "application/gzip"

    def encode(self, lines: ResultLines) -> bytes:
        """Without the time, which would make other bytes of the same lines."""
        return gzip.compress(lines.body, _LEVEL, mtime=0)

    def decode(self, data: bytes, items: Folder) -> Iterator[bytes]:  # noqa: ARG002 - as above
        try:
            body = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"it is not what gzip makes: {error}") from error
        return iter(body.splitlines(keepends=True))
