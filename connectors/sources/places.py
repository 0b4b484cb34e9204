"""What lists the places of a source: a listing of S3, a manifest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from connectors.sources.opening import Opener


class Placed(NamedTuple):
    """An object of a source: its address, the key of its items, and the cursor behind it (no '|', no blanks)."""

    uri: str
    key: bytes
    cursor: str


class Places(Protocol):
    """Objects in a stable order, in constant memory. Both raise SourceError or ServiceUnavailable."""

    def at(self, cursor: str, opener: Opener) -> Placed:
        """The object that the cursor stands behind."""
        ...

    def behind(self, cursor: str | None, opener: Opener) -> Iterator[Placed]:
        """Those behind the cursor; all of them for None."""
        ...

    def nothing(self) -> str:
        """What is wrong where there is none, and what to do."""
        ...
