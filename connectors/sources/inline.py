"""The items that came with a submission: the gateway has put them into the store, one JSON value a line."""

from __future__ import annotations

from collections.abc import Iterator

from connectors.sources.files import StoredFile
from connectors.sources.jsonl import JsonlSource
from stream_infer.ports import SourceItem, Store


class InlineSource:
    """Reads the object `key` of `store`, for example `_submissions/{job}-….jsonl`. The gateway limits its size."""

    def __init__(self, store: Store, key: str) -> None:
        self._lines = JsonlSource(StoredFile(store, key))

    def read(self, after: str | None) -> Iterator[SourceItem]:
        """The items behind `after`. Raises SourceError or ServiceUnavailable."""
        return self._lines.read(after)
