"""A model, or code, that is packed: unpacked once, into the cache, and never outside of it."""

from __future__ import annotations

import os
import posixpath
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from connectors.models.cache import Copy, keep
from stream_infer.errors import PredictorUnavailable

MOST_MEMBERS = 100_000
_NAME = "model"
# What Python's readers of archives raise for bytes that are none, or stop in the middle.
# A header behind a header behind a header … is a call in a call for them.
_BROKEN = (tarfile.TarError, EOFError, zlib.error, ValueError, RecursionError)


@dataclass(frozen=True, slots=True)
class Packed:
    """An archive, as it is called in what is said of it, and what it may have `max_bytes` of, unpacked."""

    archive: Path
    called: str
    max_bytes: int
    advice: str = "raise models.max_bytes"


def unpacked(archive: Path, cache: Path, max_bytes: int) -> Path:
    """The folder of what is in `archive`, a tar with any compression that Python reads, below `cache`.

    Every member lies inside of that folder, and every link leads there; an archive with any other is refused as a
    whole, as is one with devices, or with more than `max_bytes` or MOST_MEMBERS unpacked. Raises PredictorUnavailable.
    """
    try:
        looked = archive.stat()
    except OSError as error:
        raise PredictorUnavailable(f"model {archive} cannot be read: {error.strerror}") from error
    version = f"{looked.st_dev}-{looked.st_ino}-{looked.st_size}-{looked.st_mtime_ns}"
    packed = Packed(archive, f"model {archive}", max_bytes)
    return keep(cache, Copy(f"unpacked {archive}", version, _NAME), lambda new: unpack(packed, new / _NAME))


def unpack(packed: Packed, folder: Path) -> None:
    """Into `folder`, which is made; as `unpacked`. Raises PredictorUnavailable."""
    folder.mkdir()
    links: list[str] = []
    try:
        with tarfile.open(packed.archive, "r:*") as tar:
            for member in _checked(tar, packed, links):
                tar.extract(member, folder, filter="data")
    except tarfile.FilterError as error:
        raise PredictorUnavailable(f"{packed.called} is refused: {error}") from error
    except _BROKEN as error:
        raise PredictorUnavailable(f"{packed.called} is no tar archive that can be read: {error}") from error
    _check_links(packed, folder, links)
    # The folder is taken for whole from here on, also after a power cut.
    os.sync()


def _checked(tar: tarfile.TarFile, packed: Packed, links: list[str]) -> Iterator[tarfile.TarInfo]:
    """Members as they come, each looked at before it is unpacked; `links` gets the names of those that are links."""
    names: set[str] = set()
    total = 0
    for number, member in enumerate(tar, 1):
        name = posixpath.normpath(member.name)
        if reason := _fault(member, name, names, links):
            raise PredictorUnavailable(f"{packed.called} is refused: its member {member.name[:200]!r} {reason}")
        total += member.size
        if total > packed.max_bytes:
            more = f"{packed.called} has more than {packed.max_bytes:,} bytes unpacked: {packed.advice}"
            raise PredictorUnavailable(more)
        if number > MOST_MEMBERS:
            more = f"{packed.called} has more than {MOST_MEMBERS:,} members: pack what is needed alone"
            raise PredictorUnavailable(more)
        names.add(name)
        if member.issym():
            links.append(name)
        yield member


def _fault(member: tarfile.TarInfo, name: str, names: set[str], links: list[str]) -> str:
    """Why the member is refused; empty where it is not."""
    if _leads_out(member.name):
        return "lies outside of the archive's own folder"
    if not (member.isreg() or member.isdir() or member.issym() or member.islnk()):
        return "is neither a file nor a folder nor a link"
    if name in links or any(name.startswith(f"{link}/") for link in links):
        return "is to be written through a link"
    if member.islnk() and posixpath.normpath(member.linkname) not in names:
        return f"is a link to {member.linkname[:200]!r}, which is no file of the archive before it"
    if member.issym() and _leads_out(posixpath.join(posixpath.dirname(member.name), member.linkname)):
        return f"is a link to {member.linkname[:200]!r}, outside of the archive's own folder"
    return ""


def _leads_out(path: str) -> bool:
    return "\0" in path or path.startswith("/") or posixpath.normpath(path).split("/", 1)[0] == ".."


def _check_links(packed: Packed, folder: Path, links: list[str]) -> None:
    """Where links lead through each other only shows once all are there."""
    root = Path(os.path.realpath(folder))
    for link in links:
        if not Path(os.path.realpath(folder / link)).is_relative_to(root):
            raise PredictorUnavailable(f"{packed.called} is refused: its link {link[:200]!r} leads outside of it")
