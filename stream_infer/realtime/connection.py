"""One HTTP/1.1 connection: requests are read by httptools (llhttp, the parser of Node.js) and answered in their order.

Measured with 64 connections: a server of aiohttp's that does nothing takes 48 us of CPU for a request; here, with the
batching and the predictor's process behind it, it is 21.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import Any, Protocol

import httptools

from stream_infer.http.problems import Problem, ProblemKind
from stream_infer.realtime.heads import Heads
from stream_infer.realtime.messages import Asker, Reply, Request, problem_reply

_HEAD_BYTES = 64 * 1024
# A body that is larger than what comes with its head is read only once it is known that it is wanted.
_UNASKED_BYTES = 64 * 1024
# Requests that are sent before the last one is answered are rare; this many are read ahead.
_PIPELINED = 4
_LINGER_S = 1.0
# What one read takes, of any connection: it is parsed at once, and a process has one loop that serves.
_BUFFER = memoryview(bytearray(256 * 1024))
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """`body_bytes` of a request; `idle_s` between requests; `read_s` from a request's first byte to its last."""

    body_bytes: int
    idle_s: float = 75.0
    read_s: float = 60.0


class Answers(Protocol):
    """What answers requests: see `answering.py`."""

    def refusal(self, head: Request, length: int | None) -> Problem | None:
        """Why the body of such a request, of so many bytes (None: nobody knows), need not come. Must not block."""
        ...

    def answer(self, request: Request, asker: Asker) -> int: ...

    def leave(self, token: int) -> None: ...


