"""The numbers of a replica: told once for the items that are answered together, read when somebody asks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final, Protocol

from stream_infer.telemetry.catalogue import serving
from stream_infer.telemetry.catalogue.metric import OfApi, Reading


class DeskObserver(Protocol):
    """Told in the event loop, between two requests: it takes next to no time."""

    def answered(self, status: int, items: int, seconds: float) -> None:
        """So many items together, of which the first one had come so many `seconds` before."""
        ...

    def refused(self, status: int) -> None:
        """A request before it was an item in flight."""
        ...


class Unobserved:
    """Nobody is told."""

    def answered(self, status: int, items: int, seconds: float) -> None: ...

    def refused(self, status: int) -> None: ...


UNOBSERVED: Final = Unobserved()
# There at 0 before the first one: what comes with its first value has risen by nothing.
_ANSWERS: Final = (200, 422, 429, 500, 503, 504)


class RealtimeMetrics:
    """A DeskObserver; `readings` is a source of an Exposure."""

    def __init__(self, api: str, limit: int) -> None:
        self._api = api
        self._limit = limit
        self._answers: Counter[int] = Counter(dict.fromkeys(_ANSWERS, 0))
        self._seconds = serving.REALTIME_SECONDS.distribution()
        self.in_flight: Callable[[], int] = lambda: 0
        self.connections: Callable[[], int] = lambda: 0

    def answered(self, status: int, items: int, seconds: float) -> None:
        self._answers[status] += items
        self._seconds.note(seconds)

    def refused(self, status: int) -> None:
        self._answers[status] += 1

    def readings(self) -> Iterator[Reading]:
        of_api = OfApi(self._api)
        answers = dict(self._answers).items()
        yield serving.REALTIME_ANSWERS.reading({serving.Status(self._api, str(status)): n for status, n in answers})
        yield serving.REALTIME_SECONDS.reading({of_api: self._seconds})
        yield serving.REALTIME_IN_FLIGHT.reading({of_api: self.in_flight()})
        yield serving.REALTIME_IN_FLIGHT_LIMIT.reading({of_api: self._limit})
        yield serving.REALTIME_CONNECTIONS.reading({of_api: self.connections()})
