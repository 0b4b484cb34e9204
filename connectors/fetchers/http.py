"""http:// and https:// references, through the address guard."""

from __future__ import annotations

import asyncio
import time

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from connectors.content_types import content_type_of
from connectors.fetchers.addresses import GuardedResolver, check_literal
from connectors.fetchers.bodies import body_within
from connectors.fetchers.names import SystemResolver
from connectors.policy import FetchPolicy
from connectors.retry_after import retry_after_s
from connectors.uris import redacted
from stream_infer.errors import ItemError, RefusedItem, RetryableError
from stream_infer.ports import Reference
from stream_infer.records import Payload

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PASSING = frozenset({408, 425, 429})


class HttpFetcher:
    """Follows redirects itself, so that each address is checked before anything is sent to it.

    No environment proxy, no cookies, no credentials. Opens its session with the first fetch; `close` ends it.
    `resolver` stands in for the system's; what it answers is guarded all the same.
    """

    def __init__(self, policy: FetchPolicy, resolver: AbstractResolver | None = None) -> None:
        self._policy = policy
        self._resolver = resolver or SystemResolver(policy.concurrency)
        self._session: aiohttp.ClientSession | None = None

    async def fetch(self, reference: Reference) -> Payload:
        """Raises RefusedItem or RetryableError."""
        try:
            async with asyncio.timeout(self._policy.timeout_s):
                return await self._follow(reference)
        except TimeoutError:
            raise RetryableError(
                f"{redacted(reference.uri)} did not arrive within {self._policy.timeout_s:g} s (fetch.timeout)"
            ) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # Their texts may hold the whole URL, a signature included: none is shown, none is chained.
            raise _translated(error, reference.uri) from None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
        await self._resolver.close()  # the session leaves alone what it was given

    async def _follow(self, reference: Reference) -> Payload:
        url = self._checked(reference.uri, None)
        for _ in range(self._policy.max_redirects + 1):
            async with self._opened().get(url, allow_redirects=False) as response:
                target = response.headers.get("Location")
                if response.status in _REDIRECTS and target is not None:
                    url = self._checked(target, url)
                    continue
                _check_status(response)
                data = await self._body(response)
                told = response.headers.get("Content-Type")
                return Payload(data, content_type_of(url.path, given=reference.content_type, told=told))
        raise RefusedItem(
            f"{redacted(reference.uri)} redirects more than {self._policy.max_redirects} times: "
            "refer to where the payload lies"
        )

    def _checked(self, text: str, base: URL | None) -> URL:
        """The URL to ask next: `text`, or where `base` is given the redirect from there to `text`."""
        shown = redacted(text) if base is None else f"{redacted(str(base))} redirects to {redacted(text)}, which"
        try:
            url = URL(text) if base is None else base.join(URL(text))
        except ValueError:
            raise RefusedItem(f"{shown} is not a URL: write https://host/path") from None
        if url.scheme not in ("http", "https") or not url.raw_host:
            raise RefusedItem(f"{shown} is not an http(s) address: only those are followed")
        if base is not None and (base.scheme, url.scheme) == ("https", "http"):
            raise RefusedItem(
                f"{shown} is not encrypted although the first was: refer to it by http:// if that is meant"
            )
        if url.raw_user is not None or url.raw_password is not None:
            raise RefusedItem(f"{shown} holds a user or a password: use a signed URL, or S3, instead")
        if not self._policy.allow_private_addresses:
            check_literal(url.raw_host)
        return url

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            guarded = self._resolver if self._policy.allow_private_addresses else GuardedResolver(self._resolver)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(resolver=guarded, limit=self._policy.concurrency),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None),  # `fetch` bounds the whole way
                trust_env=False,
            )
        return self._session

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        limit = self._policy.max_bytes
        data, size = await body_within(response, limit)
        if size > limit:
            raise RefusedItem(
                f"{redacted(str(response.url))} has {size} bytes or more, the limit is {limit}: "
                "raise fetch.max_bytes or make the payload smaller"
            )
        return data


def _check_status(response: aiohttp.ClientResponse) -> None:
    if 200 <= response.status < 300:
        return
    message = f"{redacted(str(response.url))} answers {response.status} {response.reason or ''}".rstrip()
    if response.status in _PASSING or response.status >= 500:
        wish = retry_after_s(response.headers.get("Retry-After"), time.time())
        raise RetryableError(message, retry_after=wish)
    raise RefusedItem(f"{message}: the payload is gone, or this process may not have it")


def _translated(error: Exception, uri: str) -> ItemError | RetryableError:
    shown = redacted(uri)
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return RefusedItem(f"{shown}: the certificate of {error.host} is not trusted here")
    if isinstance(error, aiohttp.InvalidURL) or not isinstance(error, aiohttp.ClientError | OSError):
        return RefusedItem(f"{shown} is not a URL that can be asked: write https://host/path")
    if isinstance(error, aiohttp.ClientConnectorError):
        return RetryableError(f"{shown}: {error.host} cannot be reached ({error.os_error.strerror or error.os_error})")
    return RetryableError(f"{shown}: the connection broke ({type(error).__name__})")
