"""A file of requests, as OpenAI's Batch API has them: `{"custom_id", "method", "url", "body"}` a line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pydantic_core

from connectors.sources.files import SourceFile
from connectors.sources.jsonl import lines_of
from connectors.sources.lines import MAX_LINE_BYTES
from stream_infer.errors import SourceError
from stream_infer.ports import SourceItem
from stream_infer.records import JSON, Payload


class RequestsSource:
    """The `body` of each line is an item, under the line's `custom_id`. Reads line by line in constant memory.

    A line that is no such request is an item as it stands, under no id: what its predictor makes of it is its own end.
    One that is too long is an item that says so.
    """

    def __init__(self, file: SourceFile, *, max_line_bytes: int = MAX_LINE_BYTES) -> None:
        self._file = file
        self._max_line_bytes = max_line_bytes

    def read(self, after: str | None) -> Iterator[SourceItem]:
        """The items behind `after`. Raises SourceError, and ServiceUnavailable where its place cannot be reached."""
        uri = self._file.uri
        line = None
        for line in lines_of(self._file, after, unpacks=uri.endswith(".gz"), max_line_bytes=self._max_line_bytes):
            custom_id, body = _taken_apart(line.data)
            source = f"{uri}#line={line.cursor.line}"
            yield SourceItem(Payload(body, JSON), source, str(line.cursor), custom_id=custom_id, refused=line.refused)
        if line is None and after is None:
            raise SourceError(f'{uri} is empty: it needs one line such as {{"custom_id": …, "body": …}} a request')


def _taken_apart(line: bytes) -> tuple[str | None, bytes]:
    """Whole numbers stay exact, however large."""
    try:
        request: Any = pydantic_core.from_json(line, allow_inf_nan=False, cache_strings="keys")
    except ValueError:
        return None, line
    match request:
        case {"custom_id": str(custom_id), "body": body} if custom_id:
            return custom_id, pydantic_core.to_json(body)
    return None, line
