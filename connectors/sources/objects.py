"""What becomes of the objects that a source lists: items by address, by reference, by line, or unpacked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Protocol

import orjson

from connectors.content_types import content_type_of, typed
from connectors.policy import FetchPolicy
from connectors.s3_clients import S3Clients
from connectors.sources.jsonl import lines_of, reading, unpacked
from connectors.sources.lines import MAX_LINE_BYTES
from connectors.sources.opening import Opener
from connectors.sources.places import Placed, Places
from stream_infer.errors import SourceError
from stream_infer.ports import SourceItem, Store
from stream_infer.records import JSON, REFERENCE, Payload


class Content(Protocol):
    """Makes items of an object. Their cursor is the object's, with `|` and one within it where there are several."""

    def items(self, placed: Placed, after: str | None, opener: Opener) -> Iterator[SourceItem]:
        """Those behind the cursor `after` within it. Raises SourceError or ServiceUnavailable."""
        ...


class AddressItems:
    """The object's address as JSON text, for a predictor that reads it itself."""

    def items(self, placed: Placed, after: str | None, opener: Opener) -> Iterator[SourceItem]:  # noqa: ARG002 - a Content
        payload = Payload(orjson.dumps(placed.uri), JSON)
        yield SourceItem(payload, source=placed.uri, cursor=placed.cursor, key=placed.key)


@dataclass(frozen=True, slots=True)
class ReferenceItems:
    """A reference that the worker fetches. Without a `content_type` what S3 says counts, then the name."""

    content_type: str | None = None

    def items(self, placed: Placed, after: str | None, opener: Opener) -> Iterator[SourceItem]:  # noqa: ARG002 - a Content
        value = {"uri": placed.uri} | ({} if self.content_type is None else {"content_type": self.content_type})
        payload = Payload(orjson.dumps(value), REFERENCE)
        yield SourceItem(payload, source=placed.uri, cursor=placed.cursor, key=placed.key)


@dataclass(frozen=True, slots=True)
class LineItems:
    """Each line that is not blank. `unpacks` gzip whatever the name; one that ends in .gz is unpacked anyway."""

    content_type: str | None = None
    unpacks: bool = False
    max_line_bytes: int = MAX_LINE_BYTES

    def items(self, placed: Placed, after: str | None, opener: Opener) -> Iterator[SourceItem]:
        kind = typed(self.content_type, lambda: _type_of_lines(placed.uri))
        file = opener.file(placed.uri)
        unpacks = self.unpacks or placed.uri.endswith(".gz")
        for line in lines_of(file, after, unpacks=unpacks, max_line_bytes=self.max_line_bytes):
            source = f"{placed.uri}#line={line.cursor.line}"
            cursor = f"{placed.cursor}|{line.cursor}"
            yield SourceItem(Payload(line.data, kind), source, cursor, refused=line.refused)


@dataclass(frozen=True, slots=True)
class UnpackedItems:
    """The object's bytes, unpacked from gzip: what a worker would fetch is packed."""

    content_type: str | None = None
    max_bytes: int = MAX_LINE_BYTES

    def items(self, placed: Placed, after: str | None, opener: Opener) -> Iterator[SourceItem]:  # noqa: ARG002 - a Content
        name = placed.uri.removesuffix(".gz")
        with ExitStack() as stack:
            stack.enter_context(reading(placed.uri))
            file, _ = opener.file(placed.uri).open()
            stack.enter_context(file)
            data = stack.enter_context(unpacked(file)).read(self.max_bytes + 1)
        refused = None
        if len(data) > self.max_bytes:
            data, refused = b"", f"{placed.uri} has more than {self.max_bytes} bytes unpacked: raise fetch.max_bytes"
        payload = Payload(data, content_type_of(name, given=self.content_type))
        yield SourceItem(payload, source=placed.uri, cursor=placed.cursor, key=placed.key, refused=refused)


class ObjectsSource:
    """The items of all `places`, one after the other. A file without lines among many is no fault."""

    def __init__(
        self,
        places: Places,
        content: Content,
        policy: FetchPolicy,
        clients: S3Clients | None = None,
        *,
        store: Store | None = None,
    ) -> None:
        self._places = places
        self._content = content
        self._policy = policy
        self._clients = clients
        self._store = store

    def read(self, after: str | None) -> Iterator[SourceItem]:
        """The items behind `after`. Raises SourceError or ServiceUnavailable."""
        object_cursor, _, within = (after or "").partition("|")
        given = after is not None
        with Opener(self._policy, self._clients, self._store) as opener:
            if within:
                yield from self._content.items(self._places.at(object_cursor, opener), within, opener)
            for placed in self._places.behind(object_cursor if after is not None else None, opener):
                for item in self._content.items(placed, None, opener):
                    given = True
                    yield item
        if not given:
            raise SourceError(self._places.nothing())


def _type_of_lines(uri: str) -> str:
    """Text where the name says so; else JSON, as everywhere."""
    kind = content_type_of(uri.removesuffix(".gz"))
    return kind if kind.startswith("text/") else JSON
