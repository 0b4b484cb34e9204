"""Looks now and then how far each group is behind, and how many work in it: also where nobody does."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Protocol

import structlog
from aiohttp import web

from stream_infer.errors import StreamInferError
from stream_infer.gateway.services import Services
from stream_infer.gateway.watching import looking
from stream_infer.kafka.offsets import Partition
from stream_infer.kafka.standings import GroupStanding, GroupStandings
from stream_infer.settings import Settings
from stream_infer.telemetry.catalogue import serving
from stream_infer.telemetry.catalogue.metric import WHOLE, Reading
from stream_infer.telemetry.lag_age import LagAge
from stream_infer.topics import GroupSpec, Topics, group_specs, retry_tiers

LOOK_EVERY_S = 5.0
# Of several gateways the largest number is taken: one that has lost Kafka must not go on telling what was.
TOLD_FOR_S = 60.0
# Faust commits behind the last event that it has read, and not behind the marker of the transaction that it came in:
# measured, a tracker that has read everything is 1 behind for ever. An event that it has not read makes that 2.
_TRACKER = "tracker"
_log = structlog.get_logger(__name__)


class Standings(Protocol):
    def read(self, groups: list[GroupSpec]) -> Mapping[str, GroupStanding]:
        """May block."""
        ...


class LagWatch:
    """Use it as one of the application's `cleanup_ctx`: `watched`. `readings` is a source of an Exposure."""

    def __init__(
        self, services: Services, standings: Standings | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._services = services
        self._standings = standings or GroupStandings(services.settings.kafka)
        self._clock = clock
        self._groups = group_specs(services.settings)
        self._names = group_names(services.settings)
        self._topics = topic_names(services.settings)
        self._ages: defaultdict[tuple[str, Partition], LagAge] = defaultdict(LagAge)
        self._is_known = True
        self._began = clock()
        self._seen_at: float | None = None
        self._lag: Mapping[serving.Lag, float] = {}
        self._age: Mapping[serving.Lag, float] = {}
        self._members: Mapping[serving.Group, float] = {}

    async def watched(self, _app: web.Application) -> AsyncIterator[None]:
        async with looking(self.look, LOOK_EVERY_S, "lag_unknown"):
            yield

    async def look(self) -> None:
        """Where Kafka does not say, that is told once, and what was seen last is told for a minute more."""
        try:
            standings = await self._services.block(lambda: self._standings.read(self._groups))
        except StreamInferError as error:
            if self._is_known:
                self._is_known = False
                _log.warning("lag_unknown", reason=str(error))
            return
        self._is_known = True
        self.note(standings)

    def note(self, standings: Mapping[str, GroupStanding]) -> None:
        """What a look has found."""
        now = self._clock()
        lag: Counter[serving.Lag] = Counter()
        age: dict[serving.Lag, float] = {}
        for group, standing in standings.items():
            for partition, end in standing.ends.items():
                of = serving.Lag(self._names[group].group, *self._topics[partition[0]])
                place = standing.places[partition]
                if of.group == _TRACKER and end - place == 1:
                    place = end
                lag[of] += max(0, end - place)
                age[of] = max(age.get(of, 0.0), self._ages[group, partition].note(place, end, now))
        self._lag, self._age = lag, age
        self._members = {self._names[group]: standing.members for group, standing in standings.items()}
        self._seen_at = now

    def readings(self) -> Iterator[Reading]:
        seen_age = self._clock() - (self._began if self._seen_at is None else self._seen_at)
        if seen_age <= TOLD_FOR_S:
            yield serving.LAG.reading(self._lag)
            yield serving.LAG_AGE.reading(self._age)
            yield serving.GROUP_MEMBERS.reading(self._members)
        yield serving.LAG_SEEN_AGE.reading({WHOLE: seen_age})


def group_names(settings: Settings) -> dict[str, serving.Group]:
    """The labels of each consumer group."""
    topics = Topics(settings.kafka.topic_prefix)
    workers = {topics.api(api.name).worker_group: serving.Group("worker", api.name) for api in settings.apis}
    return workers | {
        topics.sink_group: serving.Group("sink", ""),
        topics.finalizer_group: serving.Group("finalizer", ""),
        topics.webhooks_group: serving.Group("webhooks", ""),
        topics.tracker_group: serving.Group(_TRACKER, ""),
    }


def topic_names(settings: Settings) -> dict[str, tuple[str, str]]:
    """The API of each topic that a group has a place on, empty where it is none's own, and what lies in it."""
    topics = Topics(settings.kafka.topic_prefix)
    found = {topics.status: ("", "status"), topics.progress: ("", "progress")}
    for api in settings.apis:
        names = topics.api(api.name)
        found |= {names.items: (api.name, "items"), names.results: (api.name, "results"), names.dlq: (api.name, "dlq")}
        found |= {names.retry(tier): (api.name, "retry") for tier in range(1, retry_tiers(api) + 1)}
    return found
