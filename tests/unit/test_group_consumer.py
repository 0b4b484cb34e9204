"""What a poll hands out when the group changes in the middle of it."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from confluent_kafka import TopicPartition

from stream_infer.kafka import consumer as module
from stream_infer.kafka.consumer import GroupConsumer, Partition
from stream_infer.records import Message
from stream_infer.settings import KafkaSettings


class RawMessage:
    def __init__(self, partition: int, offset: int) -> None:
        self._partition, self._offset = partition, offset

    def error(self) -> None:
        return None

    def topic(self) -> str:
        return "t"

    def partition(self) -> int:
        return self._partition

    def offset(self) -> int:
        return self._offset

    def key(self) -> None:
        return None

    value = headers = key

    def timestamp(self) -> tuple[int, int]:
        return (1, 0)


class FakeConsumer:
    """Hands out one record of partition 0, then `batch`; `meanwhile` happens while the batch is collected."""

    def __init__(self, _config: Any) -> None:
        self.batch: list[RawMessage] = []
        self.meanwhile: Callable[[], None] = lambda: None
        self.sought: list[tuple[int, int]] = []

    def subscribe(self, _topics: Any, **callbacks: Any) -> None:
        self.callbacks = callbacks

    def poll(self, _timeout: float) -> RawMessage:
        return RawMessage(0, 7)

    def consume(self, _number: int, _timeout: float) -> list[RawMessage]:
        self.meanwhile()
        return self.batch

    def seek(self, place: TopicPartition) -> None:
        self.sought.append((place.partition, place.offset))

    def incremental_unassign(self, _places: Any) -> None:
        pass


class Listener:
    def __init__(self) -> None:
        self.on_revoked: Callable[[], None] = lambda: None

    def assigned(self, partitions: Sequence[Partition]) -> None:
        pass

    def revoked(self, partitions: Sequence[Partition]) -> None:
        self.on_revoked()

    lost = revoked


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest.fixture
def consumer(monkeypatch: pytest.MonkeyPatch, listener: Listener) -> GroupConsumer:
    monkeypatch.setattr(module, "Consumer", FakeConsumer)
    consumer = GroupConsumer(KafkaSettings(), "group", "client", listener)
    consumer.subscribe(["t"])
    return consumer


def taken(consumer: GroupConsumer) -> list[tuple[int, int]]:
    return [(record.partition, record.offset) for record in consumer.poll(10, 0.1) if isinstance(record, Message)]


@pytest.mark.parametrize("event", ["on_revoke", "on_lost"])
def test_records_of_a_partition_that_is_taken_away_during_the_poll_are_not_handed_out(
    consumer: GroupConsumer, event: str
) -> None:
    fake: Any = consumer._consumer
    fake.batch = [RawMessage(0, 8), RawMessage(1, 3)]
    fake.meanwhile = lambda: fake.callbacks[event](fake, [TopicPartition("t", 0)])

    assert taken(consumer) == [(1, 3)]


def test_records_of_partitions_that_a_listener_rewinds_during_the_poll_are_not_handed_out(
    consumer: GroupConsumer, listener: Listener
) -> None:
    fake: Any = consumer._consumer
    fake.batch = [RawMessage(0, 8), RawMessage(1, 3), RawMessage(2, 5)]
    listener.on_revoked = lambda: consumer.seek({("t", 1): 2})
    fake.meanwhile = lambda: fake.callbacks["on_revoke"](fake, [TopicPartition("t", 0)])

    assert taken(consumer) == [(2, 5)]
    assert fake.sought == [(1, 2)]


def test_an_ordinary_poll_hands_out_all_that_has_come(consumer: GroupConsumer) -> None:
    fake: Any = consumer._consumer
    fake.batch = [RawMessage(0, 8)]

    assert taken(consumer) == [(0, 7), (0, 8)]
