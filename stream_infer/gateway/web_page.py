"""The web page at `/`: files of this package, which need no build step and nothing from elsewhere."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources
from typing import NamedTuple

from aiohttp import web

_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
_START = "index.html"
# No script, style or picture but the page's own, no frame around it; and what a script writes is text, never markup.
# Pictures of payloads come as blobs, since an <img> could not send the key.
_POLICY = "; ".join((
    "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' blob:", "connect-src 'self'",
    "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'", "require-trusted-types-for 'script'",
    "trusted-types 'none'",
))  # fmt: skip
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


class PageFile(NamedTuple):
    """`etag` is another one where the bytes are."""

    data: bytes
    content_type: str
    etag: str


class PageResource:
    """Nothing in it is secret: whoever may read nothing gets the page all the same, to be asked for a key."""

    def routes(self) -> list[web.RouteDef]:
        # No API can be called _page.
        return [web.get("/", self.start), web.get("/_page/{file}", self.file)]

    async def start(self, request: web.Request) -> web.Response:
        return _answer(request, page_files()[_START])

    async def file(self, request: web.Request) -> web.Response:
        found = page_files().get(request.match_info["file"])
        if found is None:
            raise web.HTTPNotFound
        return _answer(request, found)


@cache
def page_files() -> dict[str, PageFile]:
    """By name. Read once: they change with an update alone, which starts the gateway anew."""
    files = {}
    for place in resources.files("stream_infer.gateway").joinpath("page").iterdir():
        ending = place.name[place.name.rfind(".") :]
        if ending in _TYPES:
            data = place.read_bytes()
            files[place.name] = PageFile(data, _TYPES[ending], hashlib.sha256(data).hexdigest()[:32])
    return files


def _answer(request: web.Request, file: PageFile) -> web.Response:
    known = request.if_none_match or ()
    if any(tag.value in (file.etag, "*") for tag in known):
        response = web.Response(status=304, headers=_HEADERS)
    else:
        response = web.Response(body=file.data, content_type=file.content_type, charset="utf-8", headers=_HEADERS)
    response.etag = file.etag
    return response