class Connection(asyncio.BufferedProtocol):
    """`connections` holds all that are open, `heads` what their clients say each time. Once `is_closing` each answer is
    the last of its connection."""

    def __init__(
        self, answers: Answers, limits: ConnectionLimits, connections: set[Connection], heads: Heads | None = None
    ) -> None:
        self._answers = answers
        self._limits = limits
        self._connections = connections
        self._heads = heads or Heads()
        self._parser = httptools.HttpRequestParser(self)
        self._since = time.monotonic()
        self.is_closing = False
        # The request that is being read.
        self._is_reading = False
        self._is_in_head = True
        self._head_bytes = 0
        self._target = b""
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._unwanted: Problem | None = None
        self._whole: Request | None = None
        # Those that are read: the one that is being answered, and what came after it.
        self._is_busy = False
        self._token = 0
        self._method = b""
        self._keeps_alive = True
        self._queue: deque[tuple[Request, bool]] = deque()
        self._is_starting = False
        self._refusal: Problem | None = None
        self._is_blocked = False
        self._is_over = False

    # What the event loop says.

    def connection_made(self, transport: Any) -> None:
        self._transport: asyncio.Transport = transport
        self._connections.add(self)

    def connection_lost(self, _error: Exception | None) -> None:
        self._connections.discard(self)
        self._is_over = True
        if self._token:
            self._answers.leave(self._token)

    def get_buffer(self, _sizehint: int) -> memoryview:
        return _BUFFER

    def buffer_updated(self, nbytes: int) -> None:
        self.read(_BUFFER[:nbytes])

    def read(self, data: bytes | memoryview) -> None:
        """Takes what has come; keeps none of it but copies."""
        if self._is_over or self._refusal is not None:
            return
        begins = not (self._is_reading or self._is_busy or self._queue or self._is_blocked)
        if begins and (known := self._heads.find(data)) is not None:
            self._answer(known, keeps_alive=True)
            return
        if self._is_in_head:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.is_closing = True
        except httptools.HttpParserError as error:
            self._refuse(Problem(ProblemKind.MALFORMED_REQUEST, f"This is no HTTP/1.1 request: {error}."))
        else:
            if self._is_in_head and self._head_bytes > _HEAD_BYTES:
                detail = f"The request's line and headers have more than {_HEAD_BYTES} bytes."
                self._refuse(Problem(ProblemKind.HEADERS_TOO_LARGE, detail))
            elif self._unwanted is not None:
                self._refuse(self._unwanted)
            elif self._body_bytes > self._limits.body_bytes:
                detail = f"The body is over limits.request_bytes ({self._limits.body_bytes} bytes)."
                self._refuse(Problem(ProblemKind.TOO_LARGE, f"{detail} Refer to a large payload by its address."))
            whole, self._whole = self._whole, None
            if begins and whole is not None:
                self._heads.keep(data, whole)

    def eof_received(self) -> bool:
        """A client may close its side once it has asked; what is in flight is answered."""
        self._keeps_alive = False
        self.is_closing = True
        return self._is_busy

    def pause_writing(self) -> None:
        self._is_blocked = True

    def resume_writing(self) -> None:
        self._is_blocked = False
        self._start()

    # What the parser says, within `read`.

    def on_message_begin(self) -> None:
        self._is_reading = True
        self._since = time.monotonic()
        self._target, self._headers, self._body, self._body_bytes = b"", {}, [], 0

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        self._is_in_head, self._head_bytes = False, 0
        length = None
        if b"content-length" in self._headers:
            length = int(self._headers[b"content-length"])
            if length > self._limits.body_bytes:
                self._body_bytes = length  # none of it is read
                return
        if b"transfer-encoding" in self._headers or (length or 0) > _UNASKED_BYTES:
            head = Request(self._parser.get_method(), self._target, self._headers, b"")
            self._unwanted = self._answers.refusal(head, length)
            if self._unwanted is not None:
                return
        if b"expect" in self._headers and not self._is_busy:
            self._transport.write(_CONTINUE)

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self._body_bytes <= self._limits.body_bytes and self._unwanted is None:
            self._body.append(body)

    def on_message_complete(self) -> None:
        self._is_reading, self._is_in_head = False, True
        if self._body_bytes > self._limits.body_bytes or self._unwanted is not None:
            return
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._body = []
        request = Request(self._parser.get_method(), self._target, self._headers, body)
        # HTTP/1.0 would have to be told that the connection stays.
        keeps_alive = self._parser.should_keep_alive() and self._parser.get_http_version() != "1.0"
        if self._parser.should_upgrade():  # it is answered as if it had not asked; what follows may be anything
            keeps_alive = False
        self._whole = request if keeps_alive else None
        if self._is_busy or self._queue or self._is_blocked or self._is_over:
            self._queue.append((request, keeps_alive))
            if len(self._queue) >= _PIPELINED:
                self._transport.pause_reading()
        else:
            self._answer(request, keeps_alive=keeps_alive)

    # What is answered.

    def reply(self, reply: Reply) -> None:
        """Writes the answer to the request that is being answered, and goes on to the next."""
        if self._is_over:
            return
        self._token = 0
        self._is_busy = False
        self._since = time.monotonic()
        goes_on = self._keeps_alive and not reply.closes and not self.is_closing
        self._transport.write(_written(reply, goes_on=goes_on, is_head=self._method == b"HEAD"))
        if not goes_on:
            self._is_over = True
            self._transport.close()
        elif self._queue:
            self._start()
        elif self._refusal is not None:
            self._refuse(self._refusal)

    def close_if_idle(self) -> None:
        """Ends the connection unless a request is being answered or read; then its answer ends it."""
        self.is_closing = True
        if not self._is_busy and not self._is_reading and not self._queue:
            self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    def check_time(self, now: float) -> None:
        """Ends a connection on which nothing has come for too long."""
        if self._is_busy:
            return
        if self._is_over:
            if now - self._since > self._limits.read_s:  # its client does not take the last answer
                self.abort()
        elif self._is_reading and now - self._since > self._limits.read_s:
            detail = f"The request was not there within {self._limits.read_s:g} s."
            self._refuse(Problem(ProblemKind.REQUEST_TIMEOUT, detail))
        elif not self._is_reading and now - self._since > self._limits.idle_s:
            (self._transport.abort if self._is_blocked else self._transport.close)()

    def _start(self) -> None:
        """Answers what is read, in its order. An answer that comes at once ends in here again, hence the loop."""
        if self._is_starting:
            return
        self._is_starting = True
        while self._queue and not self._is_busy and not self._is_blocked and not self._is_over:
            request, keeps_alive = self._queue.popleft()
            if not self._queue:
                self._transport.resume_reading()
            self._answer(request, keeps_alive=keeps_alive)
        self._is_starting = False

    def _answer(self, request: Request, *, keeps_alive: bool) -> None:
        self._keeps_alive = keeps_alive
        self._is_busy = True
        self._method = request.method
        token = self._answers.answer(request, self)
        if self._is_busy:
            self._token = token

    def _refuse(self, problem: Problem) -> None:
        """Answers, in its turn, what cannot be read on from, and ends the connection. A client that still sends is
        heard out for a moment, or the system would reset the connection and the answer be lost."""
        self._refusal = problem
        if self._is_busy or self._queue:
            return
        self._is_over = True
        self._transport.write(_written(problem_reply(problem), goes_on=False, is_head=False))
        if self._transport.can_write_eof():
            self._transport.write_eof()
        asyncio.get_running_loop().call_later(_LINGER_S, self._transport.close)


def _written(reply: Reply, *, goes_on: bool, is_head: bool) -> bytes:
    """The bytes of an answer."""
    head = _head(reply.status, reply.content_type)
    if goes_on and not is_head and not reply.headers and reply.content_type is not None:  # nearly all
        return b"%b%bcontent-length: %d\r\n\r\n%b" % (head, _DATE.line(), len(reply.body), reply.body)
    rest = b"" if goes_on else b"connection: close\r\n"
    for name, value in reply.headers:
        rest += f"{name}: {value}\r\n".encode("latin-1")
    length = b"" if reply.content_type is None else b"content-length: %d\r\n" % len(reply.body)
    return b"".join((head, _DATE.line(), length, rest, b"\r\n", b"" if is_head else reply.body))


@lru_cache(maxsize=256)
def _head(status: int, content_type: str | None) -> bytes:
    told = "" if content_type is None else f"content-type: {_one_line(content_type)}\r\n"
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n{told}".encode("latin-1", "replace")


def _one_line(text: str) -> str:
    """A content type may be a predictor's own words."""
    return "".join(char for char in text if char.isprintable())


class _Date:
    """The Date header, made once a second."""

    def __init__(self) -> None:
        self._second = 0
        self._line = b""

    def line(self) -> bytes:
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._line = f"date: {formatdate(second, usegmt=True)}\r\n".encode()
        return self._line


_DATE = _Date()
