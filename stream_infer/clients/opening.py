"""How a client is made: whose gateway, and with whose key."""

from __future__ import annotations

from dataclasses import replace

from stream_infer.clients.async_client import AsyncClient
from stream_infer.clients.async_gateway import AsyncGateway
from stream_infer.clients.client import Client
from stream_infer.clients.environment import place
from stream_infer.clients.gateway import Gateway
from stream_infer.clients.steps import Retries
from stream_infer.clients.wire import READ_TIMEOUT_S


def open_client(url: str | None, api_key: str | None, timeout_s: float, tries: int) -> Client:
    return Client(open_gateway(url, api_key, timeout_s, tries))


def open_gateway(
    url: str | None, api_key: str | None, timeout_s: float = READ_TIMEOUT_S, tries: int = Retries().tries
) -> Gateway:
    return Gateway(*place(url, api_key), timeout_s=timeout_s, retries=replace(Retries(), tries=tries))


def open_async_client(url: str | None, api_key: str | None, timeout_s: float, tries: int) -> AsyncClient:
    retries = replace(Retries(), tries=tries)
    return AsyncClient(AsyncGateway(*place(url, api_key), timeout_s=timeout_s, retries=retries))
