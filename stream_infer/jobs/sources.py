"""Where a job's items come from: the spec of each kind of source. connectors/sources/ reads them.

A file's `uri` is file:///path, s3://bucket/key, or what an upload has answered (upload:…). One whose name ends in .gz
is unpacked on the way.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class SpecPart(BaseModel):
    """A part of what a user asks for: an unknown key is a mistake."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ItemList(SpecPart):
    """Items given in the request itself. `batch_size`: at most so many of them in one call of the predictor."""

    items: list[Any] = Field(min_length=1)
    batch_size: int | None = Field(default=None, ge=1)


class JsonlFile(SpecPart):
    """A file with one JSON value a line."""

    uri: str


class Directory(SpecPart):
    """Every file below `path` that matches one of `includes` and none of `excludes` (globs, relative to it)."""

    path: str
    includes: list[str] = Field(default_factory=list)
    excludes: list[str] = Field(default_factory=list)


class _Objects(SpecPart):
    """Objects of S3 whose address begins with one of `s3_paths`, matches one of `includes` and none of `excludes`.

    `batch_size`: at most so many items in one call of the predictor.
    """

    s3_paths: list[str] = Field(min_length=1)
    includes: list[str] = Field(default_factory=list)
    excludes: list[str] = Field(default_factory=list)
    batch_size: int | None = Field(default=None, ge=1)


class FilePathLister(_Objects):
    """The address of each object, such as "s3://bucket/key", is an item. The predictor reads the object itself."""


class DelimitedFiles(_Objects):
    """Each line of each object is an item: one JSON value."""


class _Whole(SpecPart):
    """What becomes of an object.

    `split` none: the object is the item, and its bytes are what the predictor gets; line: each line of it is one.
    `compression` gzip: it is unpacked before. `content_type`: what the items are; without one its name and S3 say it,
    and one that begins with `;` is added to that.
    """

    split: Literal["none", "line"] = "none"
    compression: Literal["none", "gzip"] = "none"
    content_type: str | None = Field(
        default=None, pattern=r"^([\w.+-]+/[\w.+-]+(\s*;[ -~]*)?|;[ -~]*)$", max_length=200
    )


class S3Prefix(_Whole):
    """Every object of S3 whose address begins with `uri`, matches one of `includes` and none of `excludes`."""

    uri: str
    includes: list[str] = Field(default_factory=list)
    excludes: list[str] = Field(default_factory=list)


class Manifest(_Whole):
    """The objects that the JSON file at `uri` names: [{"prefix": "s3://bucket/start/"}, "key", …]."""

    uri: str


class CsvFile(SpecPart):
    """Each row is an item: an object with the header's names, or a list where there is no `header`.

    `delimiter`: a comma, or a tab where the name ends in .tsv, unless it is given. `numbers`: a column of numbers, as
    the first 1,000 rows have it, gives numbers and null for an empty cell; without it all is text.
    """

    uri: str
    delimiter: str | None = Field(default=None, pattern=r'^[^"\r\n\x00]$')
    header: bool = True
    numbers: bool = True


class ParquetFile(SpecPart):
    """Each row is an item: an object with the names of `columns`, all of them unless some are given."""

    uri: str
    columns: list[str] | None = Field(default=None, min_length=1)


class TarFile(SpecPart):
    """Each regular file in the archive at `uri` that matches one of `includes` and none of `excludes`: its bytes."""

    uri: str
    includes: list[str] = Field(default_factory=list)
    excludes: list[str] = Field(default_factory=list)


class PluginSource(SpecPart):
    """What another package reads, which names it among its entry points of `stream_infer.sources`."""

    name: str = Field(min_length=1, max_length=100)
    config: dict[str, Any] = Field(default_factory=dict)


class RequestsFile(SpecPart):
    """A file of requests as OpenAI's Batch API has them, one a line: {"custom_id", "method", "url", "body"}.

    The body is the item, and its output stands under the custom id.
    """

    uri: str


class PlacedSources(SpecPart):
    """The sources that lie somewhere, one field each: a job's spec and what is kept of it have the same."""

    jsonl: JsonlFile | None = None
    directory: Directory | None = None
    file_path_lister: FilePathLister | None = None
    delimited_files: DelimitedFiles | None = None
    s3_prefix: S3Prefix | None = None
    manifest: Manifest | None = None
    csv: CsvFile | None = None
    parquet: ParquetFile | None = None
    tar: TarFile | None = None
    plugin: PluginSource | None = None
    requests: RequestsFile | None = None

    @property
    def file_uri(self) -> str | None:
        """Of the one file that the source is or begins with; None where it is of another kind."""
        file = self.jsonl or self.manifest or self.csv or self.parquet or self.tar or self.requests
        return None if file is None else file.uri


SOURCES = ("item_list", *PlacedSources.model_fields)
