"""The APIs that were added while everything runs, as a gateway knows them: `{p}.apis`, and what is said of each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from operator import attrgetter

from stream_infer.definitions import ApiState, Definition, Report, Seal, decode_report, summed
from stream_infer.gateway.board import caught_up
from stream_infer.kafka.definitions import Definitions
from stream_infer.kafka.views import CompactedView
from stream_infer.settings import Settings
from stream_infer.topics import Topics

_WAITS = "Nobody has said yet that its code is being prepared."


class DeployedApis:
    """`settings` are those of the file, with these APIs. Its methods are the event loop's, but start and close.

    `seal`: put on what is deployed here; what lacks it was written past all gateways, and is as if it were not there.
    """

    def __init__(self, settings: Settings, seal: Seal | None = None) -> None:
        self._seal = seal
        self._changed: set[Callable[[], None]] = set()
        topic = Topics(settings.kafka.topic_prefix).api_states
        self._definitions = Definitions(settings, self._tell, takes=self._takes)
        self._said: dict[str, dict[str, Report]] = {}
        self._reports: CompactedView[Report] = CompactedView(
            settings.kafka, topic, decode_report, self._note, key_of=attrgetter("key")
        )

    @property
    def settings(self) -> Settings:
        return self._definitions.settings

    def start(self) -> None:
        """Blocks until both are read. Raises TopicMismatch or ServiceUnavailable."""
        self._definitions.begin()
        self._reports.start()
        self._definitions.start()

    def close(self) -> None:
        self._definitions.close()
        self._reports.close()

    async def catch_up(self) -> None:
        """Returns once all that was committed before the call is seen. Raises ServiceUnavailable."""
        reached = (self._definitions.catch_up(), self._reports.catch_up())
        await asyncio.gather(*(caught_up(one) for one in reached))

    def get(self, name: str) -> Definition | None:
        """None of an API of the file, too."""
        return self._definitions.all().get(name)

    def sealed(self, definition: Definition) -> Definition:
        """As it is to be written."""
        return definition if self._seal is None else self._seal.put_on(definition)

    def report(self, definition: Definition) -> Report:
        """What is said of that revision, wherever it is served."""
        said = summed(one for one in self.said_of(definition.name) if one.revision == definition.revision)
        return said or Report(
            name=definition.name,
            revision=definition.revision,
            by="",
            state=ApiState.PREPARING,
            message=_WAITS,
            at=definition.at,
        )

    def said_of(self, name: str) -> list[Report]:
        """Of any of the API's revisions."""
        return list(self._said.get(name, {}).values())

    def has_failed(self, definition: Definition) -> bool:
        return self.report(definition).state is ApiState.FAILED

    @asynccontextmanager
    async def heard(self, on_change: Callable[[], None]) -> AsyncIterator[None]:
        """`on_change` is called in this event loop behind each change, while the block runs."""
        loop = asyncio.get_running_loop()

        def tell() -> None:
            loop.call_soon_threadsafe(on_change)

        self._changed.add(tell)
        try:
            yield
        finally:
            self._changed.discard(tell)

    def _takes(self, definition: Definition) -> bool:
        return self._seal is None or self._seal.is_on(definition)

    def _note(self, key: str, report: Report | None) -> None:
        """On the view's thread."""
        of_api = self._said.setdefault(key.partition("/")[0], {})
        if report is None:
            of_api.pop(key, None)
        else:
            of_api[key] = report

    def _tell(self) -> None:
        """On the view's thread."""
        for tell in tuple(self._changed):
            tell()
