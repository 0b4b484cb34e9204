"""Who asks, once the key is known to be good."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from aiohttp import web

from stream_infer.http.keys import SentKey

# Where there are no keys, everybody who reaches a server is the same caller.
ANONYMOUS = "anonymous"


def _always() -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Caller:
    """`name` is the key's, not its id: a rotated key is the same caller. `request_bytes`: of one request, beside the
    limits that everybody has. `is_let_in`: still, for what takes its time: a key may be taken back meanwhile."""

    name: str = ANONYMOUS
    key_id: str | None = None
    request_bytes: int | None = None
    sent: SentKey | None = field(default=None, repr=False)
    is_let_in: Callable[[], bool] = field(default=_always, repr=False, compare=False)


CALLER = web.RequestKey("caller", Caller)


def caller_of(request: web.Request) -> Caller:
    return request.get(CALLER) or Caller()
