"""Where consumer groups stand: their first offsets, written once, and their lag."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Self

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from stream_infer.errors import Fenced, StreamInferError, TransactionAborted
from stream_infer.kafka.client import client_config
from stream_infer.kafka.consumer import Membership
from stream_infer.kafka.errors import translate
from stream_infer.kafka.offsets import Partition, end_offsets, first_offsets, partitions_of
from stream_infer.kafka.patience import ask_patiently
from stream_infer.kafka.producer import TransactionalProducer
from stream_infer.settings import KafkaSettings, Settings

_TIMEOUT_S = 10.0
_TRIES = 5


def group_lag(settings: Settings, group: str, topics: Sequence[str]) -> dict[Partition, int]:
    """Offsets between the group's place and the log end, for each partition of `topics`; 0 everywhere is drained.

    As kafka-consumer-groups computes it, so transaction markers count. A partition where the group has no place lags
    by all that it holds. Raises TopicMismatch or ServiceUnavailable.
    """
    kafka = settings.kafka
    admin = AdminClient(client_config(kafka, f"lag-{group}"))
    partitions = partitions_of(admin, topics, kafka.bootstrap)
    ends = end_offsets(admin, partitions, kafka.bootstrap)
    firsts = first_offsets(admin, partitions, kafka.bootstrap)
    with _Bystander(kafka, group) as bystander:
        places = bystander.places(partitions)
    return {one: max(0, end - places.get(one, firsts[one])) for one, end in ends.items()}


def count_missing(settings: Settings, group: str, topics: Iterable[str]) -> int:
    """How many offsets `write_first_offsets` would write. Raises TopicMismatch or ServiceUnavailable."""
    kafka = settings.kafka
    admin = AdminClient(client_config(kafka, f"first-offsets-{group}"))
    with _Bystander(kafka, group) as bystander:
        return len(_missing(admin, bystander, partitions_of(admin, topics, kafka.bootstrap)))


def write_first_offsets(settings: Settings, group: str, topics: Iterable[str]) -> int:
    """Writes the beginning of each partition where `group` has no place yet; returns how many were written.

    A place that lies outside of what the topic holds (retention, or the topic was made anew) is written too while
    nobody is in the group. Places that are right are never touched: the offsets are read and written under one
    transactional id, so that of two processes at once the later one sees what the earlier one wrote, and a worker
    that starts in between is not set back. Works while the group has members, where an admin client's request is
    refused (measured: UNKNOWN_MEMBER_ID).

    Raises TopicMismatch (a topic is missing), ServiceUnavailable or StreamInferError (the broker refuses).
    """
    kafka = settings.kafka
    admin = AdminClient(client_config(kafka, f"first-offsets-{group}"))
    partitions = partitions_of(admin, topics, kafka.bootstrap)
    with _Bystander(kafka, group) as bystander:
        if not _missing(admin, bystander, partitions):
            return 0
        for last in (*(False,) * (_TRIES - 1), True):
            producer = TransactionalProducer(kafka, f"{group}.first-offsets")
            try:
                producer.initialise()
                missing = _missing(admin, bystander, partitions)
                producer.transact([], missing, bystander.membership())
                return len(missing)
            except (Fenced, TransactionAborted) as error:
                # Another 'topics apply' is at work: what it has written is found at the next try.
                if last:
                    raise StreamInferError(
                        f"the first offsets of group {group} cannot be written: {error}. If no other 'topics apply' "
                        "is running, stop the group's members and run it again."
                    ) from error
            finally:
                producer.close()
    raise AssertionError("the last try returns or raises")


def _missing(admin: AdminClient, bystander: _Bystander, partitions: Sequence[Partition]) -> dict[Partition, int]:
    """The offsets to write: where a place is missing or, in an empty group, outside of what the partition holds."""
    places = bystander.places(partitions)
    firsts = first_offsets(admin, partitions, bystander.where)
    missing = {one: firsts[one] for one in partitions if one not in places}
    if places and _is_empty(admin, bystander.group, bystander.where):
        ends = end_offsets(admin, places, bystander.where)
        missing |= {one: firsts[one] for one, place in places.items() if not firsts[one] <= place <= ends[one]}
    return missing


class _Bystander:
    """A consumer that knows a group and never joins it: it reads its offsets and can write them in a transaction.

    Measured on Kafka 4.2: a transactional commit that names neither member nor generation is accepted for a group
    that does not exist, is empty or has members.
    """

    def __init__(self, kafka: KafkaSettings, group: str) -> None:
        self.where = kafka.bootstrap
        self.group = group
        self._consumer = Consumer(
            {
                **client_config(kafka, f"bystander-{group}"),
                "group.id": group,
                "enable.auto.commit": False,
                # Offsets of a transaction that is still open are waited for.
                "isolation.level": "read_committed",
            }
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def places(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        """The group's committed offsets; a partition without one is left out."""
        wanted = [TopicPartition(topic, number) for topic, number in partitions]
        try:
            found = ask_patiently(lambda: self._consumer.committed(wanted, timeout=_TIMEOUT_S), _TIMEOUT_S)
        except KafkaException as error:
            raise translate(error, f"reading the offsets of group {self.group}", self.where) from error
        return {(place.topic, place.partition): place.offset for place in found if place.offset >= 0}

    def membership(self) -> Membership:
        return Membership(self._consumer.consumer_group_metadata())


def _is_empty(admin: AdminClient, group: str, where: str) -> bool:
    """Whether nobody is in the group; one that does not exist is empty."""
    try:
        return not ask_patiently(
            lambda: admin.describe_consumer_groups([group], request_timeout=_TIMEOUT_S)[group].result().members,
            _TIMEOUT_S,
        )
    except KafkaException as error:
        if error.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
            return True
        raise translate(error, f"describing group {group}", where) from error
