"""Results as Parquet, typed, with a schema that is found anew for each object. Needs pyarrow, the extra `parquet`.

Columns: item_id, ordinal, custom_id, key, source, content_type; and of each row one of

    output         JSON, where all JSON outputs of the object agree in their types (columns.py says when they do)
    output_json    JSON as text, where they do not
    output_bytes   what is no JSON, its type in content_type
    output_uri     the address of what no message could carry, its type in content_type

A column or member that is empty in a whole object is not in it, which `union_by_name` makes good.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import orjson

from connectors.formats.columns import UNKNOWN, Inconsistent, Kind, arrow_type, fits, kind_of, merged, without_empty
from connectors.formats.lines import Result, line_of, read_result
from connectors.formats.plain import PlainFormat
from connectors.formats.shapes import LONGEST_SHAPE, agree, shape_of
from stream_infer.ports import Folder, NumberedLine, ResultLines
from stream_infer.records import JSON

if TYPE_CHECKING:
    import pyarrow as pa

# Lines of a row group, in bytes: what is held as Python objects at a time.
_GROUP_BYTES = 1024 * 1024
_ROWS = 512
_NAMED = ("custom_id", "key", "source")
_ORDER = ("item_id", "ordinal", *_NAMED, "content_type", "output", "output_json", "output_bytes", "output_uri")


class Parquet(PlainFormat):
    suffix = ".parquet"
    content_type = "application/vnd.apache.parquet"

    def __init__(self) -> None:
        # Several at a time would take their memory several times, and no less time: most of it is Python's.
        self._encoding = threading.Lock()

    def encode(self, lines: ResultLines) -> bytes:
        """Looks at all lines once for their types, and once more to write them."""
        import pyarrow as pa

        with self._encoding:
            survey = _Survey(lines)
            try:
                return _written(lines, survey.schema(is_typed=True))
            except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
                return _written(lines, survey.schema(is_typed=False))

    def shape_of(self, data: bytes) -> str | None:
        from pyarrow.parquet import read_schema

        schema = read_schema(io.BytesIO(data))
        return shape_of(schema.field("output").type) if "output" in schema.names else None

    def agree(self, shapes: Collection[str]) -> bool:
        return agree(shapes)

    def plain(self, data: bytes) -> bytes:
        """With its JSON outputs as text."""
        import pyarrow as pa
        from pyarrow.parquet import ParquetFile, ParquetWriter

        source = ParquetFile(io.BytesIO(data))
        old = source.schema_arrow
        if "output" not in old.names:
            return data
        text = pa.field("output_json", pa.string())
        schema = pa.schema([text if field.name == "output" else field for field in old])
        file = io.BytesIO()
        with ParquetWriter(file, schema, compression="zstd") as writer:
            for batch in source.iter_batches(batch_size=_ROWS):
                rows = [_plain_row(row) for row in batch.to_pylist()]
                columns = [pa.array([row[field.name] for row in rows], type=field.type) for field in schema]
                writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))
        return file.getvalue()

    def decode(self, data: bytes, items: Folder) -> Iterator[bytes]:  # noqa: ARG002 - as above
        import pyarrow as pa
        from pyarrow.parquet import ParquetFile

        try:
            for batch in ParquetFile(io.BytesIO(data)).iter_batches(batch_size=_ROWS):
                for row in batch.to_pylist():
                    yield _line(row)
        except pa.ArrowException as error:
            raise ValueError(f"it is no Parquet: {error}") from error


class _Survey:
    """What stands in the lines of an object: its columns, and the kind of `output`; None where JSON is text."""

    def __init__(self, lines: ResultLines) -> None:
        self.used = {"item_id", "ordinal"}
        kind: Kind | None = UNKNOWN
        for line in lines:
            result = read_result(line.data)
            self.used.update(result.named)
            self.used.update(_columns_of(result))
            if result.is_json and kind is not None:
                kind = _with(kind, orjson.loads(result.output))
        typed = None if kind is None else arrow_type(kind)
        self.kind = None if typed is None or len(shape_of(typed)) > LONGEST_SHAPE else kind

    def schema(self, *, is_typed: bool) -> pa.Schema:
        import pyarrow as pa

        texts = ("item_id", *_NAMED, "content_type", "output_json", "output_uri")
        types: dict[str, pa.DataType] = dict.fromkeys(texts, pa.string())
        types |= {"ordinal": pa.int64(), "output_bytes": pa.binary()}
        typed = arrow_type(self.kind) if is_typed and self.kind is not None else None
        used = self.used | {"output_json" if typed is None else "output"}
        if typed is not None:
            types["output"] = typed
        return pa.schema([pa.field(name, types[name]) for name in _ORDER if name in used and name in types])


def _with(kind: Kind, output: Any) -> Kind | None:
    try:
        return kind if fits(kind, output) else merged(kind, kind_of(output))
    except Inconsistent:
        return None


def _columns_of(result: Result) -> tuple[str, ...]:
    if result.copied_from is not None:
        return ("content_type", "output_uri")
    if not result.is_json:
        return ("content_type", "output_bytes")
    return () if result.content_type == JSON else ("content_type",)


def _written(lines: ResultLines, schema: pa.Schema) -> bytes:
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    file = io.BytesIO()
    is_typed = "output" in schema.names
    with ParquetWriter(file, schema, compression="zstd") as writer:
        for group in _groups(lines):
            rows = [_row(read_result(line.data), line.ordinal, is_typed=is_typed) for line in group]
            columns = [pa.array([row.get(field.name) for row in rows], type=field.type) for field in schema]
            writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))
    return file.getvalue()


def _groups(lines: Iterable[NumberedLine]) -> Iterator[list[NumberedLine]]:
    held: list[NumberedLine] = []
    size = 0
    for line in lines:
        held.append(line)
        size += len(line.data)
        if size >= _GROUP_BYTES:
            yield held
            held, size = [], 0
    if held:
        yield held


def _row(result: Result, ordinal: int | None, *, is_typed: bool) -> dict[str, Any]:
    named = result.named
    row: dict[str, Any] = {name: _text(named[name]) for name in ("item_id", *_NAMED) if name in named}
    row["ordinal"] = ordinal
    if result.content_type != JSON or not result.is_json:
        row["content_type"] = result.content_type
    if result.copied_from is not None:
        row["output_uri"] = result.copied_from
    elif not result.is_json:
        row["output_bytes"] = result.output
    elif is_typed:
        row["output"] = orjson.loads(result.output)
    else:
        row["output_json"] = result.output.decode()
    return row


def _text(value: Any) -> str:
    """A key that is no text is an object in the line."""
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _plain_row(row: dict[str, Any]) -> dict[str, Any]:
    is_json = row.get("output_uri") is None and row.get("output_bytes") is None
    text = orjson.dumps(without_empty(row.pop("output"))).decode() if is_json else None
    return row | {"output_json": text}


def _line(row: dict[str, Any]) -> bytes:
    named = {name: row[name] for name in ("item_id", *_NAMED) if row.get(name) is not None}
    kind = row.get("content_type") or JSON
    if row.get("output_uri") is not None:
        return line_of(Result(named, kind, b"", is_json=False, copied_from=row["output_uri"]))
    if row.get("output_bytes") is not None:
        return line_of(Result(named, kind, row["output_bytes"], is_json=False))
    text = row.get("output_json")
    output = orjson.dumps(without_empty(row.get("output"))) if text is None else text.encode()
    return line_of(Result(named, kind, output, is_json=True))
