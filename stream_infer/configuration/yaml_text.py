"""YAML to plain values, with the line of every key; a key that is given twice is an error, not the last one's win."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

import yaml

KeyPath: TypeAlias = tuple[str | int, ...]


class YamlFault(Exception):
    """The text is no YAML, or not a mapping. The message begins with line and column."""


class Document(NamedTuple):
    """`lines` counts from 1."""

    values: dict[str, Any]
    lines: Mapping[KeyPath, int]


class Listing(NamedTuple):
    """A document that is a list, as a cortex.yaml is. `lines` counts from 1."""

    entries: list[Any]
    lines: Mapping[KeyPath, int]


def parse(text: str) -> Document | Listing:
    """The mapping, or the list of mappings, that `text` is; empty text is an empty mapping. Raises YamlFault."""
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return Document({}, {})
        lines = dict(_lines(node, (), set()))
        values = loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = f"{mark.line + 1}:{mark.column + 1}" if mark else "1:1"
        said = ", ".join(part for part in (error.context, error.problem) if part)
        raise YamlFault(f"{at}: this is not YAML: {said}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise YamlFault(f"1:1: this is not YAML: {error}") from None
    finally:
        loader.dispose()
    if isinstance(values, list) and any(isinstance(entry, dict) for entry in values):
        return Listing(values, lines)
    if not isinstance(values, dict):
        raise YamlFault(f"1:1: the file holds a {type(values).__name__}, not keys and values such as 'kafka:'")
    return Document(values, lines)


def _lines(node: yaml.Node, path: KeyPath, visited: set[int]) -> Iterator[tuple[KeyPath, int]]:
    """A node that an alias repeats is visited once: aliases can nest endlessly."""
    if id(node) in visited:
        return
    visited.add(id(node))
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            name = str(key.value)
            if name in seen:
                mark = key.start_mark
                raise YamlFault(
                    f"{mark.line + 1}:{mark.column + 1}: {'.'.join(map(str, (*path, name)))} is given twice"
                )
            seen.add(name)
            yield (*path, name), key.start_mark.line + 1
            yield from _lines(value, (*path, name), visited)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield (*path, index), value.start_mark.line + 1
            yield from _lines(value, (*path, index), visited)
