"""What a client sends to deploy an API: its definition, and the code that the definition's paths are seen from."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import BodyPartReader, web
from aiohttp.hdrs import CONTENT_ENCODING
from aiohttp.http_exceptions import HttpProcessingError

from stream_infer.gateway.deployments.checks import LONGEST_DEFINITION
from stream_infer.http.bodies import SILENCE_S, is_too_slow, read_body, taking
from stream_infer.http.callers import caller_of
from stream_infer.http.problems import Problem, ProblemKind
from stream_infer.http.requests import JSON_TYPE, parse_body, require_content_type

MULTIPART = "multipart/form-data"
MERGE_PATCH = "application/merge-patch+json"
DEFINITION, CODE = "definition", "code"
_CHUNK = 256 * 1024
# What aiohttp's own raises of a form that is none.
_OF_READER = (ValueError, AssertionError, RuntimeError, HttpProcessingError, web.RequestPayloadError)


@dataclass(frozen=True, slots=True)
class Deployment:
    """As it was sent: `definition` is any JSON yet, `code` a tar.gz or anything else."""

    definition: Any
    code: bytes | None


async def read_deployment(request: web.Request, code_bytes: int) -> Deployment:
    """The two parts, in any order; `code_bytes` at most of code. Raises a Problem."""
    require_content_type(request, (MULTIPART,))
    most = {DEFINITION: LONGEST_DEFINITION, CODE: code_bytes}
    own = caller_of(request).request_bytes
    if own is not None:
        most = {name: min(limit, own) for name, limit in most.items()}
    parts: dict[str, bytes] = {}
    take = taking(request)
    try:
        async for part in _parts(request):
            name = part.name or ""
            if name not in most or name in parts:
                fault = "is given twice" if name in parts else "is unknown"
                raise _malformed(f"The part {name[:100]!r} {fault}; send {DEFINITION} (JSON) and {CODE} (a tar.gz).")
            parts[name] = await _read(part, name, most[name], take)
    except _OF_READER as error:
        raise _malformed(
            f"The body cannot be read as {MULTIPART}: {str(error)[:200] or type(error).__name__}."
        ) from None
    if DEFINITION not in parts:
        raise _malformed(f"The part {DEFINITION!r} is missing: JSON of the API as stream-infer.yaml would have it.")
    return Deployment(parse_body(parts[DEFINITION]), parts.get(CODE))


async def read_patch(request: web.Request) -> Any:
    """A JSON merge patch (RFC 7396). Raises a Problem."""
    require_content_type(request, (MERGE_PATCH, JSON_TYPE))
    return parse_body(await read_body(request))


async def _parts(request: web.Request) -> AsyncIterator[BodyPartReader]:
    reader = await request.multipart()
    while (part := await _in_time(reader.next())) is not None:
        if not isinstance(part, BodyPartReader):
            raise _malformed("A part is itself of several parts; send each as it is.")
        yield part


async def _read(part: BodyPartReader, name: str, most: int, take: Callable[[int], None]) -> bytes:
    if part.headers.get(CONTENT_ENCODING, "identity").lower() != "identity":
        # Unpacked it could have any size, which nobody would have bounded or counted.
        raise _malformed(f"The part {name!r} has a {CONTENT_ENCODING}; send it as it is, code as a tar.gz.")
    data, began = bytearray(), asyncio.get_running_loop().time()
    while chunk := await _in_time(part.read_chunk(_CHUNK)):
        take(len(chunk))
        data += chunk
        if len(data) > most:
            limit = "limits.code_bytes" if name == CODE else "the most that a definition may have"
            detail = f"The part {name!r} has more than {most} bytes, which is {limit}."
            hint = " Keep data and models out of it: a predictor's `model` may be an s3:// address." * (name == CODE)
            raise Problem(ProblemKind.TOO_LARGE, detail + hint)
        if is_too_slow(asyncio.get_running_loop().time() - began, len(data)):
            raise Problem(ProblemKind.REQUEST_TIMEOUT, f"Of the part {name!r} {len(data)} bytes came, too slowly.")
    return bytes(part.decode(bytes(data)))


async def _in_time(reading: Any) -> Any:
    try:
        async with asyncio.timeout(SILENCE_S):
            return await reading
    except TimeoutError:
        raise Problem(ProblemKind.REQUEST_TIMEOUT, f"Nothing came for {SILENCE_S:g} s. Send it again.") from None


def _malformed(detail: str) -> Problem:
    return Problem(ProblemKind.MALFORMED_REQUEST, detail)
