"""A process that asks Kafka where the groups stand, and prints each answer as a line of JSON, until nobody reads it.

A process of its own, because librdkafka's requests about groups may take theirs down when a broker does not answer:
https://github.com/confluentinc/librdkafka/issues/4605. Called with the bootstrap servers, and as JSON the groups with
the topics that they read.
"""

import json
import sys
import time
from collections.abc import Sequence
from typing import Any

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec
from confluent_kafka.cimpl import TopicPartition

EVERY_S = 0.3
_ANSWER_S = 3.0


class Sampler:
    """`groups` and the topics that they read."""

    def __init__(self, bootstrap: str, groups: dict[str, list[str]]) -> None:
        self._groups = groups
        self._admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0, "reconnect.backoff.max.ms": 1000})

    def sample(self) -> dict[str, Any]:
        """Lists of topic, partition and value: JSON has no tuples for keys. Raises KafkaException or TimeoutError."""
        at = time.time()
        metadata = self._admin.list_topics(timeout=_ANSWER_S).topics
        topics = {topic for read in self._groups.values() for topic in read}
        latest = {
            TopicPartition(topic, number): OffsetSpec.latest()
            for topic in topics
            for number in metadata[topic].partitions
        }
        answers = self._admin.list_offsets(latest, request_timeout=_ANSWER_S)
        ends = [(one.topic, one.partition, future.result(2 * _ANSWER_S).offset) for one, future in answers.items()]
        if any(end < 0 for _, _, end in ends):
            raise TimeoutError("a partition's end is not known")
        return {
            "at": at,
            "places": {group: self._places(group) for group in self._groups},
            "owners": self._owners(list(self._groups)),
            "ends": ends,
        }

    def _places(self, group: str) -> list[tuple[str, int, int]]:
        request = ConsumerGroupTopicPartitions(group)
        [future] = self._admin.list_consumer_group_offsets([request], request_timeout=_ANSWER_S).values()
        return [
            (place.topic, place.partition, place.offset)
            for place in future.result(2 * _ANSWER_S).topic_partitions
            if place.offset >= 0 and place.topic in self._groups[group]
        ]

    def _owners(self, groups: Sequence[str]) -> dict[str, list[tuple[str, int, str]]]:
        described = self._admin.describe_consumer_groups(list(groups), request_timeout=_ANSWER_S)
        return {
            group: [
                (topic, place.partition, member.member_id)
                for member in future.result(2 * _ANSWER_S).members
                for place in member.assignment.topic_partitions
                for topic in self._read_with(group, place.topic)
            ]
            for group, future in described.items()
        }

    def _read_with(self, group: str, topic: str) -> list[str]:
        """Whoever has a partition of the items has that of the tiers, which the group knows nothing of."""
        return [one for one in self._groups[group] if one == topic or (topic.endswith(".items") and ".retry." in one)]


def main() -> None:
    bootstrap, groups = sys.argv[1], json.loads(sys.argv[2])
    sampler = Sampler(bootstrap, groups)
    while True:
        try:
            print(json.dumps(sampler.sample()), flush=True)
        except BrokenPipeError:
            sys.exit(0)
        except (KafkaException, TimeoutError, KeyError):
            # A client that has lost sight of every broker may not find them again; KeyError: topics are not known yet.
            sampler = Sampler(bootstrap, groups)
            print(flush=True)
        time.sleep(EVERY_S)


if __name__ == "__main__":
    main()
