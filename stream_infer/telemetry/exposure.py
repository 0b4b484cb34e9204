"""What a process shows of itself to whoever asks: its numbers, and what it lacks to be ready."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

import structlog

from stream_infer.telemetry.catalogue.metric import Reading

_LOG = structlog.get_logger(__name__)

Source: TypeAlias = Callable[[], Iterable[Reading]]
"""A part's numbers as they are now. Called on the asker's thread: it looks at plain numbers and at copies."""


def _starting() -> Sequence[str]:
    return ["It is starting."]


class Exposure:
    """Parts are added as they come up. `missing` says in sentences what is not ready; nothing: all is.

    Asked from any thread, as often as somebody wants to know.
    """

    def __init__(self) -> None:
        self.missing: Callable[[], Sequence[str]] = _starting
        self._sources: list[Source] = []

    def show(self, source: Source) -> None:
        self._sources.append(source)

    def readings(self) -> list[Reading]:
        """What a source that fails has to say is left out: nobody's numbers are lost with another one's."""
        found: list[Reading] = []
        for source in tuple(self._sources):
            try:
                found += list(source())
            except Exception:  # noqa: BLE001 - the boundary: whoever looks must not be hurt by what it looks at
                _LOG.exception("metrics_unreadable")
        return found


def nothing_missing() -> Sequence[str]:
    return ()
