"""A source of another package: what its entry point makes of a job's config, its faults in our words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from stream_infer.errors import ConfigError, SourceError, StreamInferError
from stream_infer.plugins import Group, load
from stream_infer.ports import Source, SourceItem


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
            yield from self.source.read(after)
        except StreamInferError:
            raise
        except Exception as error:
            where = "at its start" if after is None else f"behind {after[:100]!r}"
            raise SourceError(
                f"the source plugin {self.name!r} failed {where}: {type(error).__name__}: {error}"
            ) from error
