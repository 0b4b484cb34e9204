"""Each request under an id of its own: in its answer (`X-Request-Id`), in what is logged for it, in its span.

What changes something is told at INFO, what only looks at DEBUG; what the server has failed at, at WARNING.
"""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import Collection
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar

import structlog
from aiohttp import web
from aiohttp.typedefs import Middleware
from structlog.contextvars import bound_contextvars

from stream_infer.http.callers import CALLER
from stream_infer.http.problems import Handler
from stream_infer.telemetry import tracing
from stream_infer.telemetry.tracing import Attributes, Kind, Span
from stream_infer.trace_context import TraceContext, read_context

REQUEST_ID = "X-Request-Id"
_UNTRACED = frozenset({"/healthz", "/readyz", "/metrics"})
_LOOKS = frozenset({"GET", "HEAD", "OPTIONS"})
_SENT_ID = re.compile(r"[\w.:/+=@-]{1,128}", re.ASCII)
_LONGEST_PATH = 200
_NAME = "stream_infer.requests"
_LOG = structlog.get_logger(_NAME)
_id: ContextVar[str] = ContextVar("request_id", default="")


def request_id() -> str:
    """Of the request that this task answers; made here, so that nobody can send the id of another one."""
    return _id.get() or secrets.token_hex(8)


def telling(quiet: Collection[str] = ()) -> Middleware:
    """The first of the middlewares. `quiet`: routes whose requests only look, though they are posted."""

    @web.middleware
    async def tell(request: web.Request, handler: Handler) -> web.StreamResponse:
        id_, began = secrets.token_hex(8), time.monotonic()
        route = _route_of(request)
        token = _id.set(id_)
        try:
            with bound_contextvars(request_id=id_), _span(request, route) as opened:
                status: int | None = None
                try:
                    answered = await handler(request)
                    status = answered.status
                    if not answered.prepared:
                        answered.headers[REQUEST_ID] = id_
                    return answered
                except web.HTTPException as error:
                    status = error.status
                    error.headers[REQUEST_ID] = id_
                    raise
                finally:
                    _end(opened, status)
                    _log(request, route, status, time.monotonic() - began, quiet)
        finally:
            _id.reset(token)

    return tell


async def mark_stream(_request: web.Request, response: web.StreamResponse) -> None:
    """For `on_response_prepare`: a stream's headers leave before its handler is done."""
    if _id.get():
        response.headers.setdefault(REQUEST_ID, _id.get())


def _span(request: web.Request, route: str) -> AbstractContextManager[Span]:
    context = _context_of(request)
    if route in _UNTRACED:
        return nullcontext(tracing.NO_SPAN)
    attributes: Attributes = {
        "http.request.method": request.method,
        "http.route": route,
        "url.path": request.path[:_LONGEST_PATH],
        "url.scheme": request.scheme,
        "stream_infer.request.id": _id.get(),
    }
    return tracing.root_span(f"{request.method} {route}", Kind.SERVER, attributes, context)


def _context_of(request: web.Request) -> TraceContext | None:
    """Of two that say which, none counts."""
    said = request.headers.getall("traceparent", [])
    return read_context(said[0], ",".join(request.headers.getall("tracestate", []))) if len(said) == 1 else None


def _end(opened: Span, status: int | None) -> None:
    if status is not None:
        opened.tell({"http.response.status_code": status})
        if status >= 500:
            opened.fail(str(status))


def _log(request: web.Request, route: str, status: int | None, seconds: float, quiet: Collection[str]) -> None:
    """`status` None: the client went away before there was one."""
    has_failed = status is not None and status >= 500
    if route in _UNTRACED or (not has_failed and (request.method in _LOOKS or route in quiet)):
        if not logging.getLogger(_NAME).isEnabledFor(logging.DEBUG):
            return  # nearly always, and cheaper than to find out by saying it
        say = _LOG.debug
    else:
        say = _LOG.warning if has_failed else _LOG.info
    sent, caller = request.headers.get(REQUEST_ID, ""), request.get(CALLER)
    say(
        "request",
        method=request.method,
        path=request.path[:_LONGEST_PATH],
        route=route,
        status=status,
        seconds=round(seconds, 4),
        **({"client_request_id": sent} if _SENT_ID.fullmatch(sent) else {}),
        **({} if caller is None else {"caller": caller.name, "key_id": caller.key_id}),
    )


def _route_of(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return "unknown" if resource is None else resource.canonical
