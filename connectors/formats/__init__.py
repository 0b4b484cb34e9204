"""Formats: how results and dead letters are written into objects."""

from __future__ import annotations

from importlib.util import find_spec

from connectors.formats.gzipped import GzippedLines
from connectors.formats.parquet import Parquet
from connectors.formats.per_item import PerItem
from stream_infer.plugins import Group, load, names
from stream_infer.ports import ObjectFormat


def object_formats() -> dict[str, ObjectFormat]:
    """By their names in the settings, but for lines of JSON, which need none; `parquet` where pyarrow is installed.

    What is built in comes before a plugin of the same name. Raises ConfigError for a plugin that cannot be made.
    """
    added: dict[str, ObjectFormat] = {name: load(Group.FORMATS, name)() for name in names(Group.FORMATS)}
    formats: dict[str, ObjectFormat] = {"jsonl.gz": GzippedLines(), "per-item": PerItem()}
    return added | formats | ({"parquet": Parquet()} if find_spec("pyarrow") is not None else {})
