"""How a client is made: whose gateway, and with whose key."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace

from stream_infer.clients.async_client import AsyncClient
from stream_infer.clients.async_gateway import AsyncGateway
from stream_infer.clients.client import Client
from stream_infer.clients.gateway import Gateway
from stream_infer.clients.steps import Retries
from stream_infer.clients.wire import READ_TIMEOUT_S

URL_VARIABLE = "STREAM_INFER_GATEWAY"
KEY_VARIABLE = "STREAM_INFER_API_KEY"
DEFAULT_URL = "http://127.0.0.1:8080"


def open_client(url: str | None, api_key: str | None, timeout_s: float, tries: int) -> Client:
    return Client(open_gateway(url, api_key, timeout_s, tries))


def open_gateway(
    url: str | None, api_key: str | None, timeout_s: float = READ_TIMEOUT_S, tries: int = Retries().tries
) -> Gateway:
    return Gateway(*place(url, api_key), timeout_s=timeout_s, retries=replace(Retries(), tries=tries))


def open_async_client(url: str | None, api_key: str | None, timeout_s: float, tries: int) -> AsyncClient:
    retries = replace(Retries(), tries=tries)
    return AsyncClient(AsyncGateway(*place(url, api_key), timeout_s=timeout_s, retries=retries))


def place(url: str | None, api_key: str | None, environ: Mapping[str, str] | None = None) -> tuple[str, str | None]:
    """The gateway's address and the key: as given, else as the environment says."""
    said = os.environ if environ is None else environ
    key = said.get(KEY_VARIABLE, "").strip() if api_key is None else api_key.strip()
    return url or said.get(URL_VARIABLE, "").strip() or DEFAULT_URL, key or None
