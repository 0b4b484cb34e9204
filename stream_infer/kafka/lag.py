"""How far a group is behind, asked again and again by one client."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from stream_infer.errors import ServiceUnavailable
from stream_infer.kafka.client import client_config
from stream_infer.kafka.errors import translate
from stream_infer.kafka.following import Following
from stream_infer.kafka.offsets import Partition, end_offsets, first_offsets
from stream_infer.settings import KafkaSettings

_TIMEOUT_S = 5.0
_LOOK_UP_EVERY = 30  # readings; topics and their partitions hardly ever change


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a group stands on each partition: `lag` 0 is drained to the end, transaction markers included. `place` is
    the sum of all places, and moves with what gets done."""

    lag: Mapping[Partition, int]
    place: int


class LagReader:
    """Of one group, on a topic and on those that follow it. One thread at a time uses it; every call may block.

    Measured lag is never too small: the places are asked for before the ends, and those of a transaction that is still
    open do not count. A client that got no answer is replaced, since librdkafka may have lost all brokers for good.
    """

    def __init__(self, kafka: KafkaSettings, group: str, topics: Following) -> None:
        self._kafka = kafka
        self._group = group
        self._topics = topics
        self._admin: AdminClient | None = None
        self._partitions: list[Partition] = []
        self._readings = 0

    def read(self) -> Standing:
        """Raises ServiceUnavailable, or StreamInferError for what the broker does not let us see."""
        try:
            return self._read()
        except BaseException:
            self._admin = None
            raise

    def _read(self) -> Standing:
        if self._admin is None:
            self._admin = AdminClient(client_config(self._kafka, f"lag-{self._group}"))
            self._readings = 0
        if self._readings % _LOOK_UP_EVERY == 0:
            self._partitions = self._look_up(self._admin)
        self._readings += 1
        where = self._kafka.bootstrap
        places = places_of(self._admin, self._group, self._partitions, where)
        unplaced = [one for one in self._partitions if one not in places]
        places |= first_offsets(self._admin, unplaced, where)
        ends = end_offsets(self._admin, self._partitions, where)
        return Standing({one: max(0, end - places[one]) for one, end in ends.items()}, sum(places.values()))

    def _look_up(self, admin: AdminClient) -> list[Partition]:
        try:
            topics = admin.list_topics(timeout=_TIMEOUT_S).topics
        except KafkaException as error:
            raise translate(error, "listing topics", self._kafka.bootstrap) from error
        counts = {name: len(topic.partitions) for name, topic in topics.items()}
        leading = [(self._topics.leader, number) for number in range(counts.get(self._topics.leader, 0))]
        along = self._topics.along(leading, counts)
        return [one for leader in leading for one in (leader, *along[leader])]


def places_of(admin: AdminClient, group: str, partitions: Sequence[Partition], where: str) -> dict[Partition, int]:
    """A partition where the group has none is left out. Raises ServiceUnavailable or StreamInferError."""
    asked = [TopicPartition(topic, number) for topic, number in partitions]
    if not asked:
        return {}
    request = [ConsumerGroupTopicPartitions(group, asked)]
    try:
        [future] = admin.list_consumer_group_offsets(request, request_timeout=_TIMEOUT_S).values()
        found = future.result(2 * _TIMEOUT_S).topic_partitions
    except TimeoutError:
        raise ServiceUnavailable(f"asking for the offsets of group {group}: no answer") from None
    except KafkaException as error:
        raise translate(error, f"reading the offsets of group {group}", where) from error
    for place in found:
        if place.error is not None:
            raise translate(place.error, f"reading the offsets of group {group}", where)
    return {(place.topic, place.partition): place.offset for place in found if place.offset >= 0}
