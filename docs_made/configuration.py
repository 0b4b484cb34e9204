"""docs/configuration.md: its tables. What stands between them is written by hand.

A table stands between `<!-- keys: kafka -->` and `<!-- end of keys -->`, and has the keys that begin so.
"""

from __future__ import annotations

import re
import types
from collections.abc import Iterator
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from docs_made.markdown import table
from stream_infer.configuration.meanings import MEANINGS
from stream_infer.settings import MIB, Settings

DAY_S = 86400
_TABLE = re.compile(r"(?P<begin><!-- keys: (?P<keys>[^\n]+) -->\n).*?(?P<end><!-- end of keys -->)", re.DOTALL)


class Key(NamedTuple):
    """A key that holds a value, such as `apis[].name`; its default and its meaning as the page has them."""

    path: str
    default: str
    meaning: str

    def is_below(self, part: str) -> bool:
        return self.path == part or self.path.startswith((f"{part}.", f"{part}[]"))


def with_tables(page: str) -> str:
    """`page` with each table made anew. Raises ValueError where a key would stand in none, or in two."""
    keys = list(dict.fromkeys(keys_of(Settings)))
    shown: list[Key] = []

    def made(found: re.Match[str]) -> str:
        parts = found["keys"].split()
        of_table = [key for part in parts for key in keys if key.is_below(part)]
        shown.extend(of_table)
        rows = [(f"`{key.path}`", key.default, key.meaning) for key in of_table]
        return found["begin"] + "\n" + table(("key", "default", ""), rows) + "\n" + found["end"]

    text = _TABLE.sub(made, page)
    if sorted(shown) != sorted(keys):
        wrong = sorted({key.path for key in keys if shown.count(key) != 1})
        raise ValueError(f"docs/configuration.md has to have one table with each of these: {', '.join(wrong)}")
    return text


def keys_of(annotation: Any, path: str = "") -> Iterator[Key]:
    """Every key below `annotation` that holds a value."""
    for model in models_in(annotation):
        for name, field in model.model_fields.items():
            key = f"{path}.{name}" if path else name
            inner = models_in(field.annotation)
            if not inner:
                # The `type` of a union has a default and must be given all the same.
                default = "required" if name == "type" else shown_as(field.get_default(call_default_factory=True))
                yield Key(key, default, MEANINGS[model][name])
            elif get_origin(field.annotation) is list:
                yield from keys_of(get_args(field.annotation)[0], f"{key}[]")
            else:
                yield from keys_of(field.annotation, key)


def models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) in (list, Annotated, Union, types.UnionType):
        return [model for part in get_args(annotation) for model in models_in(part)]
    return []


def shown_as(default: object) -> str:
    match default:
        case bool():
            return f"`{str(default).lower()}`"
        case None:
            return "none"
        case int() if default >= MIB and default % MIB == 0:
            return f"`{default}` ({default // MIB} MiB)"
        case float() if default >= DAY_S:
            return f"`{default:.0f}` ({default / DAY_S:g} days)"
        case float():
            return f"`{default:g}`"
        case list() | dict() if not default:
            return f"`{default}`"
        case _:
            return "required" if default is PydanticUndefined else f"`{default}`"
