"""Sending a webhook: one POST to an address that a user has named, through the address guard."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from http import HTTPStatus

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from connectors.fetchers.addresses import GuardedResolver, check_literal
from connectors.fetchers.names import SystemResolver
from connectors.retry_after import retry_after_s
from stream_infer.errors import RefusedItem
from stream_infer.ports import Posted

USER_AGENT = "stream-infer"
CONNECTIONS = 64
_MAY = "If jobs may make a gateway talk to it, set webhooks.allow_private_addresses"


class WebhookPoster:
    """Follows no redirect, since where one leads nobody has asked for; reads nothing of what is answered but its status
    and its `Retry-After`.

    No environment proxy, no cookies, no credentials but the signature. Opens its session with the first post; `close`
    ends it. `resolver` stands in for the system's; what it answers is guarded all the same.
    """

    def __init__(
        self, *, timeout_s: float, allow_private_addresses: bool, resolver: AbstractResolver | None = None
    ) -> None:
        self._timeout_s = timeout_s
        self._allow_private = allow_private_addresses
        self._resolver = resolver or SystemResolver(CONNECTIONS)
        self._session: aiohttp.ClientSession | None = None

    def objection(self, url: str) -> str | None:
        """A name is asked for only when it is sent to."""
        try:
            host = URL(url).raw_host
            if host is None:
                return "it has no host: write https://host/path"
            if not self._allow_private:
                check_literal(host, _MAY)
        except (ValueError, RefusedItem) as error:
            return str(error)
        return None

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Posted:
        objection = self.objection(url)
        if objection is not None:
            return Posted(None, objection)
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._post(url, headers, body)
        except TimeoutError:
            return Posted(None, f"no answer within {self._timeout_s:g} s (webhooks.timeout)")
        except RefusedItem as error:
            return Posted(None, str(error))
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # Their texts may hold the whole URL: none is shown.
            return Posted(None, _reason(error))

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
        await self._resolver.close()  # the session leaves alone what it was given

    async def _post(self, url: str, headers: Mapping[str, str], body: bytes) -> Posted:
        sent = {"user-agent": USER_AGENT, **headers}
        response = await self._opened().post(URL(url), data=body, headers=sent, allow_redirects=False)
        try:
            wish = retry_after_s(response.headers.get("Retry-After"), time.time())
            return Posted(response.status, _complaint(response.status), wish)
        finally:
            response.close()  # or its body would be read on, however long it is

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            guarded = self._resolver if self._allow_private else GuardedResolver(self._resolver, _MAY)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(resolver=guarded, limit=CONNECTIONS),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None),  # `post` bounds the whole way
                trust_env=False,
                auto_decompress=False,
            )
        return self._session


def _complaint(status: int) -> str | None:
    """What a person has to know of an answer that is none of success. Not what the receiver has written."""
    if 200 <= status < 300:
        return None
    try:
        named = f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        named = str(status)
    if 300 <= status < 400:
        return f"it answers {named}, and webhooks follow no redirects: name the place that it leads to"
    return f"it answers {named}"


def _reason(error: Exception) -> str:
    match error:
        case aiohttp.ClientConnectorCertificateError():
            return f"the certificate of {error.host} is not trusted here"
        case aiohttp.ClientConnectorError():
            return f"{error.host} cannot be reached ({error.os_error.strerror or error.os_error})"
        case aiohttp.ClientError() | OSError():
            return f"the connection broke ({type(error).__name__})"
        case _:
            return "its address cannot be asked: write https://host/path"
