"""Writing records that may be lost and must never hold anybody up: a job's log lines."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from confluent_kafka import KafkaException, Producer

from stream_infer.errors import Fenced
from stream_infer.kafka.client import client_config
from stream_infer.kafka.errors import translate
from stream_infer.kafka.partitioner import PARTITIONER
from stream_infer.records import OutgoingRecord
from stream_infer.settings import KafkaSettings

_HELD_RECORDS = 10_000
_HELD_KBYTES = 16 * 1024
_GIVE_UP_MS = 30_000
_RENEW_AFTER_S = 5.0


class LogPublisher:
    """Idempotent, in no transaction, with a small queue. One thread uses it; `on_lost` is called in that thread.

    What is not acknowledged within 30 s is given up: `on_lost` is told the record's key.
    """

    def __init__(self, kafka: KafkaSettings, client_id: str, on_lost: Callable[[bytes | None], None]) -> None:
        self._kafka = kafka
        self._client_id = client_id
        self._on_lost = on_lost
        self._producer = self._new_producer()
        self._renewed_at = float("-inf")

    def offer(self, record: OutgoingRecord) -> bool:
        """False where there is no room, or no producer at present. Never blocks, never raises."""
        settled = partial(self._settled, record.key)
        try:
            self._producer.produce(record.topic, record.value, record.key, on_delivery=settled)
        except BufferError:
            return False
        except KafkaException as error:
            self._renew_where_fatal(error)
            return False
        return True

    def poll(self, timeout_s: float) -> None:
        """Takes in what was acknowledged or given up; waits at most the timeout for the first of it. Never raises."""
        try:
            self._producer.poll(timeout_s)
        except KafkaException as error:  # measured: a fatal one is said here, behind a broker that was killed
            self._renew_where_fatal(error)

    def close(self, timeout_s: float) -> None:
        """Waits up to the timeout for what is on its way; the rest is given up. May be called again."""
        with suppress(KafkaException, RuntimeError):
            self._producer.flush(timeout_s)
        self._discard()

    def _settled(self, key: bytes | None, error: Any, _message: Any) -> None:
        if error is not None:
            self._on_lost(key)

    def _renew_where_fatal(self, error: KafkaException) -> None:
        """An idempotent producer is done for once the broker has forgotten its sequence numbers."""
        now = time.monotonic()
        is_fatal = isinstance(translate(error, "writing a log line"), Fenced)
        if not is_fatal or now - self._renewed_at < _RENEW_AFTER_S:
            return
        self._renewed_at = now
        self._discard()
        self._producer = self._new_producer()

    def _discard(self) -> None:
        # As in producer.py: without the purge `close` waits for ever for a broker that is gone.
        with suppress(KafkaException, SystemError, RuntimeError):
            self._producer.purge()
            self._producer.poll(0)
            self._producer.close()

    def _new_producer(self) -> Producer:
        return Producer(
            {
                **client_config(self._kafka, self._client_id),
                "partitioner": PARTITIONER,
                "enable.idempotence": True,
                "compression.type": "lz4",
                "linger.ms": 20,
                "message.timeout.ms": _GIVE_UP_MS,
                "queue.buffering.max.messages": _HELD_RECORDS,
                "queue.buffering.max.kbytes": _HELD_KBYTES,
            }
        )
