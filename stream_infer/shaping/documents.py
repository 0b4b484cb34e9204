"""Payloads as values that a filter can work on, and back: JSON, and one row of CSV as the list of its cells."""

from __future__ import annotations

import csv
import io
from base64 import b64encode
from typing import Any

import orjson

from stream_infer.records import JSON
from stream_infer.shaping.filters import FilterFailed

CSV = "text/csv"


def media_type(content_type: str) -> str:
    """Without its parameters, in small letters."""
    return content_type.partition(";")[0].strip().lower()


def is_json(content_type: str) -> bool:
    media = media_type(content_type)
    return media in (JSON, "text/json") or media.endswith("+json")


def is_text(content_type: str) -> bool:
    return media_type(content_type).startswith("text/")


def value_of(data: bytes, content_type: str) -> Any:
    """What a filter sees. Raises FilterFailed."""
    if is_json(content_type):
        try:
            return orjson.loads(data)
        except orjson.JSONDecodeError as error:
            raise FilterFailed(f"it is not the JSON that its content type says: {error}") from None
    if media_type(content_type) == CSV:
        return cells_of(data)
    raise FilterFailed(f"a filter reads JSON, or a row of CSV, and this is {content_type[:100] or 'of no type'}")


def data_of(value: Any, content_type: str) -> tuple[bytes, str]:
    """A value's bytes and their type: a list that came from CSV is a row again, all else JSON. Raises FilterFailed."""
    if media_type(content_type) == CSV and isinstance(value, list) and all(map(_is_cell, value)):
        return row_of(value), content_type
    try:
        return orjson.dumps(value), content_type if is_json(content_type) else JSON
    except TypeError as error:
        raise FilterFailed(f"what it makes cannot be written as JSON: {error}") from None


def cells_of(data: bytes) -> list[str]:
    """Of one row of CSV. Raises FilterFailed."""
    try:
        rows = list(csv.reader(io.StringIO(data.decode(), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise FilterFailed(f"it is not the CSV that its content type says: {error}") from None
    if len(rows) != 1:
        raise FilterFailed(f"a filter reads one row of CSV, and this has {len(rows)}")
    return rows[0]


def row_of(cells: list[Any]) -> bytes:
    """One row of CSV, without a line end."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="").writerow(cells)
    return text.getvalue().encode(errors="surrogatepass")


def embedded(data: bytes, content_type: str) -> Any:
    """What stands for a payload inside of a JSON document: JSON as it is, text as a string, all else as base64."""
    if is_json(content_type):
        try:
            orjson.loads(data)
            return orjson.Fragment(data)
        except orjson.JSONDecodeError:
            pass
    if is_text(content_type):
        try:
            return data.decode()
        except UnicodeDecodeError:
            pass
    return {"base64": b64encode(data).decode(), "content_type": content_type}


def _is_cell(value: Any) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)
