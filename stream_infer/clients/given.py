"""What a program submits, as a job's source: items, a table, files, or a source as the job's spec has it."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import unquote, urlsplit

from stream_infer.clients.call import AsyncOutgoing, Outgoing
from stream_infer.clients.packing import (
    CHUNK_BYTES,
    file_body,
    files_below,
    frame_rows,
    in_chunks,
    json_line,
    json_lines,
    named_files,
    tar_body,
)
from stream_infer.errors import UsageError

# Items; or a path, paths, an s3:// prefix, a pandas DataFrame, or a source as the job's spec has it.
Given: TypeAlias = "Iterable[Any] | AsyncIterable[Any] | Mapping[str, Any] | os.PathLike[str] | str"
# The sources that are one file: they may be sent where the gateway cannot read them.
FILES = ("jsonl", "csv", "parquet", "tar", "manifest", "requests")
INLINE_BYTES = 1024 * 1024
INLINE_ITEMS = 10_000
_BY_SUFFIX = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".tar": "tar",
    ".tgz": "tar",
}


@dataclass(frozen=True, slots=True)
class Upload:
    """What is sent in place of a source that the gateway cannot read: as the source `kind`, with its other keys, and
    the job's other words beside it."""

    kind: str
    name: str
    body: Outgoing | AsyncOutgoing
    keys: Mapping[str, Any] = field(default_factory=dict)
    beside: Mapping[str, Any] = field(default_factory=dict)

    def spec(self, uri: str) -> dict[str, Any]:
        return {**self.beside, self.kind: {**self.keys, "uri": uri}}


@dataclass(frozen=True, slots=True)
class Source:
    """`spec`: as it can be asked for at once; `upload`: what can be sent instead. At least one of them is there."""

    spec: Mapping[str, Any] | None = None
    upload: Upload | None = None


def source_of(given: Given, globs: Mapping[str, Sequence[str]]) -> Source:
    """`globs`, includes and excludes, choose among the files of a folder, an archive or a prefix. Raises UsageError."""
    chosen = {name: list(patterns) for name, patterns in globs.items() if patterns}
    match given:
        case str():
            return _of_text(given, chosen)
        case bytes() | bytearray() | memoryview():
            raise UsageError("bytes are no items: write them into files, and give their paths")
        case os.PathLike():
            return _of_path(Path(given).expanduser().absolute(), chosen)
        case Mapping():
            _refuse(chosen, "a source that says its own")
            return of_spec(given)
        case AsyncIterable():
            _refuse(chosen, "items")
            body = AsyncOutgoing(lambda: _async_lines(given))
            return Source(upload=Upload("jsonl", "items.jsonl", body))
        case _ if _is_frame(given):
            _refuse(chosen, "a table")
            body_of_rows = Outgoing(lambda: in_chunks(json_lines(frame_rows(given))), can_begin_again=True)
            return Source(upload=Upload("jsonl", "rows.jsonl", body_of_rows))
        case Iterable():
            if isinstance(given, Sequence) and given and all(isinstance(item, os.PathLike) for item in given):
                files = named_files([Path(item) for item in given])
                return Source(upload=Upload("tar", "files.tar", tar_body(files), chosen))
            _refuse(chosen, "items")
            return _of_items(given)
        case _:
            raise UsageError(f"a {type(given).__name__} is no source of items: give a list, an iterator, a path, …")


def of_spec(spec: Mapping[str, Any]) -> Source:
    """A source as a job's spec has it, alone or with the rest of that; with the file that is sent where the gateway
    cannot read it. What is not there on this machine is the gateway's."""
    found = local_file(spec)
    if found is None or not found[1].is_file():
        return Source(spec)
    kind, path = found
    keys = {name: value for name, value in spec[kind].items() if name != "uri"}
    beside = {name: value for name, value in spec.items() if name != kind}
    return Source(spec, Upload(kind, path.name, file_body(path), keys, beside))


def local_file(spec: Mapping[str, Any]) -> tuple[str, Path] | None:
    """The kind of the source that is one file of this machine, and that file; None where it is no such source."""
    for kind in FILES:
        source = spec.get(kind)
        uri = str(source.get("uri", "")) if isinstance(source, Mapping) else ""
        if uri.startswith("file://"):
            return kind, path_in(uri)
    return None


def path_in(place: str) -> Path:
    """The path that a file:// address, or a path, means."""
    return Path(unquote(urlsplit(place).path) if place.startswith("file://") else place)


def _of_text(text: str, chosen: Mapping[str, Any]) -> Source:
    if not text.startswith("s3://"):
        raise UsageError(
            f"{text[:60]!r} is a text, not items: give a list of items, pathlib.Path(…) for a file or a folder, or "
            "s3://bucket/prefix for objects"
        )
    return Source({"s3_prefix": {"uri": text, **chosen}})


def _of_path(path: Path, chosen: Mapping[str, Any]) -> Source:
    if path.is_dir():
        files = files_below(path, with_hidden="includes" in chosen)
        upload = Upload("tar", f"{path.name or 'files'}.tar", tar_body(files), chosen)
        return Source({"directory": {"path": path.as_uri(), **chosen}}, upload)
    if not path.exists():
        raise UsageError(f"{path} is not there")
    unpacked = path.with_suffix("") if path.suffix == ".gz" else path
    kind = _BY_SUFFIX.get(unpacked.suffix.lower())
    if kind is None:
        return Source(upload=Upload("tar", f"{path.name}.tar", tar_body([(path.name, path)]), chosen))
    if kind != "tar":
        _refuse(chosen, f"a {kind} file")
    return of_spec({kind: {"uri": path.as_uri(), **chosen}})


def _of_items(items: Iterable[Any]) -> Source:
    """Inline where they are few, else as a file of lines, of which no more than the first few are held."""
    iterator = iter(items)
    held: list[Any] = []
    size = 0
    for item in iterator:
        held.append(item)
        size += len(json_line(item, len(held) - 1))
        if size > INLINE_BYTES or len(held) > INLINE_ITEMS:
            break
    else:
        if not held:
            raise UsageError("there are no items to submit")
        # As JSON has them: what numpy holds is plain then.
        return Source({"item_list": {"items": [json.loads(line) for line in json_lines(held)]}})
    if isinstance(items, Sequence):
        body = Outgoing(lambda: in_chunks(json_lines(items)), can_begin_again=True)
    else:
        body = Outgoing(lambda: in_chunks(json_lines(chain(held, iterator))), can_begin_again=False)
    return Source(upload=Upload("jsonl", "items.jsonl", body))


async def _async_lines(items: AsyncIterable[Any]) -> AsyncIterator[bytes]:
    held: list[bytes] = []
    size = number = 0
    async for item in items:
        held.append(json_line(item, number))
        number += 1
        size += len(held[-1])
        if size >= CHUNK_BYTES:
            yield b"".join(held)
            held, size = [], 0
    if held:
        yield b"".join(held)


def _is_frame(given: object) -> bool:
    """Whether it is a pandas DataFrame; pandas is not imported for that."""
    kind = type(given)
    return kind.__name__ == "DataFrame" and kind.__module__.partition(".")[0] == "pandas"


def _refuse(chosen: Mapping[str, Any], what: str) -> None:
    if chosen:
        raise UsageError(
            f"includes and excludes choose files of a folder, an archive or an s3:// prefix; this is {what}"
        )
