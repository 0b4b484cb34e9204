"""By which names a server may be called that asks nobody for a key.

A page of strangers may have a name that leads to its own server first, and then to 127.0.0.1 (DNS rebinding): to the
browser that shows it we are the page's own site, and it may read all that we answer. What no page can have for its name
is an address, or localhost.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection

from aiohttp import web
from aiohttp.typedefs import Middleware

from stream_infer.http.problems import Handler, Problem, ProblemKind


def require_own_name(host: str | None, names: Collection[str]) -> None:
    """`host` as the request's header has it; `names`, in lower case, are ours beside addresses and localhost. Raises a
    Problem.

    A request without the header comes from no browser.
    """
    name = _name_in(host or "")
    if name and name not in names and not _leads_here_alone(name):
        detail = (
            f"This server is not called {name[:100]!r}: ask it by its address, or as localhost. Where a proxy passes "
            "that name on, it belongs into gateway.public_url; or let clients bring keys (gateway.api_keys_file)."
        )
        raise Problem(ProblemKind.FOREIGN_HOST, detail)


def own_names_only(names: Collection[str]) -> Middleware:
    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        require_own_name(request.headers.get("Host"), names)
        return await handler(request)

    return check


def _name_in(host: str) -> str:
    """Without the port."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].rstrip(".").lower()


def _leads_here_alone(name: str) -> bool:
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
