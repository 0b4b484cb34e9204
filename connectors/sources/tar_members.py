"""The files in a tar archive, each one an item with its bytes."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import BinaryIO, NamedTuple
from urllib.parse import quote

from connectors.content_types import content_type_of
from connectors.sources.files import SourceFile
from connectors.sources.globs import FileSelection, select_files
from connectors.sources.jsonl import reading, unpacked
from connectors.sources.lines import MAX_LINE_BYTES
from stream_infer.errors import SourceError
from stream_infer.ports import SourceItem
from stream_infer.records import Payload

_BLOCK = tarfile.BLOCKSIZE
_PACKED = (".gz", ".tgz")
_CURSOR = re.compile(r"(\d{1,18})(?::(\S+))?", re.ASCII)
# A header that goes before a member's own holds its name and some numbers. One of gigabytes is meant to fill memory.
_LONGEST_HEADER = 1024 * 1024
# A name travels as the item's key and within its source: as long as a path may be, and no message is too big for it.
_LONGEST_NAME = 4096
_MOST_DIGITS = 20
_MOST_BYTES = 10**18
_NAMING = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME)
_PASSED_OVER = (tarfile.XGLTYPE, tarfile.GNUTYPE_LONGLINK)


class TarSource:
    """Reads member by member in constant memory, but for the member; a name that ends in .gz or .tgz is unpacked.

    Regular files are items, in the archive's order, chosen by `includes` and `excludes` as globs.py has them; all else
    is passed over. No name is ever used as a path. The cursor is the place of the header behind the member. An archive
    without an end mark was broken off, and fails the source behind its last item.
    """

    def __init__(
        self,
        file: SourceFile,
        *,
        includes: Sequence[str] = (),
        excludes: Sequence[str] = (),
        max_member_bytes: int = MAX_LINE_BYTES,
    ) -> None:
        self._file = file
        self._selection: FileSelection = select_files(includes, excludes)
        self._max_member_bytes = max_member_bytes

    def read(self, after: str | None) -> Iterator[SourceItem]:
        """The items behind `after`. Raises SourceError or ServiceUnavailable."""
        uri = self._file.uri
        offset, expected = _read_cursor(after)
        given = after is not None
        with ExitStack() as stack:
            stack.enter_context(reading(uri))
            file, version = self._file.open()
            stack.enter_context(file)
            if expected not in ("", version):
                raise SourceError(f"{uri} was replaced while it was being read: submit the job again")
            if uri.endswith(_PACKED):
                file = stack.enter_context(unpacked(file))
            for member in _members(file, uri, offset):
                if self._selection.selects(member.parts):
                    given = True
                    yield self._item(file, member, version)
        if not given:
            raise SourceError(f"{uri} has no file that is meant by includes and excludes: look at its patterns")

    def _item(self, file: BinaryIO, member: _Member, version: str) -> SourceItem:
        uri, name = self._file.uri, member.name
        cursor = f"{member.behind}:{version}" if version else f"{member.behind}"
        key = name.encode(errors="surrogateescape")
        source = f"{uri}#path={quote(key[:_LONGEST_NAME])}"
        refused = None
        if member.size > self._max_member_bytes:
            refused = f"{_shown(name)} has {member.size} bytes: raise fetch.max_bytes, or leave it out by excludes"
        elif len(key) > _LONGEST_NAME:
            refused = f"the name {_shown(name)}… has {len(key)} bytes: {_LONGEST_NAME} are the most"
        if refused is not None:
            nothing = Payload(b"", content_type_of(name))
            return SourceItem(nothing, source, cursor, key=key[:_LONGEST_NAME], refused=f"{uri}: {refused}")
        file.seek(member.start)
        data = file.read(member.size)
        if len(data) < member.size:
            raise _broken_off(uri)
        return SourceItem(Payload(data, content_type_of(name)), source, cursor, key=key)


class _Member(NamedTuple):
    """A regular file: `start` is the place of its bytes, `behind` that of what comes after it."""

    name: str
    size: int
    start: int
    behind: int

    @property
    def parts(self) -> list[str]:
        return [part for part in self.name.split("/") if part not in ("", ".")]


class _Said(NamedTuple):
    """What the headers before a member's own say of it."""

    name: str | None = None
    size: int | None = None


