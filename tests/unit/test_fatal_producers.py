"""Producers that librdkafka declares dead where they look around: behind a killed broker, of broken numbers."""

import pytest
from confluent_kafka import KafkaError, KafkaException

from stream_infer.errors import Fenced, ServiceUnavailable
from stream_infer.kafka.log_publisher import LogPublisher
from stream_infer.kafka.producer import TransactionalProducer
from stream_infer.kafka.publisher import Publisher
from stream_infer.records import OutgoingRecord
from stream_infer.settings import KafkaSettings

NOBODY = KafkaSettings(bootstrap_servers="127.0.0.1:1")
RECORD = OutgoingRecord("t", b"k", b"v")


class DeadProducer:
    """Says so in `poll` and `flush`, and takes everything else."""

    def poll(self, _timeout: float) -> int:
        raise KafkaException(KafkaError(KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, "desynchronised", fatal=True))

    flush = poll

    def begin_transaction(self) -> None: ...
    def produce(self, *_arguments: object, **_named: object) -> None: ...
    def purge(self) -> None: ...
    def close(self) -> None: ...


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[DeadProducer]:
    made: list[DeadProducer] = []

    def make(_config: object) -> DeadProducer:
        made.append(DeadProducer())
        return made[-1]

    for module in ("log_publisher", "producer", "publisher"):
        monkeypatch.setattr(f"stream_infer.kafka.{module}.Producer", make)
    return made


def test_a_job_log_gets_another_one_and_not_again_at_each_look(made: list[DeadProducer]) -> None:
    publisher = LogPublisher(NOBODY, "logs", lambda _key: None)

    publisher.poll(0)
    publisher.poll(0)

    assert len(made) == 2


def test_a_transaction_ends_as_that_of_a_fenced_one(made: list[DeadProducer]) -> None:
    producer = TransactionalProducer(NOBODY, "slot")

    with pytest.raises(Fenced, match="desynchronised"):
        producer.transact([RECORD], {})


def test_an_abort_does_too(made: list[DeadProducer], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DeadProducer, "poll", lambda *_: 0)
    producer = TransactionalProducer(NOBODY, "slot")
    producer.open()
    monkeypatch.setattr(DeadProducer, "poll", DeadProducer.flush)

    with pytest.raises(Fenced, match="desynchronised"):
        producer.abort("for a test").result(5)


def test_who_publishes_without_a_transaction_is_told_to_send_it_again_and_another_one_takes_it(
    made: list[DeadProducer],
) -> None:
    publisher = Publisher(NOBODY, "gateway")

    with pytest.raises(ServiceUnavailable, match=r"desynchronised.*send it again"):
        publisher.publish([RECORD])

    made[-1].flush = lambda _timeout: 0  # type: ignore[method-assign]
    publisher.publish([RECORD])
    assert len(made) == 2
