"""What a program holds, as the bytes of a file that the gateway takes: items as JSON lines, files as a tar archive.

Everything is made as it is sent, in constant memory.
"""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from stream_infer.clients.call import Outgoing
from stream_infer.errors import UsageError
from stream_infer.jobs.merge import blocks

CHUNK_BYTES = 256 * 1024
FRAME_ROWS = 5000


def json_line(item: Any, number: int) -> bytes:
    """An item as a line. What numpy and pandas hold becomes what it is in JSON; raises UsageError of anything else."""
    try:
        return json.dumps(item, allow_nan=False, ensure_ascii=False, default=_plain).encode() + b"\n"
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"item {number} is no JSON: {error}. Items are JSON values; bytes are sent as files: give their paths"
        ) from None


def json_lines(items: Iterable[Any]) -> Iterator[bytes]:
    return (json_line(item, number) for number, item in enumerate(items))


def in_chunks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in chunks of 256 KiB and more: a send for each line would take longer than the line."""
    return blocks(pieces, CHUNK_BYTES)


def frame_rows(frame: Any) -> Iterator[dict[str, Any]]:
    """The rows of a pandas DataFrame, without its index; what is missing (NaN, NaT, NA) is None."""
    for start in range(0, len(frame), FRAME_ROWS):
        rows = frame.iloc[start : start + FRAME_ROWS]
        yield from rows.astype(object).where(rows.notna(), None).to_dict("records")


def file_body(path: Path) -> Outgoing:
    """A file as it is at present. Raises UsageError where it cannot be read, and so do the chunks."""
    try:
        size = path.stat().st_size
    except OSError as error:
        raise _unreadable(path, error) from error
    return Outgoing(lambda: _content(path, size), can_begin_again=True, size=size)


def tar_body(files: Sequence[tuple[str, Path]]) -> Outgoing:
    """A tar archive of `files`, each by the name that it has in there."""
    return Outgoing(lambda: in_chunks(_archive(files)), can_begin_again=True)


def files_below(folder: Path, *, with_hidden: bool) -> list[tuple[str, Path]]:
    """Regular files at any depth in the order of their paths' bytes, each with its path from the folder."""
    found: list[tuple[str, Path]] = []
    for parent, folders, names in os.walk(folder):
        if not with_hidden:
            folders[:] = [name for name in folders if not name.startswith(".")]
            names = [name for name in names if not name.startswith(".")]  # noqa: PLW2901 (fewer of them)
        paths = (Path(parent, name) for name in names)
        found += [(path.relative_to(folder).as_posix(), path) for path in paths if path.is_file()]
    return sorted(found, key=lambda file: os.fsencode(file[0]))


def named_files(paths: Sequence[Path]) -> list[tuple[str, Path]]:
    """Each file with a name of its own: that of the file, or where two are called alike, its path from where the paths
    part. Raises UsageError where a path is given twice, or is no file."""
    absolute = [path.expanduser().absolute() for path in paths]
    for path in absolute:
        if not path.is_file():
            raise UsageError(f"{path} is no file of this machine: a list of paths names files, a folder is given alone")
    if len(set(absolute)) < len(absolute):
        raise UsageError("a path is given twice: an item of an archive is called by its path")
    if len({path.name for path in absolute}) == len(absolute):
        return [(path.name, path) for path in absolute]
    above = Path(os.path.commonpath(absolute))
    return [(PurePosixPath(path.relative_to(above)).as_posix(), path) for path in absolute]


def _archive(files: Sequence[tuple[str, Path]]) -> Iterator[bytes]:
    for name, path in files:
        header = tarfile.TarInfo(name)
        try:
            header.size = path.stat().st_size
        except OSError as error:
            raise _unreadable(path, error) from error
        yield header.tobuf(tarfile.PAX_FORMAT)
        yield from _content(path, header.size)
        yield bytes(-header.size % tarfile.BLOCKSIZE)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _content(path: Path, size: int) -> Iterator[bytes]:
    """As many bytes as were promised, whatever is written behind them meanwhile."""
    try:
        with path.open("rb") as file:
            while size and (chunk := file.read(min(CHUNK_BYTES, size))):
                size -= len(chunk)
                yield chunk
    except OSError as error:
        raise _unreadable(path, error) from error
    if size:
        raise UsageError(f"{path} has become shorter while it was sent")


def _unreadable(path: Path, error: OSError) -> UsageError:
    return UsageError(f"{path} cannot be read: {error.strerror or error}")


def _plain(value: Any) -> Any:
    """What numpy's and pandas' values are in JSON. Raises TypeError."""
    for name in ("tolist", "isoformat"):  # arrays and their scalars; dates and times
        made = getattr(value, name, None)
        if callable(made):
            return made()
    raise TypeError(f"a {type(value).__name__} is none")
