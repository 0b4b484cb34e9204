"""Topics that are read by whoever reads another one.

A group shares out the sum of all its topics' partitions (measured: cooperative-sticky gave a second worker all of the
retry tiers and none of the items). Partitions that follow are no part of that: they go with the one of their number.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from stream_infer.kafka.errors import translate
from stream_infer.kafka.offsets import Partition

_QUERY_TIMEOUT_S = 10.0
_RENEW_EVERY_S = 3600.0


@dataclass(frozen=True, slots=True)
class Following:
    """`followers` is a pattern of whole names of topics; they go along with `leader`."""

    leader: str
    followers: str

    def along(self, partitions: Iterable[Partition], counts: Mapping[str, int]) -> dict[Partition, list[Partition]]:
        """For each partition of the leader, those that go with it, of topics with so many partitions."""
        topics = sorted(topic for topic in counts if re.fullmatch(self.followers, topic))
        return {
            (leader, number): [(topic, number) for topic in topics if number < counts[topic]]
            for leader, number in partitions
            if leader == self.leader
        }


class Followers:
    """What follows the partitions that a member of a group has now. Used on the member's thread."""

    def __init__(self, following: Following, consumer: Consumer, admin: AdminClient, where: str) -> None:
        """`admin` is asked inside the consumer's callbacks, where the consumer itself must not be: a blocking call of
        it ends what the binding knows of the poll around it, and the next callback aborts the process (measured, 2.16).
        """
        self._following = following
        self._consumer = consumer
        self._admin = admin
        self._where = where
        self._along: dict[Partition, list[Partition]] = {}
        self._renew_at = time.monotonic() + _RENEW_EVERY_S

    def take(self, partitions: Iterable[Partition]) -> list[Partition]:
        """What goes along with these from now on. Raises ServiceUnavailable where nobody says what there is."""
        try:
            topics = self._admin.list_topics(timeout=_QUERY_TIMEOUT_S).topics
        except KafkaException as error:
            raise translate(error, "looking for what follows a topic", self._where) from error
        found = self._following.along(partitions, {name: len(topic.partitions) for name, topic in topics.items()})
        self._along |= found
        return [follower for followers in found.values() for follower in followers]

    def drop(self, partitions: Iterable[Partition]) -> list[Partition]:
        """What went along with these, until now."""
        return [follower for partition in partitions for follower in self._along.pop(partition, ())]

    def renew(self, now: float) -> None:
        """Commits again, once an hour, where the group stands on them.

        A broker forgets the places of a group on topics that no member subscribes to, `offsets.retention.minutes` after
        they were written (KIP-211).
        """
        if now < self._renew_at:
            return
        self._renew_at = now + _RENEW_EVERY_S
        places = [TopicPartition(topic, number) for ours in self._along.values() for topic, number in ours]
        if not places:
            return
        try:
            known = [place for place in self._consumer.committed(places, timeout=_QUERY_TIMEOUT_S) if place.offset >= 0]
            if known:
                self._consumer.commit(offsets=known, asynchronous=False)
        except KafkaException:
            return  # somebody has them by then who does it, or it is done in an hour
