"""The configuration's JSON Schema: published for editors, and used here to know which keys there are.

`python -m stream_infer.configuration > docs/stream-infer.schema.json` writes it; a test compares.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any, TypeAlias

from stream_infer.configuration.meanings import MEANINGS
from stream_infer.settings import Settings

Shape: TypeAlias = dict[str, Any]

_TAG = "type"
_LINK = re.compile(r"\[([^\]]+)\]\([^)]+\)")


def json_schema() -> Shape:
    """JSON Schema (2020-12) of stream-infer.yaml, with the meaning of each key for editors that show it."""
    schema = Settings.model_json_schema()
    for model, meanings in MEANINGS.items():
        shape = schema if model is Settings else schema["$defs"][model.__name__]
        for key, meaning in meanings.items():
            if meaning:
                shape["properties"][key]["description"] = _LINK.sub(r"\1", meaning)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "stream-infer.yaml"}


@cache
def root() -> Shape:
    """The schema, made once. Not to be changed."""
    return json_schema()


def resolved(shape: Shape, value: object) -> Shape:
    """What `shape` means for `value`: references followed, null left out, a union decided by its tag."""
    while True:
        if "$ref" in shape:
            shape = root()["$defs"][shape["$ref"].rpartition("/")[2]]
        elif "anyOf" in shape:
            shape = next(one for one in shape["anyOf"] if one.get("type") != "null")
        elif tags(shape) and isinstance(value, dict) and value.get(_TAG) in tags(shape):
            shape = {"$ref": shape["discriminator"]["mapping"][value[_TAG]]}
        else:
            return shape


def tags(shape: Shape) -> list[str]:
    """The values that the tag of a union may have; empty where `shape` is no union."""
    return list(shape.get("discriminator", {}).get("mapping", ()))


def known_keys(shape: Shape) -> list[str]:
    return list(shape.get("properties", ()))


def child(shape: Shape, key: str | int) -> Shape:
    """The shape of what lies under `key` of a resolved shape; empty where that is unknown or free."""
    found = shape.get("items", {}) if isinstance(key, int) else shape.get("properties", {}).get(key, {})
    return dict(found) if isinstance(found, dict) else {}
