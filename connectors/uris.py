"""Addresses of payloads: what they mean, and how they may be shown to a person."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote_to_bytes, urlsplit

SHOWN_CHARACTERS = 300
_HOST_AND_PORT = re.compile(r"(\[[^\]]*\]|[^:]*)(:\d*)?")


class RefusedPlace(Exception):
    """An address is malformed, or outside what the settings allow. The caller gives it its place in the error tree."""


class S3Place(NamedTuple):
    """A bucket and a key, or the start of keys; both as S3 has them, nothing percent-encoded."""

    bucket: str
    key: str

    @property
    def uri(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


def scheme_of(uri: str) -> str:
    """In lower case; empty where there is none."""
    head, colon, _ = uri.partition(":")
    return head.lower() if colon and "/" not in head else ""


def path_of(uri: str) -> Path:
    """The absolute path that a file:// URI names. Raises RefusedPlace."""
    try:
        parts = urlsplit(uri)
    except ValueError as error:
        raise RefusedPlace(f"{redacted(uri)} is not a URI: {error}") from None
    if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
        raise RefusedPlace(f"{redacted(uri)} is not a file of this machine: write file:///absolute/path")
    if parts.query or parts.fragment:
        raise RefusedPlace(f"{redacted(uri)}: write ? as %3F and # as %23 in a file:// URI")
    path = unquote_to_bytes(parts.path)
    if not path.startswith(b"/") or b"\0" in path:
        raise RefusedPlace(f"{redacted(uri)} is not an absolute path: write file:///absolute/path")
    return Path(path.decode(errors="surrogateescape"))


def s3_place_of(uri: str) -> S3Place:
    """The bucket and key that an s3:// URI names; the key may be empty. Raises RefusedPlace."""
    bucket, _, key = uri.partition("://")[2].partition("/")
    if scheme_of(uri) != "s3" or not bucket:
        raise RefusedPlace(f"{redacted(uri)} is not an S3 address: write s3://bucket/key")
    if not {".", ".."}.isdisjoint(key.split("/")):
        # S3 takes them literally, but a gateway in front of a file system may not.
        raise RefusedPlace(f"{redacted(uri)} has '.' or '..' between its slashes: name the object directly")
    return S3Place(bucket, key)


def redacted(uri: str) -> str:
    """For messages: no user, no password, no query (it may be a signature), not endlessly long."""
    shown = uri if scheme_of(uri) in ("file", "s3") else _without_secrets(uri)
    shown = shown.encode(errors="replace").decode()
    return shown if len(shown) <= SHOWN_CHARACTERS else f"{shown[:SHOWN_CHARACTERS]}…"


def _without_secrets(uri: str) -> str:
    rest, question, _ = uri.partition("#")[0].partition("?")
    scheme, separator, rest = rest.rpartition("://")
    authority, slash, path = rest.partition("/")
    host = authority.rpartition("@")[2]
    if not _HOST_AND_PORT.fullmatch(host):
        path = ""  # a password with a '/' in it looks like this
        host = "…"
    return f"{scheme}{separator}{host}{slash}{path}" + ("?…" if question else "")
