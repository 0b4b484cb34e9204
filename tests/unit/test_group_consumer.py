"""What a poll hands out when the group changes in the middle of it."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import OFFSET_INVALID, KafkaError, KafkaException, TopicPartition
from confluent_kafka import Message as Raw

from stream_infer.errors import ReaderStalled
from stream_infer.kafka import consumer as module
from stream_infer.kafka.consumer import GroupConsumer, Partition
from stream_infer.kafka.following import Following
from stream_infer.records import Message
from stream_infer.settings import KafkaSettings


def raw(partition: int, offset: int) -> Raw:
    return Raw(topic="t", partition=partition, offset=offset, timestamp=(1, 0))


class FakeConsumer:
    """Hands out one record of partition 0, then `batch`; `meanwhile` happens while the batch is collected."""

    def __init__(self, _config: Any) -> None:
        self.batch: list[Raw] = []
        self.meanwhile: Callable[[], None] = lambda: None
        self.sought: list[tuple[int, int]] = []
        self.places = {0: 5}
        self.idle = False
        self.closing = threading.Event()

    def subscribe(self, _topics: Any, **callbacks: Any) -> None:
        self.callbacks = callbacks

    def poll(self, _timeout: float) -> Raw | None:
        return None if self.idle else raw(0, 7)

    def consume(self, _number: int, _timeout: float) -> list[Raw]:
        self.meanwhile()
        return self.batch

    def seek(self, place: TopicPartition) -> None:
        self.sought.append((place.partition, place.offset))

    def incremental_unassign(self, _places: Any) -> None:
        pass

    def incremental_assign(self, _places: Any) -> None:
        pass

    def pause(self, _places: Any) -> None:
        pass

    resume = pause

    def assignment(self) -> list[TopicPartition]:
        return [TopicPartition("t", number) for number in self.places]

    def position(self, places: list[TopicPartition]) -> list[TopicPartition]:
        return [TopicPartition("t", place.partition, self.places[place.partition]) for place in places]

    def close(self) -> None:
        self.closing.set()


class FakeAdmin:
    """Every partition ends at `end`; None: it has no leader."""

    def __init__(self, _config: Any) -> None:
        self.end: int | None = 9

    def list_offsets(self, wanted: dict[Any, Any], **_options: Any) -> dict[Any, Future[Any]]:
        futures: dict[Any, Future[Any]] = {}
        for place in wanted:
            futures[place] = Future()
            if self.end is None:
                futures[place].set_exception(KafkaException(KafkaError(KafkaError._TIMED_OUT)))
            else:
                futures[place].set_result(SimpleNamespace(offset=self.end))
        return futures

    def list_topics(self, timeout: float) -> None:
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


FOLLOWING = Following("t", r"t\.late\.[0-9]+")


def test_partitions_follow_the_one_of_their_number() -> None:
    counts = {"t": 3, "t.late.1": 3, "t.late.2": 2, "t.lately": 3, "other": 3}
    assert FOLLOWING.along([("t", 0), ("t", 2), ("other", 1)], counts) == {
        ("t", 0): [("t.late.1", 0), ("t.late.2", 0)],
        ("t", 2): [("t.late.1", 2)],
    }


@pytest.fixture
def consumer(monkeypatch: pytest.MonkeyPatch, listener: Listener) -> GroupConsumer:
    monkeypatch.setattr(module, "Consumer", FakeConsumer)
    monkeypatch.setattr(module, "AdminClient", FakeAdmin)
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
    fake.batch = [raw(0, 8), raw(1, 3)]
    fake.meanwhile = lambda: fake.callbacks[event](fake, [TopicPartition("t", 0)])

    assert taken(consumer) == [(1, 3)]


def test_records_of_partitions_that_a_listener_rewinds_during_the_poll_are_not_handed_out(
    consumer: GroupConsumer, listener: Listener
) -> None:
    fake: Any = consumer._consumer
    fake.batch = [raw(0, 8), raw(1, 3), raw(2, 5)]
    listener.on_revoked = lambda: consumer.seek({("t", 1): 2})
    fake.meanwhile = lambda: fake.callbacks["on_revoke"](fake, [TopicPartition("t", 0)])

    assert taken(consumer) == [(2, 5)]
    assert fake.sought == [(1, 2)]


def test_an_ordinary_poll_hands_out_all_that_has_come(consumer: GroupConsumer) -> None:
    fake: Any = consumer._consumer
    fake.batch = [raw(0, 8)]

    assert taken(consumer) == [(0, 7), (0, 8)]


class Idle:
    """A consumer that gives nothing, and a clock that goes on by ten seconds at each of its polls."""

    def __init__(self, consumer: GroupConsumer, monkeypatch: pytest.MonkeyPatch) -> None:
        self.consumer = consumer
        self.fake: Any = consumer._consumer
        self.fake.idle = True
        self.admin: Any = consumer._admin
        self._now = 1000.0
        monkeypatch.setattr("stream_infer.kafka.consumer.time.monotonic", lambda: self._now)

    def polls(self, times: int) -> None:
        for _ in range(times):
            self._now += 10
            assert self.consumer.poll(10, 0.1) == []


@pytest.fixture
def idle(consumer: GroupConsumer, monkeypatch: pytest.MonkeyPatch) -> Idle:
    return Idle(consumer, monkeypatch)


def test_a_partition_that_is_not_read_though_there_is_something_ends_the_reader(idle: Idle) -> None:
    idle.polls(4)
    with pytest.raises(ReaderStalled, match=r"t\[0\]"):
        idle.polls(1)

    idle.consumer.close()
    assert idle.fake.closing.wait(5), "it leaves the group, if it can"


def test_one_whose_place_librdkafka_never_finds_ends_the_reader_too(idle: Idle) -> None:
    idle.fake.places, idle.admin.end = {0: OFFSET_INVALID}, 0
    with pytest.raises(ReaderStalled):
        idle.polls(5)


def test_a_record_that_comes_after_a_long_rest_ends_nobody(idle: Idle) -> None:
    idle.fake.places, idle.admin.end = {0: 5}, 5
    idle.polls(20)
    idle.admin.end = 6
    idle.polls(2)
    idle.fake.places = {0: 6}
    idle.polls(20)


def test_nothing_comes_of_a_partition_that_is_paused_or_read_to_its_end(idle: Idle) -> None:
    idle.fake.places = {0: 5, 1: 9}
    idle.consumer.pause([("t", 0)])
    idle.polls(10)


def test_while_the_broker_does_not_answer_nobody_is_ended(idle: Idle) -> None:
    idle.admin.end = None
    idle.polls(10)
