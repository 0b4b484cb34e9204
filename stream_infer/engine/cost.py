"""How long an item is, for micro-batches of items that are alike: a model pads them all to the longest. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import orjson

from stream_infer.records import Payload

Length: TypeAlias = Callable[[Payload], int]


def bytes_of(payload: Payload) -> int:
    """Never below 1."""
    return max(1, len(payload.data))


def length_of_field(name: str) -> Length:
    """Of the text or list that stands there in a JSON item; where there is none, the payload's bytes."""

    def length(payload: Payload) -> int:
        try:
            item = orjson.loads(payload.data)
        except orjson.JSONDecodeError:  # it is rejected where it is decoded
            return bytes_of(payload)
        found = item.get(name) if isinstance(item, Mapping) else None
        return max(1, len(found)) if isinstance(found, str | list) else bytes_of(payload)

    return length
