"""Where a job's items come from: the spec of each kind of source. connectors/sources/ reads them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class SpecPart(BaseModel):
    """A part of what a user asks for: an unknown key is a mistake."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ItemList(SpecPart):
    """Items given in the request itself. `batch_size` is Cortex's word, read and not needed here."""

    items: list[Any] = Field(min_length=1)
    batch_size: int | None = Field(default=None, ge=1)


class JsonlFile(SpecPart):
    """A file with one JSON value a line: file:///path or s3://bucket/key."""

    uri: str


class Directory(SpecPart):
    """Every file below `path` that matches one of `includes` and none of `excludes` (globs, relative to it)."""

    path: str
    includes: list[str] = Field(default_factory=list)
    excludes: list[str] = Field(default_factory=list)


class PlacedSources(SpecPart):
    """The sources that lie somewhere, one field each: a job's spec and what is kept of it have the same."""

    jsonl: JsonlFile | None = None
    directory: Directory | None = None


SOURCES = ("item_list", *PlacedSources.model_fields)
