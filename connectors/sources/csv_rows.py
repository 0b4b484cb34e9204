"""The rows of a CSV file, each an item: a JSON object with the header's names."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from typing import Any, BinaryIO, NamedTuple, Self, TypeAlias

import orjson

from connectors.sources.files import SourceFile
from connectors.sources.jsonl import reading, unpacked
from connectors.sources.lines import MAX_LINE_BYTES, LineCursor, read_cursor
from stream_infer.errors import SourceError
from stream_infer.ports import SourceItem
from stream_infer.records import JSON, Payload

_SAMPLE_ROWS = 1000
_SAMPLE_BYTES = 1024 * 1024
# As JSON has it: 007 is a name, not a number. Beyond 18 digits a 64-bit reader would change it.
_NUMBER = re.compile(r"-?(0|[1-9]\d{0,17})(\.\d{1,30})?([eE][+-]?\d{1,3})?", re.ASCII)
_BOM = "\ufeff"

_Cell: TypeAlias = Callable[[str], Any]


class CsvSource:
    """Reads row by row in constant memory; a name that ends in .gz is unpacked on the way.

    The cursor is that of a file with lines, so resuming costs no more than finding the header and the columns' types
    again. A row that has another number of cells than the first one, or is no CSV, fails the source with its line; a
    cell that is no number in a column of numbers stays text, so that its item fails alone.
    """

    def __init__(
        self,
        file: SourceFile,
        *,
        delimiter: str | None = None,
        header: bool = True,
        numbers: bool = True,
        max_row_bytes: int = MAX_LINE_BYTES,
    ) -> None:
        self._file = file
        self._delimiter = delimiter or ("\t" if file.uri.removesuffix(".gz").endswith(".tsv") else ",")
        self._header = header
        self._numbers = numbers
        self._max_row_bytes = max_row_bytes

    def read(self, after: str | None) -> Iterator[SourceItem]:
        """The items behind `after`. Raises SourceError or ServiceUnavailable."""
        uri = self._file.uri
        start = read_cursor(after)
        with ExitStack() as stack:
            stack.enter_context(reading(uri))
            file, version = self._file.open()
            stack.enter_context(file)
            if start.version not in ("", version):
                raise SourceError(f"{uri} was replaced while it was being read: submit the job again")
            if uri.endswith(".gz"):
                file = stack.enter_context(unpacked(file))
            rows = _Rows(file, uri, self._delimiter, self._max_row_bytes)
            shape = self._shape(rows)
            rows.seek(start)
            if self._header and start.offset == 0:
                next(rows, None)
            row: _Row | None = None
            for row in rows:
                cursor = str(LineCursor(row.offset, row.last_line, version))
                yield SourceItem(Payload(shape.item(row, uri), JSON), f"{uri}#line={row.line}", cursor)
        if row is None and after is None:
            raise SourceError(f"{uri} is empty: it needs {'a header and ' * self._header}one row an item")

    def _shape(self, rows: _Rows) -> _Shape:
        """The columns, of the first rows; the same whenever the file is opened. `rows` are somewhere behind them."""
        first = next(rows, None)
        if first is None:
            return _Shape(None, ())
        names = first.cells if self._header else None
        if names is not None and (len(set(names)) < len(names) or "" in names):
            raise SourceError(
                f"{self._file.uri} line {first.line}: the header has a name twice or none: {', '.join(names)[:200]}; "
                "mend it, or say that there is no header"
            )
        sample = [] if self._header else [first.cells]
        if self._numbers:
            sample += [row.cells for row in islice(_until(rows, _SAMPLE_BYTES), _SAMPLE_ROWS - len(sample))]
        width = len(first.cells)
        columns = [[row[at] for row in sample if len(row) == width and row[at]] for at in range(width)]
        return _Shape(names, tuple(_number if self._numbers and _are_numbers(cells) else str for cells in columns))


class _Row(NamedTuple):
    """`line` and `last_line` count from 1; `offset` is behind it, in bytes."""

    cells: list[str]
    line: int
    last_line: int
    offset: int


class _Shape(NamedTuple):
    """What the cells of a row are called, and what each becomes."""

    names: Sequence[str] | None
    cells: Sequence[_Cell]

    def item(self, row: _Row, uri: str) -> bytes:
        if len(row.cells) != len(self.cells):
            raise SourceError(
                f"{uri} line {row.line} has {len(row.cells)} cells, and the first row {len(self.cells)}: mend the line"
            )
        values = [cell(text) for cell, text in zip(self.cells, row.cells, strict=True)]
        return orjson.dumps(values if self.names is None else dict(zip(self.names, values, strict=True)))


class _Rows:
    """Rows that are not blank, from where it was put. Raises SourceError with the line."""

    def __init__(self, file: BinaryIO, uri: str, delimiter: str, max_row_bytes: int) -> None:
        self._file = file
        self._uri = uri
        self._delimiter = delimiter
        self._max_row_bytes = max_row_bytes
        # Of the whole process, and otherwise 128 KiB; what a row may have bounds a cell.
        csv.field_size_limit(max(csv.field_size_limit(), max_row_bytes))
        self.seek(LineCursor())

    def seek(self, after: LineCursor) -> None:
        self._file.seek(max(0, after.offset - 1))
        if after.offset and not self._file.read(1):
            raise SourceError(
                f"{self._uri} was read up to byte {after.offset} and is shorter now: submit the job again"
            )
        self._offset, self._line, self._row_bytes = after.offset, after.line, 0
        self._reader = csv.reader(self._lines(), delimiter=self._delimiter, strict=True)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> _Row:
        while True:
            self._row_bytes, line = 0, self._line + 1
            try:
                cells = next(self._reader)
            except csv.Error as error:
                raise SourceError(f"{self._uri} line {line} is not CSV: {error}") from None
            if cells:
                return _Row(cells, line, self._line, self._offset)

    def _lines(self) -> Iterator[str]:
        """The reader asks for no more than the row that it is at needs."""
        while raw := self._file.readline(self._max_row_bytes + 1):
            self._offset += len(raw)
            self._line += 1
            self._row_bytes += len(raw)
            if self._row_bytes > self._max_row_bytes:
                raise SourceError(
                    f"{self._uri} line {self._line}: a row of more than {self._max_row_bytes} bytes ends or goes on "
                    'here; is a " missing?'
                )
            try:
                text = raw.decode()
            except UnicodeDecodeError as error:
                raise SourceError(f"{self._uri} line {self._line} is not UTF-8: {error.reason}") from None
            yield text.removeprefix(_BOM) if self._line == 1 else text


def _until(rows: _Rows, offset: int) -> Iterator[_Row]:
    for row in rows:
        yield row
        if row.offset > offset:
            return


def _are_numbers(cells: Sequence[str]) -> bool:
    return bool(cells) and all(_NUMBER.fullmatch(cell) for cell in cells)


def _number(text: str) -> int | float | str | None:
    """A number, null for nothing, and what is neither as it is."""
    if not text:
        return None
    match = _NUMBER.fullmatch(text)
    if match is None:
        return text
    if match[2] is None and match[3] is None:
        return int(text)
    value = float(text)
    return value if math.isfinite(value) else text
