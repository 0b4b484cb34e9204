"""The type of a column of JSON values: when they agree, and what they are in Arrow then.

They agree where each place in them holds one kind throughout: true and false, numbers, texts, lists, objects. Null and
a missing member are the same. Whole numbers and others together are doubles, if no whole one is beyond what a double
can hold; none is 2^63 or more. What no value says the type of (always null, [] or {}) is left out. More than 500
members of an object, or values deeper than 16, are no columns.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import pyarrow as pa

_DEEPEST = 16
_MOST_MEMBERS = 500
_EXACT_IN_A_DOUBLE = 2**53


class Inconsistent(ValueError):
    """The values are no column."""


class Scalar(StrEnum):
    UNKNOWN = "unknown"
    BOOL = "bool"
    INT = "int"
    LARGE_INT = "large int"
    FLOAT = "float"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class ListOf:
    inner: Kind


@dataclass(frozen=True, slots=True)
class Struct:
    members: dict[str, Kind] = field(default_factory=dict)


Kind: TypeAlias = Scalar | ListOf | Struct
UNKNOWN = Scalar.UNKNOWN
_NUMBERS = frozenset({Scalar.INT, Scalar.LARGE_INT, Scalar.FLOAT})


def kind_of(value: Any, depth: int = 0) -> Kind:
    """Raises Inconsistent."""
    if depth > _DEEPEST:
        raise Inconsistent("too deep")
    match value:
        case None:
            return UNKNOWN
        case bool():
            return Scalar.BOOL
        case int() | float():
            return _kind_of_number(value)
        case str():
            return Scalar.TEXT
        case list():
            inner: Kind = UNKNOWN
            for one in value:
                inner = merged(inner, kind_of(one, depth + 1))
            return ListOf(inner)
        case dict():
            if len(value) > _MOST_MEMBERS:
                raise Inconsistent("too many members")
            return Struct({name: kind_of(inner, depth + 1) for name, inner in value.items()})
        case _:
            raise Inconsistent(f"{type(value)} is no JSON")


def _kind_of_number(value: Any) -> Kind:
    """A whole number of more than 64 bits is read as a float, so that nobody knows what a large one was."""
    if isinstance(value, float) and abs(value) < 2**63:
        return Scalar.FLOAT
    if isinstance(value, float) or not -(2**63) <= value < 2**63:
        raise Inconsistent("a number of more than 64 bits")
    return Scalar.INT if abs(value) <= _EXACT_IN_A_DOUBLE else Scalar.LARGE_INT


def fits(kind: Kind, value: Any) -> bool:
    """Whether merging the value's kind would change nothing: what most values of a column do."""
    match kind:
        case Struct(members):
            if type(value) is not dict:
                return value is None
            get = members.get
            return all((of := get(name)) is not None and fits(of, inner) for name, inner in value.items())
        case ListOf(inner):
            return value is None or (type(value) is list and all(fits(inner, one) for one in value))
        case Scalar.TEXT:
            return value is None or type(value) is str
        case Scalar.FLOAT:
            return value is None or (type(value) is float and -(2**63) < value < 2**63)
        case Scalar.INT:
            return value is None or (type(value) is int and abs(value) <= _EXACT_IN_A_DOUBLE)
        case Scalar.BOOL:
            return value is None or type(value) is bool
        case _:
            return value is None


def merged(one: Kind, other: Kind) -> Kind:
    """The kind that holds both. Raises Inconsistent."""
    if one == other or other is UNKNOWN:
        return one
    if one is UNKNOWN:
        return other
    if isinstance(one, ListOf) and isinstance(other, ListOf):
        return ListOf(merged(one.inner, other.inner))
    if isinstance(one, Struct) and isinstance(other, Struct):
        return _merged_structs(one, other)
    if isinstance(one, Scalar) and isinstance(other, Scalar) and {one, other} <= _NUMBERS:
        numbers = {one, other}
        if numbers == {Scalar.FLOAT, Scalar.LARGE_INT}:
            raise Inconsistent("a whole number that no double can hold beside others")
        return Scalar.FLOAT if Scalar.FLOAT in numbers else Scalar.LARGE_INT
    raise Inconsistent(f"{one} and {other}")


def _merged_structs(one: Struct, other: Struct) -> Struct:
    members = dict(one.members)
    for name, kind in other.members.items():
        members[name] = merged(members[name], kind) if name in members else kind
    if len(members) > _MOST_MEMBERS:
        raise Inconsistent("too many members")
    return Struct(members)


def arrow_type(kind: Kind) -> pa.DataType | None:
    """None where nothing is known of it."""
    import pyarrow as pa

    match kind:
        case Scalar.UNKNOWN:
            return None
        case Scalar.BOOL:
            return pa.bool_()
        case Scalar.INT | Scalar.LARGE_INT:
            return pa.int64()
        case Scalar.FLOAT:
            return pa.float64()
        case Scalar.TEXT:
            return pa.string()
        case ListOf(inner):
            of = arrow_type(inner)
            return None if of is None else pa.list_(of)
        case Struct(members):
            types = {name: arrow_type(inner) for name, inner in members.items()}
            known = [pa.field(name, of) for name, of in types.items() if of is not None]
            return pa.struct(known) if known else None


def without_empty(value: Any) -> Any:
    """A value as it is read back, without the members that it does not have."""
    if isinstance(value, dict):
        return {name: without_empty(inner) for name, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [without_empty(inner) for inner in value]
    return value
