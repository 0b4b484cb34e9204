"""API keys: how one looks, what one may do, and whether what a client sent is one. Pure.

A key is `si_ID_SECRET`. SECRET has 256 random bits, which nobody can guess, so one round of SHA-256 is hash enough:
slow hashes protect what people think up. ID is no secret, and is what logs and files call the key by.

A key for AWS's clients is sent by nobody: they sign with its secret, so whoever checks that has to know it.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

PREFIX = "si_"
# With an id of ours the 20 characters that AWS's own have.
AWS_PREFIX = "SIAWSKEY"
KEY_HEADER = "X-API-Key"
_AUTHORIZATION = "Authorization"
# What an AWS client sends of its session token: the only secret of its own that it sends as it is.
_AWS_HEADER = "X-Amz-Security-Token"
KEY_HEADERS = (KEY_HEADER, _AUTHORIZATION, _AWS_HEADER)
_BEARER = "bearer "
_ID_BYTES = 6
_SECRET_BYTES = 32
_AWS_SECRET_BYTES = 30  # in 40 characters, as AWS's
_HASH = "sha256:"
# Of no key; what is unknown is compared with it, so that it takes as long as what is known.
_NOBODY = _HASH + "0" * 64


class Scope(StrEnum):
    """What a key may do. `admin` holds the others."""

    READ = "read"
    SUBMIT = "submit"
    ADMIN = "admin"


class KeyEntry(BaseModel):
    """A key as the file of keys has it. `name` is whose it is: two keys of one name are one caller, as while a key is
    being rotated. Without limits of its own those of the settings count. It has a `hash`, or is one for AWS's clients,
    of which `aws_secret` is the secret itself."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    id: str = Field(pattern=r"^[0-9a-z]{1,32}$")
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}$")
    scopes: frozenset[Scope] = Field(min_length=1)
    hash: str | None = Field(default=None, pattern=r"^sha256:[0-9a-f]{64}$")
    aws_secret: str | None = Field(default=None, pattern=r"^[!-~]{32,128}$", repr=False)
    expires: AwareDatetime | None = None
    requests_per_second: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    burst: int | None = Field(default=None, ge=1)
    request_bytes: int | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _has_one_secret(self) -> Self:
        if (self.hash is None) == (self.aws_secret is None):
            raise ValueError("a key has either a hash or an aws_secret")
        return self

    @property
    def access_key(self) -> str | None:
        """What AWS's clients call it by; None of a key that is none of theirs."""
        return None if self.aws_secret is None else f"{AWS_PREFIX}{self.id.upper()}"

    def may(self, scope: Scope) -> bool:
        return scope in self.scopes or Scope.ADMIN in self.scopes

    def has_expired(self, now: float) -> bool:
        """`now` in seconds since the epoch."""
        return self.expires is not None and self.expires.timestamp() <= now


class NewKey(NamedTuple):
    """`key` is shown once, and kept nowhere."""

    key: str
    entry: KeyEntry


def new_key(
    name: str,
    scopes: Iterable[Scope],
    expires: datetime | None = None,
    *,
    requests_per_second: float | None = None,
    request_bytes: int | None = None,
) -> NewKey:
    """Raises pydantic's ValidationError for a name, scopes or limits that no entry can have."""
    key_id = secrets.token_hex(_ID_BYTES)
    key = f"{PREFIX}{key_id}_{secrets.token_urlsafe(_SECRET_BYTES)}"
    entry = KeyEntry(
        id=key_id,
        name=name,
        scopes=frozenset(scopes),
        hash=hash_of(key),
        expires=expires,
        requests_per_second=requests_per_second,
        request_bytes=request_bytes,
    )
    return NewKey(key, entry)


def for_aws(entry: KeyEntry) -> KeyEntry:
    """The entry with a new secret that AWS's clients sign with, in place of what it had."""
    return entry.model_copy(update={"hash": None, "aws_secret": secrets.token_urlsafe(_AWS_SECRET_BYTES)})


def hash_of(key: str) -> str:
    """As the file has it."""
    return _HASH + hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


class KeyRing:
    """All keys that are good for something. Raises ValueError where two have one id."""

    def __init__(self, entries: Iterable[KeyEntry] = ()) -> None:
        self._entries: dict[str, KeyEntry] = {}
        for entry in entries:
            if entry.id in self._entries:
                raise ValueError(f"two keys have the id {entry.id}")
            self._entries[entry.id] = entry

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[KeyEntry]:
        return iter(self._entries.values())

    def find(self, key: str) -> KeyEntry | None:
        """Its entry, whether it has expired or not. Takes as long for an id that is unknown as for one that is not."""
        key_id = key.removeprefix(PREFIX).partition("_")[0] if key.startswith(PREFIX) else ""
        entry = self._entries.get(key_id)
        kept = None if entry is None else entry.hash
        is_it = hmac.compare_digest(hash_of(key), _NOBODY if kept is None else kept)
        return entry if is_it else None

    def signing(self, access_key: str) -> KeyEntry | None:
        """The key that AWS's clients call so, whether it has expired or not; its secret is in it."""
        entry = self._entries.get(access_key.removeprefix(AWS_PREFIX).lower())
        return None if entry is None or entry.access_key != access_key else entry

    @property
    def has_secrets(self) -> bool:
        """Whether who reads the file could ask in somebody's name."""
        return any(entry.aws_secret is not None for entry in self)


class SentKey(NamedTuple):
    """A key, and the header that it came in."""

    key: str
    header: str


def sent_key(headers: Mapping[str, str]) -> SentKey | None:
    """The key of a request: `X-API-Key`, `Authorization: Bearer …`, or the session token of an AWS client.

    `headers` know no case. What the first of these says counts, right or wrong: a client that sends two means one.
    """
    if own := headers.get(KEY_HEADER, "").strip():
        return SentKey(own, KEY_HEADER)
    said = headers.get(_AUTHORIZATION, "")
    if said[: len(_BEARER)].lower() == _BEARER:
        return SentKey(said[len(_BEARER) :].strip(), _AUTHORIZATION)
    if token := headers.get(_AWS_HEADER, "").strip():
        return SentKey(token, _AWS_HEADER)
    return None
