"""What a reader without a group hands out when something is wrong with a part of what has come."""

from typing import Any

import pytest
from confluent_kafka import KafkaError

from stream_infer.errors import StreamInferError
from stream_infer.kafka import topic_reader as module
from stream_infer.kafka.topic_reader import TopicReader
from stream_infer.settings import KafkaSettings


class RawRecord:
    def __init__(self, offset: int, error: KafkaError | None = None) -> None:
        self._offset, self._error = offset, error

    def error(self) -> KafkaError | None:
        return self._error

    def topic(self) -> str:
        return "t"

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self._offset

    def key(self) -> None:
        return None

    value = headers = key

    def timestamp(self) -> tuple[int, int]:
        return (1, 0)


REFUSED = RawRecord(-1, KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))


class FakeConsumer:
    """Hands out a record, a fault and another record at once."""

    def __init__(self, _config: Any) -> None: ...

    def assign(self, _places: Any) -> None: ...

    def poll(self, _timeout: float) -> RawRecord:
        return RawRecord(7)

    def consume(self, _number: int, _timeout: float) -> list[RawRecord]:
        return [REFUSED, RawRecord(8)]


def test_what_came_beside_a_fault_is_handed_out_and_the_fault_is_raised_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "Consumer", FakeConsumer)
    monkeypatch.setattr(module, "AdminClient", lambda _config: None)
    reader = TopicReader(KafkaSettings(), "t", [0])

    assert [message.offset for message in reader.poll(0.1)] == [7, 8]
    with pytest.raises(StreamInferError):
        reader.poll(0.1)
