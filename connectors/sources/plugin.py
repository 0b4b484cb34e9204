"""A source of another package: what its entry point makes of a job's config, its faults in our words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from stream_infer.errors import ConfigError, SourceError, StreamInferError
from stream_infer.plugins import Group, load
from stream_infer.ports import Source, SourceItem
from stream_infer.records import Payload


def open_plugin(name: str, config: Mapping[str, Any]) -> Source:
    """Raises SourceError where there is none of that name, or it refuses its config."""
    try:
        make = load(Group.SOURCES, name)
    except ConfigError as error:
        raise SourceError(str(error)) from error
    try:
        return _Guarded(name, make(dict(config)))
    except StreamInferError:
        raise
    except Exception as error:
        raise SourceError(f"the source plugin {name!r} refuses its config: {type(error).__name__}: {error}") from error


@dataclass(frozen=True, slots=True)
class _Guarded:
    """What goes wrong in foreign code ends its job, with a reason, and never the intake that reads for all jobs."""

    name: str
    source: Source

    def read(self, after: str | None) -> Iterator[SourceItem]:
        """Raises SourceError or ServiceUnavailable."""
        try:
            for item in self.source.read(after):
                if (fault := _fault(item)) is not None:
                    raise TypeError(fault)
                yield item
        except StreamInferError:
            raise
        except Exception as error:
            where = "at its start" if after is None else f"behind {after[:100]!r}"
            raise SourceError(
                f"the source plugin {self.name!r} failed {where}: {type(error).__name__}: {error}"
            ) from error


def _fault(item: Any) -> str | None:
    """What is wrong with an item that nobody could publish; most likely its cursor is a row's number.

    Raises UnicodeEncodeError, as publishing it would.
    """
    if not isinstance(item, SourceItem):
        return f"it gave a {type(item).__name__}, and gives SourceItems"
    payload: Any = item.payload
    if not isinstance(payload, Payload) or not isinstance(payload.data, bytes):
        return "payload is a Payload, and its data are bytes"
    texts: dict[str, Any] = {"content_type": payload.content_type, "source": item.source, "cursor": item.cursor}
    optional = {"custom_id": item.custom_id, "refused": item.refused}
    for name, value in (texts | {name: value for name, value in optional.items() if value is not None}).items():
        if not isinstance(value, str):
            return f"{name} is text, and is {value!r}"
        value.encode()
    key: Any = item.key
    return None if isinstance(key, bytes | None) else f"key is bytes or None, and is {key!r}"
