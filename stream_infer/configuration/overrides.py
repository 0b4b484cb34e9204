"""What the environment and the flags say, laid over what the file says."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from stream_infer.configuration.complaints import Complaint
from stream_infer.configuration.schema import Shape, child, resolved, root
from stream_infer.configuration.yaml_text import KeyPath

PREFIX = "STREAM_INFER__"


@dataclass(frozen=True, slots=True)
class Merged:
    """`origins` says for a key that was overridden which variable or flag did it."""

    values: dict[str, Any]
    origins: Mapping[KeyPath, str]
    complaints: tuple[Complaint, ...]


class _NotThere(Exception):
    """An override points into nothing. The message says why."""


def merge(values: dict[str, Any], environ: Mapping[str, str], overrides: Mapping[str, Any]) -> Merged:
    """`values` with `environ` and then `overrides` laid over; `values` itself stays as it is."""
    merged = copy.deepcopy(values)
    origins: dict[KeyPath, str] = {}
    complaints = []
    named = [(name, name.removeprefix(PREFIX).lower().split("__")) for name in environ if name.startswith(PREFIX)]
    wanted: list[tuple[str, list[str], Any]] = [(name, keys, _Text(environ[name])) for name, keys in sorted(named)]
    wanted += [(f"the flag for {name}", name.split("."), value) for name, value in overrides.items()]
    for origin, keys, value in wanted:
        try:
            origins[_put(merged, keys, value)] = origin
        except _NotThere as fault:
            complaints.append(Complaint((), f"{origin}: {fault}"))
    return Merged(merged, origins, tuple(complaints))


class _Text(str):
    """A value from the environment: text, until the schema says what it is."""

    __slots__ = ()


def _put(values: dict[str, Any], keys: list[str], value: Any) -> KeyPath:
    holder: Any = values
    shape = root()
    path: KeyPath = ()
    for position, key in enumerate(keys):
        shape = resolved(shape, holder)
        found = _key(holder, key, path)
        path = (*path, found)
        shape = resolved(child(shape, found), None if isinstance(holder, list) else holder.get(found))
        if position == len(keys) - 1:
            holder[found] = _typed(value, shape) if isinstance(value, _Text) else value
        elif isinstance(holder, list):
            holder = holder[int(found)]
        else:
            if holder.get(found) is None:
                holder[found] = {}
            holder = holder[found]
    return path


def _key(holder: Any, key: str, path: KeyPath) -> str | int:
    """The key of `holder` that is meant: an environment variable knows neither '-' nor the case of letters."""
    where = ".".join(map(str, path))
    if isinstance(holder, dict):
        if not key:
            raise _NotThere("has an empty part: the parts stand between two underscores")
        return next((name for name in holder if isinstance(name, str) and _spelt(name) == _spelt(key)), key)
    if isinstance(holder, list):
        names = [_spelt(str(one.get("name"))) if isinstance(one, dict) else "" for one in holder]
        if _spelt(key) in names:
            return names.index(_spelt(key))
        if key.isdecimal() and int(key) < len(holder):
            return int(key)
        raise _NotThere(f"{where} has no entry named {key!r}, and none of that index")
    raise _NotThere(f"{where} holds a single value, so there is no {key!r} in it")


def _spelt(name: str) -> str:
    return name.lower().replace("-", "_")


def _typed(text: _Text, shape: Shape) -> Any:
    """Text where the schema wants text (a password of digits is one), else what YAML makes of it."""
    if shape.get("type") == "string":
        return str(text)
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return str(text)
