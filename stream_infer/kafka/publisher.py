"""Writing records in no transaction."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from confluent_kafka import KafkaException, Producer

from stream_infer.errors import Fenced, ServiceUnavailable, StreamInferError
from stream_infer.kafka.errors import translate
from stream_infer.kafka.producer import PARTITION_BY_KEY, discard, producer_config
from stream_infer.records import OutgoingRecord
from stream_infer.settings import MIB, KafkaSettings


class Publisher:
    """Writes records one by one, idempotently: for those who have no transaction to put them in. Thread-safe."""

    def __init__(self, kafka: KafkaSettings, client_id: str, *, max_bytes: int = 8 * MIB) -> None:
        self._where = kafka.bootstrap
        self._config = {**producer_config(kafka, client_id, max_bytes), "linger.ms": 5}
        self._producer = Producer(self._config)
        self._renewing = threading.Lock()

    def publish(self, records: Sequence[OutgoingRecord], timeout_s: float = 30.0) -> None:
        """Blocks until every record is acknowledged; raises ServiceUnavailable, or what else became of one."""
        producer = self._producer
        try:
            self._publish(producer, records, timeout_s)
        except Fenced as error:
            self._renew(producer)
            raise ServiceUnavailable(f"{error}. Another producer takes its place: send it again.") from error

    def _publish(self, producer: Producer, records: Sequence[OutgoingRecord], timeout_s: float) -> None:
        failures: list[StreamInferError] = []

        def delivered(error: Any, _message: Any) -> None:
            if error is not None:
                failures.append(translate(error, "producing a record", self._where))

        deadline = time.monotonic() + timeout_s
        try:
            for record in records:
                self._produce(producer, record, delivered, deadline)
            left = producer.flush(max(0.0, deadline - time.monotonic()))
        except KafkaException as error:
            raise translate(error, "producing a record", self._where) from error
        if failures:
            raise failures[0]
        if left:
            raise ServiceUnavailable(f"producing to {self._where}: {left} records unconfirmed after {timeout_s:.0f} s")

    def _produce(
        self, producer: Producer, record: OutgoingRecord, delivered: Callable[[Any, Any], None], deadline: float
    ) -> None:
        while True:
            try:
                producer.produce(
                    record.topic,
                    record.value,
                    record.key,
                    _partition(record),
                    on_delivery=delivered,
                    headers=list(record.headers),
                )
                return
            except BufferError:
                if time.monotonic() > deadline:
                    raise ServiceUnavailable(f"producing to {self._where}: its queue stays full") from None
                producer.poll(0.1)

    def _renew(self, dead: Producer) -> None:
        """An idempotent producer is done for once the broker has lost its sequence numbers. Others may be waiting for
        the dead one's acknowledgements yet, so it goes with the last of them."""
        with self._renewing:
            if self._producer is dead:
                self._producer = Producer(self._config)
        with suppress(KafkaException):
            dead.purge()

    def close(self) -> None:
        """Forgets what is not acknowledged: `publish` has told so already. Never raises, and may be called again."""
        discard(self._producer)


def _partition(record: OutgoingRecord) -> int:
    """librdkafka's word for "by the key" is -1."""
    return PARTITION_BY_KEY if record.partition is None else record.partition
