"""One object of results for each object of a job's source: what is asked for, and how the objects are called."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal
from urllib.parse import unquote

from pydantic import Field

from stream_infer.jobs.sources import PlacedSources, SpecPart

ENDING = ".out"
FOLDER = "assembled/"
"""Below the job's own folder, where no other place is given."""

_WITHIN = re.compile(r"#(?:line|row)=\d+$", re.ASCII)
_Uri = Field(default=None, pattern=r"^(s3|file)://", max_length=1100)


class Assemble(SpecPart):
    """For each object of the source its items' outputs in their order, as `KEY.out` below `output`; none for an object
    of which an item failed.

    `separator` line: each output ends a line. `output` is s3://bucket/prefix or file:///directory, below one of
    `sink.allowed_outputs`; without it they lie below the job's own folder. `base` is the start of the objects'
    addresses that their KEY is without; where it is not given, it follows from the source.
    """

    separator: Literal["none", "line"] = "none"
    output: str | None = _Uri
    base: str | None = Field(default=None, max_length=1100)


def object_of(source: str) -> tuple[str, int | None]:
    """The address of the object that an item's source names, and the line or row in it, where it is one of several."""
    match = _WITHIN.search(source)
    if match is None:
        return source, None
    return source[: match.start()], int(match[0].partition("=")[2])


def key_of(uri: str, base: str) -> str:
    """An object's KEY: what its address has behind `base`, or, where it does not begin with that, behind the bucket."""
    rest = uri[len(base) :] if base and uri.startswith(base) else uri.partition("://")[2].partition("/")[2]
    if uri.startswith("file://"):
        rest = unquote(rest)
    return rest.lstrip("/")


def base_of(source: PlacedSources) -> str | None:
    """Up to the last '/' of what the source names; None where that takes a look into it."""
    if source.manifest is not None:
        return None
    if source.s3_prefix is not None:
        return _above(source.s3_prefix.uri)
    if source.directory is not None:
        return f"{Path(source.directory.path).as_uri().rstrip('/')}/"
    return "" if source.file_uri is None else _above(source.file_uri)


def base_of_first(uri: str, entry: str) -> str:
    """Of a manifest whose first entry means the object at `uri`: what stands before it."""
    return uri[: len(uri) - len(entry)] if uri.endswith(entry) else ""


def _above(uri: str) -> str:
    scheme, mark, rest = uri.partition("://")
    return f"{scheme}{mark}{rest.rpartition('/')[0] or rest}/"


def allowed_place(output: str, allowed: Sequence[str]) -> str | None:
    """Which of `allowed` it is that `output` is or lies below."""
    path = output.rstrip("/")
    if not {".", ".."}.isdisjoint(path.split("/")):
        return None
    starts = ((place, place.rstrip("/")) for place in allowed)
    return next((place for place, start in starts if path == start or path.startswith(f"{start}/")), None)
