"""A transactional producer whose library does not come back. What it does on a broker is in integration/."""

import threading
from collections.abc import Iterator

import pytest
from confluent_kafka import KafkaError, KafkaException

from stream_infer.errors import Fenced
from stream_infer.kafka.consumer import Membership
from stream_infer.kafka.producer import TransactionalProducer
from stream_infer.settings import KafkaSettings

NOBODY = KafkaSettings(bootstrap_servers="127.0.0.1:1")


class HangingProducer:
    """What librdkafka does when the group's coordinator is gone: offsets are sent for ever."""

    def __init__(self) -> None:
        self.released = threading.Event()
        self.closed = threading.Event()

    def poll(self, _timeout: float) -> int:
        return 0

    def begin_transaction(self) -> None:
        pass

    def produce(self, *_arguments: object) -> None:
        pass

    def send_offsets_to_transaction(self, *_arguments: object) -> None:
        self.released.wait()

    def purge(self) -> None:
        self.closed.set()

    def close(self) -> None:
        self.released.wait()


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[HangingProducer]:
    library = HangingProducer()
    monkeypatch.setattr("stream_infer.kafka.producer.Producer", lambda _config: library)
    yield library
    library.released.set()


def test_a_call_that_never_returns_is_given_up_and_its_producer_is_to_be_forgotten(hanging: HangingProducer) -> None:
    producer = TransactionalProducer(NOBODY, "slot", overdue_s=0.05)

    with pytest.raises(Fenced, match=r"adding offsets to a transaction.*librdkafka has not come back"):
        producer.transact([], {("items", 0): 1}, Membership(object()))

    producer.close()
    assert not hanging.closed.is_set(), "closing it would wait for the call that hangs"


def test_a_close_that_never_returns_is_given_up(hanging: HangingProducer) -> None:
    producer = TransactionalProducer(NOBODY, "slot", close_within_s=0.05)

    producer.close()
    assert hanging.closed.wait(60)
    producer.close()


class AskedProducer:
    """Tells in which order it was asked; `has_broker`: somebody answers."""

    def __init__(self, *, has_broker: bool) -> None:
        self.has_broker = has_broker
        self.asked: list[str] = []

    def list_topics(self, timeout: float) -> None:
        self.asked.append("list_topics")
        if not self.has_broker:
            raise KafkaException(KafkaError(KafkaError._TRANSPORT))

    def init_transactions(self, _timeout: float) -> None:
        self.asked.append("init_transactions")


@pytest.mark.parametrize("has_broker", [True, False])
def test_it_meets_a_broker_before_it_asks_for_its_coordinator_and_asks_in_any_case(
    monkeypatch: pytest.MonkeyPatch, has_broker: bool
) -> None:
    library = AskedProducer(has_broker=has_broker)
    monkeypatch.setattr("stream_infer.kafka.producer.Producer", lambda _config: library)

    TransactionalProducer(NOBODY, "slot").initialise()

    assert library.asked == ["list_topics", "init_transactions"]
