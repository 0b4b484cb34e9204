"""Writing jobs and their events to Kafka: one transaction each, from one thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextvars import copy_context
from functools import partial
from queue import SimpleQueue

import structlog

from stream_infer.errors import Fenced, ServiceUnavailable, TransactionAborted
from stream_infer.kafka.producer import TransactionalProducer
from stream_infer.records import OutgoingRecord
from stream_infer.settings import KafkaSettings

WRITE_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 2.0
_UNCONFIRMED = f"did not confirm the write within {WRITE_TIMEOUT_S:.0f} s, so it may still be recorded."
_UNCLAIMED = f"did not let this gateway write under the id within {WRITE_TIMEOUT_S:.0f} s."
_log = structlog.get_logger(__name__)


class EventWriter:
    """The gateway's transactional producer. Its only thread makes it, uses it and closes it."""

    def __init__(self, kafka: KafkaSettings, transactional_id: str) -> None:
        self._kafka = kafka
        self._transactional_id = transactional_id
        self._producer: TransactionalProducer | None = None
        self._calls: SimpleQueue[tuple[Future[None], Callable[[], object]] | None] = SimpleQueue()
        # A daemon: with Kafka away a commit blocks for a minute, and nothing of it is worth waiting for at the end.
        self._thread = threading.Thread(target=self._work, name="event-writer", daemon=True)

    def start(self) -> None:
        """Blocks until the slot's earlier producer is fenced. Raises ServiceUnavailable."""
        self._thread.start()
        self._submit(self._initialised).result()

    async def claim(self) -> None:
        """In place of `start`, where others have the same id: fences them. Raises ServiceUnavailable or Fenced."""
        self._thread.start()
        await self._in_time(self._submit(self._initialised), _UNCLAIMED)

    async def write(self, records: Sequence[OutgoingRecord]) -> None:
        """Commits all of `records` or none. Raises ServiceUnavailable, TransactionAborted or Fenced.

        At the timeout what waits for its turn is withdrawn; only a write that had begun may still come true.
        """
        await self._in_time(self._submit(lambda: self._write(records)), _UNCONFIRMED)

    async def write_alone(self, records: Sequence[OutgoingRecord]) -> None:
        """As `write`, but raises Fenced where another has claimed the id since `claim`."""
        await self._in_time(self._submit(lambda: self._write_alone(records)), _UNCONFIRMED)

    async def _in_time(self, asked: Future[None], late: str) -> None:
        try:
            await asyncio.wait_for(asyncio.wrap_future(asked), WRITE_TIMEOUT_S)
        except TimeoutError:
            raise ServiceUnavailable(f"Kafka at {self._kafka.bootstrap} {late}") from None

    def close(self) -> None:
        """Waits 2 s for the write that has begun; what it leaves open is aborted by the slot's next producer."""
        if not self._thread.is_alive():
            return
        self._submit(self._discard)
        self._calls.put(None)
        self._thread.join(CLOSE_TIMEOUT_S)
        if self._thread.is_alive():
            _log.warning("write_abandoned", waited_s=CLOSE_TIMEOUT_S)

    def _submit(self, call: Callable[[], object]) -> Future[None]:
        done: Future[None] = Future()
        self._calls.put((done, partial(copy_context().run, call)))
        return done

    def _work(self) -> None:
        while (entry := self._calls.get()) is not None:
            done, call = entry
            if not done.set_running_or_notify_cancel():
                continue
            try:
                call()
            except BaseException as error:  # noqa: BLE001 (raised where it is waited for)
                done.set_exception(error)
            else:
                done.set_result(None)

    def _write(self, records: Sequence[OutgoingRecord]) -> None:
        try:
            self._initialised().transact(records, {})
        except (Fenced, TransactionAborted) as error:
            # Nothing of it is visible in either case, so the same records can be sent again, once.
            _log.warning("write_repeated", reason=str(error))
            if isinstance(error, Fenced):
                self._discard()
            self._initialised().transact(records, {})

    def _write_alone(self, records: Sequence[OutgoingRecord]) -> None:
        assert self._producer is not None, "it was claimed"
        try:
            self._producer.transact(records, {})
        except TransactionAborted as error:
            _log.warning("write_repeated", reason=str(error))
            self._producer.transact(records, {})

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
