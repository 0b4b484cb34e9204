"""Where requests go, and what httpx makes of it: the only place that knows its errors."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import httpx

from stream_infer.clients.call import Answer, AsyncOutgoing, Outgoing, Request
from stream_infer.clients.errors import GatewayUnavailable, error_of
from stream_infer.errors import ServiceUnavailable, StreamInferError, UsageError

CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Wire:
    """A gateway's address, the headers that each request has, and how long its answers may take."""

    url: str
    headers: Mapping[str, str]
    timeout_s: float

    @classmethod
    def to(cls, url: str, api_key: str | None, timeout_s: float) -> Wire:
        """Raises UsageError where `url` is no address."""
        if not url.startswith(("http://", "https://")):
            raise UsageError(f"{url} is no address of a gateway: write http://HOST:PORT")
        try:
            httpx.URL(url)
        except httpx.InvalidURL as error:
            raise UsageError(f"{url} is no address of a gateway: {error}") from error
        credentials = {} if api_key is None else {"Authorization": f"Bearer {api_key}"}
        return cls(url.rstrip("/"), MappingProxyType(credentials), timeout_s)

    def arguments(self, request: Request) -> dict[str, Any]:
        """What httpx is told of a request, without its body."""
        sent = {**request.headers, **self.headers}
        if isinstance(request.body, Outgoing | AsyncOutgoing) and request.body.size is not None:
            sent["Content-Length"] = str(request.body.size)
        told: dict[str, Any] = {"method": request.method, "url": f"{self.url}{request.path}", "headers": sent}
        told["timeout"] = httpx.Timeout(max(self.timeout_s, request.patience_s), connect=CONNECT_TIMEOUT_S)
        if request.form is not None:
            told["files"] = {
                name: (part.filename, part.content, part.content_type) for name, part in request.form.items()
            }
        return told

    def refusal(self, response: httpx.Response) -> StreamInferError | None:
        """The error that a response, read to its end, means; None where it is none."""
        if response.status_code < 300:
            return None
        return error_of(response.status_code, dict(response.headers.items()), response.content, str(response.url))

    def silence(self, error: httpx.HTTPError | httpx.InvalidURL) -> ServiceUnavailable | UsageError:
        """What it means that there is no answer."""
        if isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol):
            return UsageError(f"{self.url} is no address of a gateway: {error}")
        return GatewayUnavailable(
            f"no gateway answers at {self.url}: {_reason(error)}. Is `stream-infer up` running? "
            "The commands take another address by --gateway URL."
        )

    def break_off(self, request: Request, error: httpx.HTTPError) -> ServiceUnavailable:
        return GatewayUnavailable(f"the answer of {self.url}{request.path} broke off: {_reason(error)}")


def answer_of(response: httpx.Response) -> Answer:
    """A response that has been read to its end."""
    return Answer(str(response.url), response.status_code, dict(response.headers.items()), response.content)


def options() -> dict[str, Any]:
    """How connections are made: with the certificates of the machine (OpenSSL's, so SSL_CERT_FILE counts), and without
    a proxy: gateways are near."""
    return {"verify": ssl.create_default_context(), "trust_env": False, "follow_redirects": False}


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
