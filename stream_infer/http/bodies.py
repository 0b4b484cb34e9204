"""Bodies of requests: within their size, and not for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeAlias

from aiohttp import web
from aiohttp.http_exceptions import ContentEncodingError
from aiohttp.typedefs import Middleware

from stream_infer.http.budget import UNPROVEN_BYTES, BodyBudget, Held
from stream_infer.http.callers import Caller, caller_of
from stream_infer.http.problems import Handler, Problem, ProblemKind

# A client that sends nothing for so long keeps others from sending.
SILENCE_S = 30.0
# And one that sends a byte now and then has so long, and for each second more has to send so many bytes.
GRACE_S = 60.0
SLOWEST_BYTES_PER_S = 4096
OF_KEY = "request_bytes of this API key"
# Where who asks could only be told by it.
BODY = web.RequestKey("body", bytes)
BUDGET = web.RequestKey("body_budget", BodyBudget)
HELD = web.RequestKey("body_held", Held)
Read: TypeAlias = Callable[[], Awaitable[bytes]]
"""The next bytes; none at the end. Raises ValueError where they are not what the body says that it is."""


async def read_body(request: web.Request) -> bytes:
    """The whole body, unpacked where it came packed. Raises a Problem: too large, broken off, too slow, or more than is
    left of the server's budget, which has it back when the request is answered."""
    read: bytes | None = request.get(BODY)
    if read is not None:
        return read
    take = taking(request)
    chunks = []
    async for chunk in body_chunks(request, request.client_max_size):
        take(len(chunk))
        chunks.append(chunk)
    return b"".join(chunks)


async def read_unproven_body(request: web.Request, caller: Caller) -> bytes:
    """The whole body of a request that only its body can prove to be `caller`'s: a small one, in a room of its own.
    `prove_body` makes it the caller's. Raises as `read_body`."""
    most = min(request.client_max_size or UNPROVEN_BYTES, caller.request_bytes or UNPROVEN_BYTES, UNPROVEN_BYTES)
    if (request.content_length or 0) > most:
        raise _too_large_to_sign(most)
    take = _taking(request, lambda budget: budget.hold_unproven(caller))
    chunks, size = [], 0
    async for chunk in body_chunks(request):
        size += len(chunk)
        if size > most:
            raise _too_large_to_sign(most)
        take(len(chunk))
        chunks.append(chunk)
    return b"".join(chunks)


def prove_body(request: web.Request, caller: Caller) -> None:
    """What `read_unproven_body` has read is `caller`'s. Raises a Problem where that one has too many bytes already."""
    held = request.get(HELD)
    if held is not None:
        held.prove(caller)


def taking(request: web.Request) -> Callable[[int], None]:
    """What takes bytes of the server's budget for a body that is held whole, until the request is answered; it raises a
    Problem where no more are left, and so does this where the body says that it has more."""
    return _taking(request, lambda budget: budget.hold(caller_of(request)))


def _taking(request: web.Request, hold: Callable[[BodyBudget], Held]) -> Callable[[int], None]:
    budget: BodyBudget | None = request.get(BUDGET)
    if budget is None:
        return lambda _size: None
    held = request[HELD] = hold(budget)
    held.expect(request.content_length or 0)
    return held.take


def within(budget: BodyBudget) -> Middleware:
    """Bodies that are read whole count for `budget` until their request is answered."""

    @web.middleware
    async def count(request: web.Request, handler: Handler) -> web.StreamResponse:
        request[BUDGET] = budget
        try:
            return await handler(request)
        finally:
            held = request.get(HELD)
            if held is not None:
                held.release()

    return count


async def body_chunks(request: web.Request, most: int | None = None, read: Read | None = None) -> AsyncIterator[bytes]:
    """The body as it comes, or what `read` makes of it; `most` bytes, and never more than the caller's key allows.
    Raises as `read_body`, and once that key is taken back.

    What counts is how long we wait for the client, not how long what is done with the bytes takes.
    """
    limit, named = _limit(request, most)
    caller = caller_of(request)
    if limit is not None and (request.content_length or 0) > limit:
        raise too_large(limit, named)
    read = read or request.content.readany
    loop = asyncio.get_running_loop()
    size, waited_s = 0, 0.0
    while True:
        began = loop.time()
        try:
            async with asyncio.timeout(SILENCE_S):
                chunk = await read()
        except TimeoutError:
            raise _slow(f"Nothing came for {SILENCE_S:g} s, behind {size} bytes. Send it again.") from None
        except (web.RequestPayloadError, ContentEncodingError, ValueError) as error:
            raise Problem(ProblemKind.MALFORMED_REQUEST, f"The body breaks off: {error}.") from error
        if not chunk:
            return
        waited_s += loop.time() - began
        size += len(chunk)
        if limit is not None and size > limit:
            raise too_large(limit, named)
        if is_too_slow(waited_s, size):
            detail = f"Of the body {size} bytes came in {waited_s:.0f} s; {SLOWEST_BYTES_PER_S} a second is the least."
            raise _slow(detail)
        if not caller.is_let_in():
            raise Problem(ProblemKind.NO_KEY, f"The API key was taken back, or ended, behind {size} bytes of the body.")
        yield chunk


def is_too_slow(waited_s: float, received: int) -> bool:
    return waited_s > GRACE_S + received / SLOWEST_BYTES_PER_S


def _limit(request: web.Request, most: int | None) -> tuple[int | None, str]:
    """The smaller one, and what it is called."""
    own = caller_of(request).request_bytes
    if own is not None and (not most or own < most):
        return own, OF_KEY
    return most or None, "limits.request_bytes"


def too_large(limit: int, named: str) -> Problem:
    """`named`: what says so."""
    detail = f"The body has more than {limit} bytes, which is {named}; for many items use a file, or POST …/items."
    return Problem(ProblemKind.TOO_LARGE, detail)


def _too_large_to_sign(most: int) -> Problem:
    detail = f"The body has more than {most} bytes, which is the most of a signed request."
    return Problem(ProblemKind.TOO_LARGE, detail)


def _slow(detail: str) -> Problem:
    return Problem(ProblemKind.REQUEST_TIMEOUT, detail)
