"""What is wrong with a configuration, said so that it can be mended without looking anything up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from stream_infer.configuration.schema import Shape, child, known_keys, resolved, root, tags
from stream_infer.configuration.yaml_text import KeyPath
from stream_infer.nearest import did_you_mean

_SHOWN = 60
_SECRET = ("password", "secret", "token", "api_key")
# In words what the patterns in settings.py say, by the last part of the key.
_FORMS = {
    "name": "lower-case letters, digits and '-', at most 63, not at the ends a '-'",
    "topic_prefix": "letters, digits, '-' and '_', at most 81",
    "listen": "HOST:PORT, such as 127.0.0.1:8080",
    "store": "s3://bucket/prefix, file:///path or the address of a plugin's store",
    "target": "path/to/file.py:ClassName or package.module:ClassName",
}


class Complaint(NamedTuple):
    """What is wrong at one key. `path` is empty where the message says it all."""

    path: KeyPath
    message: str
    name: str = ""
    """The key as a person writes it: an API by its name instead of its index."""


def complaints_of(error: ValidationError, values: Mapping[str, Any]) -> list[Complaint]:
    """One complaint per fault that pydantic has found in `values`."""
    return [_complaint(details, values) for details in error.errors(include_url=False)]


def render(
    complaints: Sequence[Complaint], file: str, lines: Mapping[KeyPath, int], origins: Mapping[KeyPath, str]
) -> str:
    """One line per complaint: file and line, or what else set the key, then the key, then what is wrong."""
    return "\n".join(_line(complaint, file, lines, origins) for complaint in complaints)


def _line(complaint: Complaint, file: str, lines: Mapping[KeyPath, int], origins: Mapping[KeyPath, str]) -> str:
    path, message, name = complaint
    if not path and not name:
        return message
    for length in range(len(path), 0, -1):
        if path[:length] in origins:
            return f"{name}: {message} (set by {origins[path[:length]]})"
        if path[:length] in lines:
            return f"{file}:{lines[path[:length]]}: {name}: {message}"
    return f"{file}: {name}: {message}"


def _complaint(details: ErrorDetails, values: Mapping[str, Any]) -> Complaint:
    path, shape, parent = _walk(details["loc"], values)
    kind, given = details["type"], details.get("input")
    named = _named(path, values)
    match kind:
        case "extra_forbidden":
            return Complaint(path, f"unknown key{_nearest_key(str(path[-1]), parent)}", named)
        case "missing":
            return Complaint(path, "is missing", named)
        case "union_tag_not_found" | "union_tag_invalid":
            chosen = given.get("type") if isinstance(given, dict) else None
            said = "is missing" if chosen is None else f"{chosen!r} is unknown"
            return Complaint((*path, "type"), f"{said}{_choice(chosen, tags(shape))}", f"{named}.type")
        case "literal_error":
            return Complaint(path, f"{given!r} is unknown{_choice(given, shape.get('enum', []))}", named)
        case "string_pattern_mismatch" if path and path[-1] in _FORMS:
            return Complaint(path, f"{_shown(path, given)} is not {_FORMS[str(path[-1])]}", named)
        case "value_error":
            return Complaint(path, details["msg"].removeprefix("Value error, "), named)
    said = details["msg"][:1].lower() + details["msg"][1:]
    return Complaint(path, f"{said}, not {_shown(path, given)}", named)


def _walk(loc: Sequence[str | int], values: Any) -> tuple[KeyPath, Shape, Shape]:
    """The key that pydantic's `loc` means (it names a union's tag on the way), its shape, and that of its holder."""
    path: KeyPath = ()
    holder: Any = values
    shape = parent = resolved(root(), holder)
    for part in loc:
        if tags(shape) and part in tags(shape):
            continue
        parent = resolved(shape, holder)
        path = (*path, part)
        shape = child(parent, part)
        try:
            holder = holder[part]
        except (KeyError, IndexError, TypeError):
            holder = None
        shape = resolved(shape, None if tags(shape) else holder)
    return path, shape, parent


def _named(path: KeyPath, values: Any) -> str:
    words: list[str] = []
    for part in path:
        try:
            values = values[part]
        except (KeyError, IndexError, TypeError):
            values = None
        if isinstance(part, int):
            name = values.get("name") if isinstance(values, dict) else None
            words.append(name if isinstance(name, str) and name else str(part))
        else:
            words.append(part)
    return ".".join(words)


def _nearest_key(key: str, holder: Shape) -> str:
    known = known_keys(holder)
    inside = [name for name in known if key in known_keys(resolved(child(holder, name), None))]
    otherwise = f"; did you mean {inside[0]}.{key}?" if inside else f"; there are {', '.join(known)}" if known else ""
    return did_you_mean(key, known, otherwise)


def _choice(given: object, choices: Sequence[str]) -> str:
    return did_you_mean(str(given), choices, f": use {' or '.join(choices)}")


def _shown(path: KeyPath, given: object) -> str:
    if any(word in str(part).lower() for part in path for word in _SECRET):
        return "what is given"
    if isinstance(given, dict | list):
        return "keys and values" if isinstance(given, dict) else "a list"
    text = repr(given)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
