"""JSON text in and out. Numbers stay exact: pydantic's reader keeps whole numbers of any size, orjson rounds them."""

from __future__ import annotations

import re
from typing import Any

import pydantic_core

_PLACE = re.compile(r"^(?P<what>.*) at line (?P<line>\d+) column (?P<column>\d+)$", re.DOTALL)


class MalformedJson(ValueError):
    """`what` is wrong at `line` and `column`, both from 1."""

    def __init__(self, what: str, line: int, column: int) -> None:
        super().__init__(f"{what} at line {line}, column {column}")
        self.line = line
        self.column = column


def parse_json(data: bytes) -> Any:
    """The value. NaN and Infinity are refused, as is nesting beyond 200 levels. Raises MalformedJson."""
    try:
        return pydantic_core.from_json(data, allow_inf_nan=False, cache_strings="keys")
    except ValueError as error:
        place = _PLACE.match(str(error))
        if place is None:
            raise MalformedJson(str(error), 1, 1) from None
        raise MalformedJson(place["what"], int(place["line"]), int(place["column"])) from None


def to_json(value: Any) -> bytes:
    """Compact JSON of plain values and pydantic models, on one line."""
    return pydantic_core.to_json(value)
