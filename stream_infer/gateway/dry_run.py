"""What a submission would enqueue, without enqueuing it: the source is read, never further than asked."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import orjson

from stream_infer.errors import SourceError
from stream_infer.gateway.services import SourceReader
from stream_infer.http.json_text import to_json
from stream_infer.jobs.spec import Job, JobSpec
from stream_infer.ports import SourceItem
from stream_infer.records import JSON

SHOWN_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class Listing:
    """The first `limit` items of a source and, behind them, how many there are. One thread uses it."""

    spec: JobSpec
    job: Job
    read_source: SourceReader | None
    limit: int

    def lines(self) -> Iterator[bytes]:
        """JSON lines: an item each, then the end. May block. Raises SourceError where not even one can be given.

        What goes wrong further on stands in the end, since the items before it would be enqueued.
        """
        given = 0
        error = None
        is_all = True
        with closing(self._items()) as items:
            try:
                for item in items:
                    if given == self.limit:
                        is_all = False
                        break
                    yield to_json({"ordinal": given, **item}) + b"\n"
                    given += 1
            except SourceError as fault:
                if not given:
                    raise
                error = str(fault)
        end = {"items": given, "is_all": is_all} | ({} if error is None else {"error": error})
        yield to_json(end) + b"\n"

    def _items(self) -> Generator[dict[str, Any], None, None]:
        if self.spec.item_list is not None:
            for item in self.spec.item_list.items:
                yield {"item": item}
        elif self.read_source is not None:
            for found in self.read_source(self.job):
                yield _shown(found)


def _shown(item: SourceItem) -> dict[str, Any]:
    """Where it lies; and what it is, where that is JSON and not long."""
    payload = item.payload
    shown: dict[str, Any] = {"source": item.source, "content_type": payload.content_type, "bytes": len(payload.data)}
    if item.refused is not None:
        shown["error"] = item.refused
    elif payload.content_type == JSON and len(payload.data) <= SHOWN_BYTES:
        try:
            shown["item"] = orjson.loads(payload.data)
        except orjson.JSONDecodeError as error:
            shown["error"] = f"not JSON: {error.msg}"
    return shown
