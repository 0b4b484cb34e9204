"""The content type of a payload: who says it, and who is asked next."""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Callable

OCTETS = "application/octet-stream"
# What servers and S3 say of an object whose writer said nothing.
_UNSAID = frozenset({"", OCTETS, "binary/octet-stream", "application/x-www-form-urlencoded"})
_ASSUMED_CHARSETS = frozenset({"utf-8", "utf8", "us-ascii"})
_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+", re.ASCII)
_CHARSET = re.compile(r"\bcharset\s*=\s*\"?([\w.:-]+)", re.ASCII)
# The system's own tables differ from machine to machine; these are Python's.
_BY_NAME = mimetypes.MimeTypes()
_BY_NAME.add_type("image/webp", ".webp")
_BY_NAME.add_type("application/x-ndjson", ".jsonl")
_BY_NAME.add_type("application/x-npy", ".npy")
_BY_NAME.add_type("text/markdown", ".md")


def content_type_of(name: str, *, given: str | None = None, told: str | None = None) -> str:
    """The reference's own (`given`), else what the place says (`told`), else what the name's ending suggests.

    `given` may be parameters alone, "; max-bytes=1": they are added to what is said otherwise.
    """
    return typed(given, lambda: _said_or_guessed(name, told))


def typed(given: str | None, otherwise: Callable[[], str]) -> str:
    """`given`; what is said `otherwise`, where it is nothing or parameters alone, which are then added."""
    if not given:
        return otherwise()
    return f"{otherwise()}{given}" if given.startswith(";") else given


def _said_or_guessed(name: str, told: str | None) -> str:
    if (said := media_type(told or "")) not in _UNSAID:
        return said
    guessed, encoding = _BY_NAME.guess_type(name.rpartition("/")[2], strict=False)
    if encoding is not None:
        return f"application/{encoding}"
    return guessed or OCTETS


def media_type(header: str) -> str:
    """`type/subtype` of a Content-Type header in lower case, with its charset only where that is not UTF-8."""
    kind, _, parameters = header.partition(";")
    kind = kind.strip().lower()
    if not _TYPE.fullmatch(kind):
        return ""
    charset = _CHARSET.search(parameters.lower())
    return kind if charset is None or charset[1] in _ASSUMED_CHARSETS else f"{kind}; charset={charset[1]}"
