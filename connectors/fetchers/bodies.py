"""The body of an answer over HTTP, within a limit."""

from __future__ import annotations

import aiohttp

_CHUNK_BYTES = 64 * 1024


async def body_within(response: aiohttp.ClientResponse, limit: int) -> tuple[bytes, int]:
    """What has come, and its size in bytes or, where that is over the limit, at least its size.

    Counts what arrives, decompressed where the session does that: a length that was announced may be a lie, or of the
    compressed body. What is over the limit is not read on.
    """
    size = response.content_length or 0
    chunks: list[bytes] = []
    if size <= limit:
        size = 0
        async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
            chunks.append(chunk)
            size += len(chunk)
            if size > limit:
                break
    if size > limit:
        response.close()  # or leaving would read on
    return b"".join(chunks), size
