"""A format: `results: {format: jsonl.xz}` is lines of JSON, smaller than gzip makes them."""

import lzma
from collections.abc import Iterator

from connectors.formats.plain import PlainFormat
from stream_infer.ports import Folder, ResultLines


class XzLines(PlainFormat):
    suffix = ".jsonl.xz"
    content_type = "application/x-xz"

    def encode(self, lines: ResultLines) -> bytes:
        return lzma.compress(lines.body)

    def decode(self, data: bytes, items: Folder) -> Iterator[bytes]:  # noqa: ARG002 - as every format's
        try:
            body = lzma.decompress(data)
        except lzma.LZMAError as error:
            raise ValueError(f"it is not what xz makes: {error}") from error
        return iter(body.splitlines(keepends=True))
