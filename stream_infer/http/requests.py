"""Reading requests: bodies within their limits, query strings, headers."""

from __future__ import annotations

import math
from collections.abc import Collection
from enum import StrEnum
from typing import Any, TypeVar
from urllib.parse import urlsplit

from aiohttp import web

from stream_infer.http.json_text import MalformedJson, parse_json
from stream_infer.http.problems import Problem, ProblemKind, hint

JSON_TYPE = "application/json"
NDJSON_TYPES = ("application/x-ndjson", "application/ndjson", "application/jsonl")
IDEMPOTENCY_KEY = "Idempotency-Key"
# Of a prediction: the seconds that the client waits.
TIMEOUT = "si-timeout"
_LONGEST_KEY = 255

OneState = TypeVar("OneState", bound=StrEnum)


def require_content_type(request: web.Request, accepted: Collection[str]) -> None:
    """Also keeps web pages of strangers away: a browser asks first before it sends one of these types elsewhere."""
    if request.content_type not in accepted:
        given = request.headers.get("Content-Type", "none")[:100]
        detail = f"The content type is {given!r}; send {' or '.join(accepted)}."
        raise Problem(ProblemKind.UNSUPPORTED_MEDIA_TYPE, detail, headers={"Accept": ", ".join(accepted)})


def accepts_lines(request: web.Request) -> bool:
    """Whether the client asks for JSON lines, by the Accept header."""
    accepted = request.headers.get("Accept", "").lower()
    return any(kind.partition(";")[0].strip() in NDJSON_TYPES for kind in accepted.split(","))


def refuse_strangers(origin: str | None, host: str | None) -> None:
    """Where any content type is read, a web page of strangers could ask, too: its browser says whose it is."""
    if origin is not None and urlsplit(origin).netloc != (host or ""):
        detail = f"The page that asks is of {origin[:100]!r}, not of this server; let its own server ask."
        raise Problem(ProblemKind.FOREIGN_ORIGIN, detail)


def parse_body(data: bytes) -> Any:
    """The body's JSON value, or a Problem with its position."""
    try:
        return parse_json(data)
    except MalformedJson as error:
        detail = f"The body is not JSON: {error}."
        raise Problem(ProblemKind.MALFORMED_JSON, detail, line=error.line, column=error.column) from None


def read_query(request: web.Request, known: Collection[str]) -> dict[str, str]:
    """The query's parameters; an unknown or repeated one is a Problem, not ignored."""
    for name in request.query:
        if name not in known:
            listed = f"Known parameters: {', '.join(known)}." if known else "This path takes none."
            detail = f"The parameter {name[:100]!r} is unknown.{hint(name, known)} {listed}"
            raise Problem(ProblemKind.INVALID_QUERY, detail)
        if len(request.query.getall(name)) > 1:
            raise Problem(ProblemKind.INVALID_QUERY, f"The parameter {name!r} is given more than once.")
    return dict(request.query)


def integer(query: dict[str, str], name: str, default: int, low: int, high: int) -> int:
    text = query.get(name)
    if text is None:
        return default
    if text.isascii() and text.isdecimal() and len(text) < 10 and low <= int(text) <= high:
        return int(text)
    detail = f"{name}={text[:40]!r} is not a whole number from {low} to {high}."
    raise Problem(ProblemKind.INVALID_QUERY, detail)


def flag(query: dict[str, str], name: str) -> bool:
    text = query.get(name, "false").lower()
    if text not in ("true", "false"):
        raise Problem(ProblemKind.INVALID_QUERY, f"{name}={text[:40]!r} is neither true nor false.")
    return text == "true"


def read_timeout(wish: str) -> float:
    """The seconds that the header TIMEOUT asks for, or a Problem."""
    try:
        seconds = float(wish)
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds > 0):
        detail = f"{TIMEOUT}: {wish[:40]!r} is no number of seconds above 0."
        raise Problem(ProblemKind.MALFORMED_REQUEST, detail)
    return seconds


def idempotency_key(request: web.Request) -> str | None:
    key = request.headers.get(IDEMPOTENCY_KEY)
    if key is not None and not (0 < len(key) <= _LONGEST_KEY and key.isprintable()):
        detail = f"{IDEMPOTENCY_KEY} has 1 to {_LONGEST_KEY} printable characters; this one has {len(key)}."
        raise Problem(ProblemKind.MALFORMED_REQUEST, detail)
    return key


def state_of(kind: type[OneState], text: str | None) -> OneState | None:
    """What a query's `state` asks for; None where it asks for none."""
    if text is None:
        return None
    try:
        return kind(text)
    except ValueError:
        known = [state.value for state in kind]
        detail = f"state={text[:40]!r} is no state.{hint(text, known)} States: {', '.join(known)}."
        raise Problem(ProblemKind.INVALID_QUERY, detail) from None