def _read_cursor(text: str | None) -> tuple[int, str]:
    if text is None:
        return 0, ""
    if (match := _CURSOR.fullmatch(text)) is None:
        raise SourceError(f"cursor {text!r} is not one of an archive: it reads bytes or bytes:version")
    return int(match[1]), match[2] or ""


def _members(file: BinaryIO, uri: str, offset: int) -> Iterator[_Member]:
    said = _Said()
    while (header := _header_at(file, uri, offset)) is not None:
        start = offset + _BLOCK
        if header.type in _NAMING or header.type in _PASSED_OVER:
            if header.size > _LONGEST_HEADER:
                raise SourceError(f"{uri}: a header at byte {offset} has {header.size} bytes: no archive has that")
            if header.type in _NAMING:
                said = _said(file.read(header.size), header, said, uri)
            offset = start + _padded(header.size)
            continue
        size = header.size if said.size is None else said.size
        if header.type == tarfile.GNUTYPE_SPARSE:
            raise SourceError(f"{uri}: {_shown(header.name)} is stored with holes: pack it without --sparse")
        # Links and directories have no bytes, whatever size they name.
        has_bytes = header.isreg() or header.type not in tarfile.SUPPORTED_TYPES
        offset = start + (_padded(size) if has_bytes else 0)
        if header.isreg():
            yield _Member(said.name or header.name, size, start, offset)
        said = _Said()


def _header_at(file: BinaryIO, uri: str, offset: int) -> tarfile.TarInfo | None:
    """None at the end mark."""
    file.seek(offset)
    block = file.read(_BLOCK)
    if len(block) < _BLOCK:
        raise _broken_off(uri)
    if not any(block):
        return None
    try:
        header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.TarError as error:
        raise SourceError(f"{uri} is no tar archive, or broken at byte {offset}: {error}") from None
    if not 0 <= header.size < _MOST_BYTES:
        raise SourceError(f"{uri} is broken at byte {offset}: a size of {header.size} bytes")
    return header


def _said(data: bytes, header: tarfile.TarInfo, before: _Said, uri: str) -> _Said:
    """Of a name by GNU, or of records by POSIX: "length key=value" and a line end, the length including all of it."""
    if header.type == tarfile.GNUTYPE_LONGNAME:
        return before._replace(name=data.partition(b"\0")[0].decode(errors="surrogateescape"))
    said, at = before, 0
    try:
        while at < len(data) and data[at] != 0:
            key, value, at = _record_at(data, at)
            if key == b"path":
                said = said._replace(name=value.decode(errors="surrogateescape"))
            elif key == b"size":
                said = said._replace(size=_size_in(value))
            elif key.startswith(b"GNU.sparse."):
                raise SourceError(f"{uri}: a file is stored with holes: pack it without --sparse")
    except ValueError as error:
        raise SourceError(f"{uri} is no tar archive, or broken: {error}") from None
    return said


def _record_at(data: bytes, at: int) -> tuple[bytes, bytes, int]:
    """Key, value, and the place behind it. Nothing is copied but these: a header has room for 200,000 records."""
    blank = data.find(b" ", at, at + _MOST_DIGITS + 1)
    if blank < 0:
        raise ValueError("a record does not say how long it is")
    behind = at + int(data[at:blank])
    if not blank < behind <= len(data):
        raise ValueError("a record is longer than its header")
    key, _, value = data[blank + 1 : behind - 1].partition(b"=")
    return key, value, behind


def _size_in(value: bytes) -> int:
    if not value.isdigit() or len(value) > 18:
        raise ValueError(f"{value[:40]!r} is no size")
    return int(value)


def _shown(name: str) -> str:
    return name.encode(errors="surrogateescape").decode(errors="replace")[:200]


def _padded(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK


def _broken_off(uri: str) -> SourceError:
    return SourceError(f"{uri} breaks off: a tar archive ends with blocks of zeros; make it anew")
