"""Formats: how results and dead letters are written into objects."""

from __future__ import annotations

from importlib.util import find_spec

from connectors.formats.gzipped import GzippedLines
from connectors.formats.parquet import Parquet
from connectors.formats.per_item import PerItem
from stream_infer.errors import ConfigError, StreamInferError
from stream_infer.plugins import Group, load, names
from stream_infer.ports import ObjectFormat
from stream_infer.results import ResultFormat


def object_formats() -> dict[str, ObjectFormat]:
    """By their names in the settings, but for lines of JSON, which need none; `parquet` where pyarrow is installed.

    A plugin of the name of one that is built in is not asked. Raises ConfigError for a plugin that cannot be made.
    """
    formats: dict[str, ObjectFormat] = {"jsonl.gz": GzippedLines(), "per-item": PerItem()}
    if find_spec("pyarrow") is not None:
        formats["parquet"] = Parquet()
    return formats | {name: _plugin(name) for name in names(Group.FORMATS) if name not in set(ResultFormat)}


def _plugin(name: str) -> ObjectFormat:
    try:
        made: ObjectFormat = load(Group.FORMATS, name)()
    except StreamInferError:
        raise
    except Exception as error:
        raise ConfigError(f"the format plugin {name!r} cannot be made: {type(error).__name__}: {error}") from error
    return made
