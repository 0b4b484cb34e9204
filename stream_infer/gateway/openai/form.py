"""A form with a file in it (multipart/form-data), as OpenAI's clients upload one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass

from aiohttp import BodyPartReader, web
from aiohttp.http_exceptions import HttpProcessingError

from stream_infer.http.bodies import SILENCE_S, body_chunks
from stream_infer.http.problems import FieldError, Problem, ProblemKind
from stream_infer.http.requests import refuse_strangers, require_content_type

FORM = "multipart/form-data"
_CHUNK_BYTES = 256 * 1024
_LONGEST_VALUE = 1024
_MOST_FIELDS = 20


@dataclass(frozen=True, slots=True)
class Field:
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class SentFile:
    """Its bytes are to be read before what follows it in the form."""

    name: str
    filename: str
    chunks: AsyncIterator[bytes]


async def parts_of(request: web.Request) -> AsyncGenerator[Field | SentFile, None]:
    """The form's parts as they come. Raises a Problem, as `body_chunks` does too.

    A browser sends such a form anywhere without asking first: so a page of others is refused here.
    """
    refuse_strangers(request.headers.get("Origin"), request.headers.get("Host"))
    require_content_type(request, (FORM,))
    try:
        reader = await request.multipart()
        for _ in range(_MOST_FIELDS + 1):
            async with asyncio.timeout(SILENCE_S):
                part = await reader.next()
            if part is None:
                return
            if not isinstance(part, BodyPartReader) or not part.name:
                raise _malformed("one of its parts has no name, or is a form of its own")
            name = _readable(part.name)
            if part.filename is not None:
                yield SentFile(name, _readable(part.filename), _chunks(request, part))
            else:
                yield Field(name, await _value(name, _chunks(request, part)))
    except TimeoutError:
        detail = f"Nothing came for {SILENCE_S:g} s in the middle of the form. Send it again."
        raise Problem(ProblemKind.REQUEST_TIMEOUT, detail) from None
    # RuntimeError: aiohttp's, of a part `_charset_` that is none.
    except (ValueError, AssertionError, RuntimeError, HttpProcessingError, web.RequestPayloadError) as error:
        raise _malformed(str(error) or "it breaks off") from error
    raise _malformed(f"it has more than {_MOST_FIELDS} parts")


def _readable(text: str) -> str:
    """Of a header that was no UTF-8, what can be written and shown: aiohttp keeps its bytes as half characters."""
    return text.encode(errors="surrogateescape").decode(errors="replace")


async def _value(name: str, chunks: AsyncIterator[bytes]) -> str:
    data = bytearray()
    async for chunk in chunks:
        data += chunk
        if len(data) > _LONGEST_VALUE:
            detail = f"the value of {name[:100]!r} has more than {_LONGEST_VALUE} bytes"
            pointer = f"/{name[:100]}"
            raise Problem(ProblemKind.INVALID_REQUEST, detail, errors=[FieldError(pointer=pointer, detail=detail)])
    return data.decode(errors="replace")


async def _chunks(request: web.Request, part: BodyPartReader) -> AsyncIterator[bytes]:
    async for chunk in body_chunks(request, read=lambda: part.read_chunk(_CHUNK_BYTES)):
        yield chunk


def _malformed(why: str) -> Problem:
    return Problem(ProblemKind.MALFORMED_REQUEST, f"The form cannot be read: {why}.")
