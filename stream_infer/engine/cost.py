"""How long an item is, for micro-batches of items that are alike: a model pads them all to the longest. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import orjson

from stream_infer.records import Payload

# Measured: 0.2 ms of parsing for a text, 1.7 ms for numbers.
_LARGEST_READ = 256 * 1024

Length: TypeAlias = Callable[[Payload], int]


def bytes_of(payload: Payload) -> int:
    """Never below 1."""
    return max(1, len(payload.data))


def length_of_field(name: str) -> Length:
    """Of the text or list that stands there in a JSON item; where there is none, the payload's bytes.

    So, too, of an item that is too large to be read twice: the thread that asks has Kafka to serve.
    """

    def length(payload: Payload) -> int:
        if len(payload.data) > _LARGEST_READ:
            return bytes_of(payload)
        try:
            item = orjson.loads(payload.data)
        except orjson.JSONDecodeError:  # it is rejected where it is decoded
            return bytes_of(payload)
        found = item.get(name) if isinstance(item, Mapping) else None
        return max(1, len(found)) if isinstance(found, str | list) else bytes_of(payload)

    return length
