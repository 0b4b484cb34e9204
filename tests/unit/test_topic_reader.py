"""What a reader without a group hands out when something is wrong with a part of what has come."""

from typing import Any

import pytest
from confluent_kafka import KafkaError
from confluent_kafka import Message as Raw

from stream_infer.errors import StreamInferError
from stream_infer.kafka import topic_reader as module
from stream_infer.kafka.topic_reader import TopicReader
from stream_infer.settings import KafkaSettings

REFUSED = Raw(topic="t", partition=0, offset=-1, error=KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))


def raw(offset: int) -> Raw:
    return Raw(topic="t", partition=0, offset=offset, timestamp=(1, 0))


class FakeConsumer:
    """Hands out a record, a fault and another record at once."""

    def __init__(self, _config: Any) -> None: ...

    def assign(self, _places: Any) -> None: ...

    def poll(self, _timeout: float) -> Raw:
        return raw(7)

    def consume(self, _number: int, _timeout: float) -> list[Raw]:
        return [REFUSED, raw(8)]


def test_what_came_beside_a_fault_is_handed_out_and_the_fault_is_raised_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "Consumer", FakeConsumer)
    monkeypatch.setattr(module, "AdminClient", lambda _config: None)
    monkeypatch.setattr(TopicReader, "_all_partitions", lambda _self: [0])
    reader = TopicReader(KafkaSettings(), "t", [0])

    assert [message.offset for message in reader.poll(0.1)] == [7, 8]
    with pytest.raises(StreamInferError):
        reader.poll(0.1)
