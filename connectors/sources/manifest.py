"""A manifest as SageMaker has it: a JSON array of a prefix and of keys, which may be longer than memory."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

import orjson

from connectors.policy import FetchPolicy
from connectors.sources.jsonl import reading
from connectors.sources.opening import Opener
from connectors.sources.places import Placed
from connectors.uris import RefusedPlace, path_of, redacted, s3_place_of, scheme_of
from stream_infer.errors import SourceError

_CHUNK_BYTES = 64 * 1024
# An S3 key has up to 1,024 bytes, each of them six as an escape.
_LONGEST_ENTRY = 16 * 1024
_STRING = rb'"(?:[^"\\]|\\.)*"'
_TOKEN = re.compile(rb"[ \t\r\n]*([\[\],]|" + _STRING + rb'|\{(?:[^{}"]|' + _STRING + rb")*\})", re.DOTALL)
_BLANKS = re.compile(rb"[ \t\r\n]*")
_CURSOR = re.compile(r"(\d{1,18})-(\d{1,18}):(\d{1,18})(?::([^\s|]+))?", re.ASCII)
_BOM = b"\xef\xbb\xbf"


class _Cursor(NamedTuple):
    """Behind entry `number` (from 1), which lies in the bytes from `start` to `end` of a version of the file."""

    start: int
    end: int
    number: int
    version: str

    def __str__(self) -> str:
        place = f"{self.start}-{self.end}:{self.number}"
        return f"{place}:{self.version}" if self.version else place


class ManifestListing:
    """The objects that the file at `uri` names: `[{"prefix": "s3://bucket/start/"}, "key", …]`.

    An object's address is the prefix and the key, one behind the other; without a prefix each entry is an address. It
    is s3:// or file:///, and allowed, or the job fails with the entry's number.
    """

    def __init__(self, uri: str) -> None:
        self._uri = uri

    def at(self, cursor: str, opener: Opener) -> Placed:
        after = self._read(cursor)
        with self._opened(opener, after.version) as (tokens, version):
            prefix = self._prefix(tokens)
            tokens.seek(after.start)
            return self._placed(tokens, prefix, after.number, version, opener.policy)

    def behind(self, cursor: str | None, opener: Opener) -> Iterator[Placed]:
        after = None if cursor is None else self._read(cursor)
        with self._opened(opener, "" if after is None else after.version) as (tokens, version):
            prefix = self._prefix(tokens)
            number = 0
            if after is not None:
                number = after.number
                tokens.seek(after.end)
            while tokens.goes_on(is_first=not prefix and number == 0):
                number += 1
                yield self._placed(tokens, prefix, number, version, opener.policy)
            tokens.end()

    def nothing(self) -> str:
        return (
            f"{redacted(self._uri)} names no object: a manifest reads " + '[{"prefix": "s3://bucket/start/"}, "key", …]'
        )

    @contextmanager
    def _opened(self, opener: Opener, version: str) -> Iterator[tuple[_Tokens, str]]:
        with ExitStack() as stack:
            stack.enter_context(reading(self._uri))
            file, found = opener.file(self._uri).open()
            stack.enter_context(file)
            if version not in ("", found):
                raise SourceError(f"{self._uri} was replaced while it was being read: submit the job again")
            yield _Tokens(file, redacted(self._uri)), found

    def _prefix(self, tokens: _Tokens) -> str:
        """What stands before every key; the tokens go on behind it."""
        tokens.expect(b"[")
        token = tokens.peek()
        if not token.startswith(b"{"):
            return ""
        try:
            value = orjson.loads(tokens.take())
        except orjson.JSONDecodeError as error:
            raise tokens.malformed(f"its first entry is not JSON: {error}") from None
        if set(value) != {"prefix"} or not isinstance(value["prefix"], str) or not value["prefix"]:
            raise tokens.malformed('its first entry is an object and reads {"prefix": "s3://bucket/start/"}')
        return str(value["prefix"])

    def _placed(self, tokens: _Tokens, prefix: str, number: int, version: str, policy: FetchPolicy) -> Placed:
        tokens.skip_blanks()
        start = tokens.offset
        token = tokens.take()
        try:
            entry = orjson.loads(token) if token.startswith(b'"') else None
        except orjson.JSONDecodeError as error:
            raise tokens.malformed(f"entry {number} is not JSON: {error}") from None
        if not isinstance(entry, str):
            raise tokens.malformed(f"entry {number} is no text: behind the prefix come the keys")
        try:
            uri = _allowed(prefix + entry, policy)
        except RefusedPlace as error:
            raise SourceError(f"{redacted(self._uri)} entry {number} ({entry[:200]!r}): {error}") from None
        return Placed(uri, entry.encode(), str(_Cursor(start, tokens.offset, number, version)))

    def _read(self, cursor: str) -> _Cursor:
        if (match := _CURSOR.fullmatch(cursor)) is None:
            raise SourceError(f"cursor {cursor!r} is not one of a manifest: it reads start-end:number")
        return _Cursor(int(match[1]), int(match[2]), int(match[3]), match[4] or "")


class _Tokens:
    """The parts of a JSON array of texts, one at a time; holds a chunk. Raises SourceError."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file = file
        self._name = name
        self._held = b""
        self._at = 0
        self._behind_held = 0
        self._fill()
        if self._held.startswith(_BOM):
            self._at = len(_BOM)

    @property
    def offset(self) -> int:
        """Of the next byte, in the file."""
        return self._behind_held - len(self._held) + self._at

    def seek(self, offset: int) -> None:
        self._file.seek(offset)
        self._held, self._at, self._behind_held = b"", 0, offset

    def peek(self) -> bytes:
        """The next part; empty at the end."""
        while (match := _TOKEN.match(self._held, self._at)) is None:
            if len(self._held) - self._at > _LONGEST_ENTRY or not self._fill():
                if self._held[self._at :].strip(b" \t\r\n"):
                    raise self.malformed("it is no JSON array of texts")
                return b""
        return match[1]

    def take(self) -> bytes:
        """The next part, done with it."""
        token = self.peek()
        match = _TOKEN.match(self._held, self._at)
        self._at = self._at if match is None else match.end()
        return token

    def skip_blanks(self) -> None:
        self.peek()
        match = _BLANKS.match(self._held, self._at)
        self._at = self._at if match is None else match.end()

    def expect(self, token: bytes) -> None:
        if self.take() != token:
            raise self.malformed(f"{token.decode()} is missing")

    def goes_on(self, *, is_first: bool) -> bool:
        """Whether an entry comes next; a comma before it is taken."""
        token = self.peek()
        if token == b"]":
            return False
        if not is_first:
            self.expect(b",")
        return True

    def end(self) -> None:
        self.expect(b"]")
        if self.peek():
            raise self.malformed("something comes behind its ]")

    def malformed(self, what: str) -> SourceError:
        return SourceError(
            f"{self._name} is no manifest: {what}, at byte {self.offset}; one reads "
            '[{"prefix": "s3://bucket/start/"}, "key", …]'
        )

    def _fill(self) -> bool:
        chunk = self._file.read(_CHUNK_BYTES)
        self._held, self._at = self._held[self._at :] + chunk, 0
        self._behind_held += len(chunk)
        return bool(chunk)


def _allowed(uri: str, policy: FetchPolicy) -> str:
    """Raises RefusedPlace."""
    match scheme_of(uri):
        case "s3":
            place = s3_place_of(uri)
            if not place.key or place.key.endswith("/"):
                raise RefusedPlace(f"{redacted(uri)} names no object")
            policy.check_s3(place)
        case "file":
            policy.allowed_root(Path(os.path.realpath(path_of(uri))))
        case _:
            raise RefusedPlace(f"{redacted(uri)} is neither s3://bucket/key nor file:///absolute/path")
    return uri
