"""Webhooks by Standard Webhooks 1.0: the events, what a secret is, and how a message is signed. No I/O.

The convention: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import hmac
import secrets
from base64 import b64decode, b64encode
from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator

SECRET_PREFIX = "whsec_"  # noqa: S105 (how each begins)  # nosec B105
ID_PREFIX = "msg_"
LONGEST_URL = 2048
_FEWEST_BYTES, _MOST_BYTES, _NEW_BYTES = 24, 64, 32


class WebhookEvent(StrEnum):
    """What is told of a job: the final state that it has come to."""

    SUCCEEDED = "job.succeeded"
    COMPLETED_WITH_FAILURES = "job.completed_with_failures"
    FAILED = "job.failed"
    STOPPED = "job.stopped"
    TIMED_OUT = "job.timed_out"


class DeliveryState(StrEnum):
    """How far the telling of an event has come. `gone`: its receiver wants to hear nothing more (410). `withdrawn`:
    there is no place any more to send it to.
    """

    PENDING = "pending"
    DELIVERED = "delivered"
    GONE = "gone"
    GIVEN_UP = "given_up"
    WITHDRAWN = "withdrawn"


def new_secret() -> str:
    return SECRET_PREFIX + b64encode(secrets.token_bytes(_NEW_BYTES)).decode()


def key_of(secret: str) -> bytes:
    """What messages are signed with. Raises ValueError, whose text has nothing of the secret."""
    try:
        key = b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except ValueError:
        key = b""
    if not secret.startswith(SECRET_PREFIX) or not _FEWEST_BYTES <= len(key) <= _MOST_BYTES:
        raise ValueError(
            f"a webhook's secret is {SECRET_PREFIX} and the base64 of {_FEWEST_BYTES} to {_MOST_BYTES} random bytes: "
            "`stream-infer webhooks secret` makes one"
        ) from None
    return key


def signed_headers(message_id: str, at: int, body: bytes, signed_with: Iterable[str]) -> dict[str, str]:
    """The headers of one attempt, made `at`, in whole seconds since the epoch: a signature by each of the secrets, so
    that a receiver which knows one of them is content.
    """
    content = b".".join((message_id.encode(), str(at).encode(), body))
    signatures = (hmac.digest(key_of(secret), content, "sha256") for secret in signed_with)
    return {
        "content-type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(at),
        "webhook-signature": " ".join(f"v1,{b64encode(signature).decode()}" for signature in signatures),
    }


def shown_url(url: str) -> str:
    """For people: without its query, which may be what lets a caller in."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}{parts.path}" + ("?…" if parts.query else "")


def _a_secret(secret: str) -> str:
    key_of(secret)
    return secret


def _an_address(url: str) -> str:
    """Checked before `urlsplit` too, which drops line ends without a word."""
    if len(url) > LONGEST_URL or not url.isprintable() or " " in url:
        raise ValueError(f"a webhook's url has at most {LONGEST_URL} characters, and neither blanks nor line ends")
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_address = False
    if not is_address:
        raise ValueError("a webhook's url is https://host/path")
    if "@" in parts.netloc:
        raise ValueError("a webhook's url has no user and no password: the signature tells its receiver who calls")
    return url


WebhookUrl: TypeAlias = Annotated[str, AfterValidator(_an_address)]

WebhookSecret: TypeAlias = Annotated[str, AfterValidator(_a_secret)]
"""To be kept out of every repr (`Field(repr=False)`), log, status and answer."""
