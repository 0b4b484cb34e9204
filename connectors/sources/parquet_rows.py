"""The rows of a Parquet file, each an item: a JSON object with the columns' names."""

from __future__ import annotations

import base64
import datetime as dt
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import orjson

from connectors.sources.files import SourceFile
from connectors.sources.jsonl import reading
from connectors.sources.lines import MAX_LINE_BYTES
from stream_infer.errors import SourceError
from stream_infer.ports import SourceItem
from stream_infer.records import JSON, Payload

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

_BATCH_ROWS = 256
# What is read of a column at a time.
_BUFFER_BYTES = 1024 * 1024
_CURSOR = re.compile(r"(\d{1,18})(?::(\S+))?", re.ASCII)


class ParquetSource:
    """Reads row group by row group and 256 rows at a time; the cursor is the number of rows that are done.

    What JSON has no word for becomes text: times in ISO 8601, decimals with all their digits, bytes in base64;
    durations are seconds. Needs pyarrow, the extra `parquet`.
    """

    def __init__(
        self, file: SourceFile, *, columns: Sequence[str] | None = None, max_row_bytes: int = MAX_LINE_BYTES
    ) -> None:
        self._file = file
        self._columns = None if columns is None else list(columns)
        self._max_row_bytes = max_row_bytes

    def read(self, after: str | None) -> Iterator[SourceItem]:
        """The items behind `after`. Raises SourceError or ServiceUnavailable."""
        uri = self._file.uri
        done, version = _read_cursor(after)
        with ExitStack() as stack:
            stack.enter_context(_reading_parquet(uri))
            file, found = self._file.open()
            stack.enter_context(file)
            if version not in ("", found):
                raise SourceError(f"{uri} was replaced while it was being read: submit the job again")
            parquet = _opened(getattr(file, "raw", file))
            self._check_columns(parquet)
            rows = parquet.metadata.num_rows
            if rows < done:
                raise SourceError(f"{uri} was read up to row {done} and is shorter now: submit the job again")
            for number, row in _rows(parquet, self._columns, done):
                data = orjson.dumps(row, default=_in_json)
                refused = None
                if len(data) > self._max_row_bytes:
                    refused = f"{uri} row {number} has more than {self._max_row_bytes} bytes as JSON"
                    data = b""
                cursor = f"{number}:{found}" if found else str(number)
                yield SourceItem(Payload(data, JSON), f"{uri}#row={number}", cursor, refused=refused)
        if rows == 0:
            raise SourceError(f"{uri} is empty: each of its rows is an item, and it has none")

    def _check_columns(self, parquet: ParquetFile) -> None:
        """An unknown one would be left out without a word."""
        names = parquet.schema_arrow.names
        unknown = [name for name in self._columns or () if name not in names]
        if unknown:
            raise SourceError(f"{self._file.uri} has no column {unknown[0]!r}; it has {', '.join(names)[:500]}")


def _opened(file: Any) -> ParquetFile:
    """`file` without a buffer: pyarrow has one of its own for each column, and jumps from one to the next."""
    try:
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise SourceError(
            "Parquet needs pyarrow, which is not installed here: pip install 'stream-infer[parquet]'"
        ) from None
    return ParquetFile(file, buffer_size=_BUFFER_BYTES, pre_buffer=False)


def _rows(parquet: ParquetFile, columns: list[str] | None, done: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each row behind the first `done`, with its number from 1. Groups that are done are not read."""
    number = 0
    for group in range(parquet.metadata.num_row_groups):
        size = parquet.metadata.row_group(group).num_rows
        if number + size <= done:
            number += size
            continue
        for batch in parquet.iter_batches(_BATCH_ROWS, row_groups=[group], columns=columns, use_threads=False):
            skipped = max(0, min(batch.num_rows, done - number))
            yield from enumerate(_readable(batch.slice(skipped)).to_pylist(), number + skipped + 1)
            number += batch.num_rows


def _readable(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Python's times have no nanoseconds."""
    import pyarrow as pa

    kind: pa.DataType
    for at, field in enumerate(batch.schema):
        if pa.types.is_timestamp(field.type) and field.type.unit == "ns":
            kind = pa.timestamp("us", field.type.tz)
        elif pa.types.is_time64(field.type) and field.type.unit == "ns":
            kind = pa.time64("us")
        elif pa.types.is_duration(field.type) and field.type.unit == "ns":
            kind = pa.duration("us")
        else:
            continue
        batch = batch.set_column(at, field.name, batch.column(at).cast(kind, safe=False))
    return batch


def _in_json(value: object) -> object:
    match value:
        case bytes():
            return base64.b64encode(value).decode()
        case dt.timedelta():
            return value.total_seconds()
        case _:
            return str(value)


def _read_cursor(text: str | None) -> tuple[int, str]:
    if text is None:
        return 0, ""
    if (match := _CURSOR.fullmatch(text)) is None:
        raise SourceError(f"cursor {text!r} is not one of a Parquet file: it reads rows")
    return int(match[1]), match[2] or ""


@contextmanager
def _reading_parquet(uri: str) -> Iterator[None]:
    with reading(uri):
        try:
            yield
        except (ValueError, TypeError, NotImplementedError) as error:  # pyarrow's are these, or OSError
            raise SourceError(f"{uri} is no Parquet file that can be read: {error}") from error
