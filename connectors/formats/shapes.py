"""Whether columns of different objects can be read as one: scalars of any kinds, lists, and objects member by member.

Measured with DuckDB's union_by_name: numbers, texts and booleans become one type, members that are missing NULL; but a
scalar beside a list or an object, or a list beside an object, is an error of the whole query.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    import pyarrow as pa

LONGEST_SHAPE = 4096
_SCALAR = "s"


class Disagreement(ValueError):
    """The columns are no column together."""


def shape_of(type_: pa.DataType) -> str:
    """Of a column: nothing of it but where scalars, lists and objects are. DuckDB's names have no case."""
    return orjson.dumps(_shape(type_), option=orjson.OPT_SORT_KEYS).decode()


def agree(shapes: Collection[str]) -> bool:
    """Whether objects with a column of each of these shapes can be read together."""
    whole: Any = None
    try:
        for shape in shapes:
            whole = _together(whole, orjson.loads(shape))
    except Disagreement:
        return False
    return True


def _shape(type_: pa.DataType) -> Any:
    import pyarrow as pa

    if pa.types.is_struct(type_):
        members: dict[str, Any] = {}
        for field in type_:
            name = field.name.lower()
            members[name] = _shape(field.type) if name not in members else members[name]
        return members
    if pa.types.is_list(type_):
        return [_shape(type_.value_type)]
    return _SCALAR


def _together(one: Any, other: Any) -> Any:
    if one is None or one == other:
        return other
    match one, other:
        case dict(), dict():
            both = {name: _together(one.get(name), inner) for name, inner in other.items()}
            return one | both
        case [inner], [other_inner]:
            return [_together(inner, other_inner)]
    raise Disagreement(f"{one} and {other}")
