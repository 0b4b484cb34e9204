"""Writing jobs and their events to Kafka: one transaction each, from one thread."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import structlog

from stream_infer.errors import Fenced, ServiceUnavailable, TransactionAborted
from stream_infer.kafka.producer import TransactionalProducer
from stream_infer.records import OutgoingRecord
from stream_infer.settings import KafkaSettings

WRITE_TIMEOUT_S = 20.0
_log = structlog.get_logger(__name__)


class EventWriter:
    """The gateway's transactional producer. Its only thread makes it, uses it and closes it."""

    def __init__(self, kafka: KafkaSettings, transactional_id: str) -> None:
        self._kafka = kafka
        self._transactional_id = transactional_id
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="event-writer")
        self._producer: TransactionalProducer | None = None

    def start(self) -> None:
        """Blocks until the slot's earlier producer is fenced. Raises ServiceUnavailable."""
        self._thread.submit(self._initialised).result()

    async def write(self, records: Sequence[OutgoingRecord]) -> None:
        """Commits all of `records` or none. Raises ServiceUnavailable, TransactionAborted or Fenced.

        At the timeout what waits for its turn is withdrawn; only a write that had begun may still come true.
        """
        loop = asyncio.get_running_loop()
        try:
            await asyncio.wait_for(loop.run_in_executor(self._thread, self._write, records), WRITE_TIMEOUT_S)
        except TimeoutError:
            raise ServiceUnavailable(
                f"Kafka at {self._kafka.bootstrap} did not confirm the write within {WRITE_TIMEOUT_S:.0f} s, "
                "so it may still be recorded."
            ) from None

    def close(self) -> None:
        """Waits for the write that has begun."""
        self._thread.submit(self._discard)
        self._thread.shutdown(wait=True)

    def _write(self, records: Sequence[OutgoingRecord]) -> None:
        try:
            self._initialised().transact(records, {})
        except (Fenced, TransactionAborted) as error:
            # Nothing of it is visible in either case, so the same records can be sent again, once.
            _log.warning("write_repeated", reason=str(error))
            if isinstance(error, Fenced):
                self._discard()
            self._initialised().transact(records, {})

    def _initialised(self) -> TransactionalProducer:
        if self._producer is None:
            producer = TransactionalProducer(self._kafka, self._transactional_id)
            try:
                producer.initialise()
            except BaseException:
                producer.close()
                raise
            self._producer = producer
        return self._producer

    def _discard(self) -> None:
        if self._producer is not None:
            self._producer.close()
            self._producer = None
