"""A payload and the headers and query of the HTTP request that it came in, as one payload of the type REQUEST.

Only where a predictor wants to see them: every other item travels as it is, and pays nothing for this.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

import orjson

from stream_infer.errors import UndecodableItem

_LENGTH = struct.Struct("<I")


def pack_request(body: bytes, content_type: str, headers: Mapping[str, str], query: str) -> bytes:
    """The length of a head in JSON, the head, the body."""
    head = orjson.dumps([content_type, dict(headers), query])
    return b"".join((_LENGTH.pack(len(head)), head, body))


def unpack_request(data: bytes) -> tuple[bytes, str, dict[str, str], str]:
    """Body, content type, headers, query. Raises UndecodableItem."""
    try:
        (length,) = _LENGTH.unpack_from(data)
        end = _LENGTH.size + length
        head = orjson.loads(data[_LENGTH.size : end])
    except (struct.error, ValueError) as error:
        raise UndecodableItem(f"the item is no packed request: {error}") from None
    match head:
        case [str(content_type), dict(headers), str(query)]:
            return data[end:], content_type, headers, query
    raise UndecodableItem("the item is no packed request: its head says something else")
