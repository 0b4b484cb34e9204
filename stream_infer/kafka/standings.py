"""How far several groups are behind, and how many members they have, asked again and again by one client."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from stream_infer.kafka.client import client_config
from stream_infer.kafka.errors import translate
from stream_infer.kafka.lag import places_of
from stream_infer.kafka.members import member_ids
from stream_infer.kafka.offsets import Partition, end_offsets, first_offsets
from stream_infer.settings import KafkaSettings
from stream_infer.topics import GroupSpec

_TIMEOUT_S = 5.0
_LOOK_UP_EVERY = 12  # readings; topics and their partitions hardly ever change


@dataclass(frozen=True, slots=True)
class GroupStanding:
    """Of each partition of its topics: the group's place, and the end. `members`: processes in the group."""

    places: Mapping[Partition, int]
    ends: Mapping[Partition, int]
    members: int


class GroupStandings:
    """One thread at a time uses it; `read` may block for some seconds.

    A client that got no answer is replaced, since librdkafka may have lost all brokers for good.
    """

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka
        self._admin: AdminClient | None = None
        self._counts: Mapping[str, int] = {}
        self._readings = 0

    def read(self, groups: Sequence[GroupSpec]) -> dict[str, GroupStanding]:
        """By the group's name. A topic that is not there has no partitions.

        Raises ServiceUnavailable, or StreamInferError for what the broker does not let us see.
        """
        try:
            return self._read(groups)
        except BaseException:
            self._admin = None
            raise

    def _read(self, groups: Sequence[GroupSpec]) -> dict[str, GroupStanding]:
        if self._admin is None:
            self._admin = AdminClient(client_config(self._kafka, "standings"))
            self._readings = 0
        if self._readings % _LOOK_UP_EVERY == 0:
            self._counts = self._look_up(self._admin)
        self._readings += 1
        admin, where = self._admin, self._kafka.bootstrap
        members = member_ids(admin, [group.name for group in groups], where)
        # The places before the ends: what is read from them is never too small.
        found = {group.name: self._places(admin, group) for group in groups}
        ends = end_offsets(admin, {one for places in found.values() for one in places}, where)
        return {
            name: GroupStanding(places, {one: ends[one] for one in places}, len(members[name]))
            for name, places in found.items()
        }

    def _look_up(self, admin: AdminClient) -> dict[str, int]:
        try:
            topics = admin.list_topics(timeout=_TIMEOUT_S).topics
        except KafkaException as error:
            raise translate(error, "listing topics", self._kafka.bootstrap) from error
        return {name: len(topic.partitions) for name, topic in topics.items()}

    def _places(self, admin: AdminClient, group: GroupSpec) -> dict[Partition, int]:
        """Where it has none: the first record that there is."""
        wanted = [(topic, number) for topic in group.topics for number in range(self._counts.get(topic, 0))]
        places = places_of(admin, group.name, wanted, self._kafka.bootstrap)
        return places | first_offsets(admin, [one for one in wanted if one not in places], self._kafka.bootstrap)
