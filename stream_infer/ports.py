"""What the roles ask of the world outside Kafka. `connectors/` answers; cli and local wire the two together."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from stream_infer.records import Payload


@dataclass(frozen=True, slots=True)
class Reference:
    """Where a payload lies: `uri` is s3://, file:// or http(s)://; `content_type` None asks the place itself."""

    uri: str
    content_type: str | None = None


class Fetcher(Protocol):
    """Brings a referenced payload.

    Raises RefusedItem (gone, forbidden, outside what is allowed, too large) or RetryableError (may pass).
    """

    async def fetch(self, reference: Reference) -> Payload: ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object of a store: its key below the store's root, its size in bytes."""

    key: str
    size: int


class Store(Protocol):
    """An object store, or a directory that behaves like one: an object is there whole or not at all.

    Keys are relative to the store's root, '/' between the parts. Every method may block and raises
    ServiceUnavailable when the store cannot be reached or refuses the credentials.
    """

    def uri(self, key: str) -> str:
        """The address by which others reach the object."""
        ...

    def put(self, key: str, data: bytes, content_type: str = "application/octet-stream") -> None:
        """Writes the object, replacing one of the same key."""
        ...

    def put_chunks(self, key: str, chunks: Iterable[bytes], content_type: str = "application/octet-stream") -> None:
        """As `put`, of any length; holds some MiB. What `chunks` raises goes on to the caller, and nothing is left."""
        ...

    def get(self, key: str) -> bytes:
        """The object's bytes; KeyError where there is none."""
        ...

    def piece(self, key: str, start: int, size: int) -> bytes:
        """So many of the object's bytes, or those that there are, from `start` on, which lies within the object;
        KeyError where there is none."""
        ...

    def exists(self, key: str) -> bool: ...

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """All objects whose key starts with `prefix`, in the order of their keys."""
        ...

    def link(self, key: str, seconds: int) -> str:
        """An address by which anybody can read the object for so many seconds, whether it is there or not.

        Asks nobody. Raises NoLinks where the store has none.
        """
        ...

    def delete(self, key: str) -> None:
        """Removes the object; none of that key is no error."""
        ...


@dataclass(frozen=True, slots=True)
class SourceItem:
    """One item of a job's source. `cursor` resumes the source after this item; `source` is its URI or line.

    `refused` says why its source cannot give it, where the others can be given: it ends as a dead letter.
    """

    payload: Payload
    source: str
    cursor: str
    key: bytes | None = None
    custom_id: str | None = None
    refused: str | None = None


class Source(Protocol):
    """A job's items, lazily and in a stable order, in constant memory."""

    def read(self, after: str | None) -> Iterator[SourceItem]:
        """The items behind the cursor `after` (None: from the start). May block for minutes.

        Raises SourceError, or ServiceUnavailable where it may be read on later.
        """
        ...


class NumberedLine(Protocol):
    """One result as a line of JSON, its line end included. `ordinal`: its item's place in the job's source."""

    @property
    def ordinal(self) -> int | None: ...

    @property
    def data(self) -> bytes: ...


class ResultLines(Protocol):
    """The lines of one object, in the order of their items."""

    @property
    def body(self) -> bytes:
        """All of them, one behind the other."""
        ...

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[NumberedLine]: ...


@dataclass(frozen=True, slots=True)
class ItemObject:
    """One item's output as an object of its own. `copied_from`: the URI of what it is a copy of; `data` stands in for
    that where it is gone."""

    name: str
    data: bytes
    content_type: str
    copied_from: str | None = None


class Folder(Protocol):
    """Where the item objects of a job lie."""

    def get(self, name: str) -> bytes:
        """Raises KeyError or ServiceUnavailable."""
        ...

    def uri(self, name: str) -> str: ...


class ObjectFormat(Protocol):
    """How results lie in an object: made of lines of JSON, and read back as such. Pure, and safe to share.

    `suffix` is what the names of such objects end with. The same lines make the same objects.
    """

    @property
    def suffix(self) -> str: ...

    @property
    def content_type(self) -> str: ...

    def encode(self, lines: ResultLines) -> bytes:
        """The object. At least one line; raises nothing for what a line holds."""
        ...

    def items(self, lines: ResultLines) -> Iterator[ItemObject]:
        """What is to lie beside the object; most formats have nothing."""
        ...

    def shape_of(self, data: bytes) -> str | None:
        """What of the object has to agree with others, at most some KiB; None where that is nothing."""
        ...

    def agree(self, shapes: Collection[str]) -> bool:
        """Whether objects of these shapes can be read together."""
        ...

    def plain(self, data: bytes) -> bytes:
        """The object with the same lines, such that it agrees with all others."""
        ...

    def decode(self, data: bytes, items: Folder) -> Iterator[bytes]:
        """The lines again, one at a time. Raises ValueError where it is no such object, and what `items` raises."""
        ...


Formats: TypeAlias = Mapping[str, ObjectFormat]
"""By their names in the settings; what is not in it is written as lines of JSON."""


@dataclass(frozen=True, slots=True)
class Posted:
    """How a request was answered: with `status`; or not at all, for the `reason`, which a person can act on.

    `retry_after`: the seconds for which the receiver asks to be left alone.
    """

    status: int | None
    reason: str | None = None
    retry_after: float | None = None

    @property
    def is_success(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


class Poster(Protocol):
    """Sends to addresses that users name."""

    def objection(self, url: str) -> str | None:
        """Why nothing is ever sent there, as far as that can be told without asking anybody."""
        ...

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Posted:
        """One try, within a time of its own. Raises nothing but what ends the process."""
        ...

    async def close(self) -> None: ...
