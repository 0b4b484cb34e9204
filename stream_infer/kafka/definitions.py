"""The settings as of now: those of the file, with the APIs that stand on `{p}.apis`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from operator import attrgetter
from typing import Protocol

from stream_infer.definitions import Definition, decode_definition, with_definitions
from stream_infer.kafka.views import CompactedView
from stream_infer.settings import Settings
from stream_infer.topics import Topics


class CurrentSettings(Protocol):
    """Whoever keeps to it sees an API come and go. Any thread may look."""

    @property
    def settings(self) -> Settings: ...


class FixedSettings:
    """Of the file alone: nothing comes, nothing goes."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings


class Definitions:
    """A CurrentSettings that follows `{p}.apis`. `settings` is another object whenever an API has come, gone or
    changed, and the same one until then: `is` tells whether there is anything new.

    `on_change` is called on the view's thread, behind each change. What `takes` refuses is as if it were not there.
    """

    def __init__(
        self,
        settings: Settings,
        on_change: Callable[[], None] | None = None,
        *,
        takes: Callable[[Definition], bool] = lambda _: True,
        look_every_s: float = 0.05,
        hold_s: float = 0.25,
    ) -> None:
        self._file = settings
        self._own = set(settings.names)
        self._takes = takes
        self._taken: dict[str, Definition] = {}
        self._current = settings
        self._on_change = on_change
        self._view: CompactedView[Definition] = CompactedView(
            settings.kafka,
            Topics(settings.kafka.topic_prefix).apis,
            decode_definition,
            self._changed,
            key_of=attrgetter("name"),
            look_every_s=look_every_s,
            hold_s=hold_s,
        )

    @property
    def settings(self) -> Settings:
        return self._current

    def begin(self) -> None:
        self._view.begin()

    def start(self) -> None:
        """Blocks until all are read. Raises TopicMismatch or ServiceUnavailable."""
        self._view.start()

    def close(self) -> None:
        self._view.close()

    def catch_up(self) -> Future[None]:
        """As that of a CompactedView."""
        return self._view.catch_up()

    def get(self, name: str) -> Definition | None:
        return self._view.get(name)

    def all(self) -> Mapping[str, Definition]:
        """By name; without those that the file defines, too."""
        return self._taken

    def _changed(self, name: str, definition: Definition | None) -> None:
        taken = {other: one for other, one in self._taken.items() if other != name}
        if definition is not None and name not in self._own and self._takes(definition):
            taken[name] = definition
        self._taken = taken  # another one each time: others are reading
        self._current = with_definitions(self._file, taken.values())
        if self._on_change is not None:
            self._on_change()
