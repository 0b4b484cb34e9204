"""Distributed inference over Kafka: every item ends exactly once.

`client()` and `async_client()` are the way in for programs; neither loads anything before it is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stream_infer.clients.async_client import AsyncClient
    from stream_infer.clients.client import Client

__all__ = ["async_client", "client"]


def client(url: str | None = None, api_key: str | None = None, *, timeout: float = 60.0, tries: int = 4) -> Client:
    """A client of the gateway at `url`, which connects when it is first asked for something.

    Without them the environment is asked: STREAM_INFER_GATEWAY, else http://127.0.0.1:8080, and STREAM_INFER_API_KEY.
    `timeout`: seconds that the gateway may be silent in an answer; `tries`: how often a request that may be repeated is
    sent. Raises UsageError where `url` is no address.
    """
    from stream_infer.clients.opening import open_client

    return open_client(url, api_key, timeout, tries)


def async_client(
    url: str | None = None, api_key: str | None = None, *, timeout: float = 60.0, tries: int = 4
) -> AsyncClient:
    """The same for coroutines: `async with stream_infer.async_client(…) as client`."""
    from stream_infer.clients.opening import open_async_client

    return open_async_client(url, api_key, timeout, tries)
