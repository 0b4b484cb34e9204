"""One explicit transaction per progress partition: the rows that changed and the group's offset, or neither.

Faust's own `exactly_once` with a table does not serve (faust-streaming 0.15.3; the first is measured, the others read
in its source):
- recovery waits for the offset of the last commit marker, which is never delivered: 11.3 s at every start, here 2 s;
  and a changelog that was not fetched yet when it looks for the end counts as empty;
- a table's records wait in a buffer that the commit of their offset does not flush: a kill in between loses them;
- a topic that is not subscribed is written outside of the transaction, if its metadata is there at all.
So its transactional producers are used as they are, and when to commit what is decided here.
"""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, ClassVar, cast

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from faust.transport.consumer import TransactionManager
    from faust.transport.drivers import aiokafka as driver
    from faust.types import TP
    from mode.threads import ServiceThread, WorkerThread

from stream_infer.tracker.app import LOG, TrackerApp, leave_unawaited

_THREAD_END_S = 1.0

TakeOver = Callable[[frozenset[int]], Awaitable[None]]
"""Called with all partitions that are ours from now on, before the first of their records is read."""


class PartitionTransactions:
    """Writes to one partition of a topic, and the group's offset on the partition of the same number of another.

    The transactional id is that of the partition, so that whoever takes it over aborts what its last owner left open
    and fences it. Raises Faust's ProducerSendError or aiokafka's KafkaError; after either, end the process.
    """

    def __init__(self, app: TrackerApp, source: str) -> None:
        self._app = app
        self._source = source

    async def begin(self, partition: int) -> None:
        """Fences every earlier owner of `partition`. What they committed can be read once this returns."""
        transaction = self._name(partition)
        await self._app.producer.stop_transaction(transaction)
        await self._app.producer.maybe_begin_transaction(transaction)

    async def end(self, partition: int) -> None:
        await self._app.producer.stop_transaction(self._name(partition))

    async def commit(
        self, partition: int, topic: str, records: Iterable[tuple[bytes, bytes | None]], offset: int | None
    ) -> None:
        """Commits `records`, given as (key, value), and `offset`; None leaves the group's place as it is."""
        transaction = self._name(partition)
        producer = self._app.producer
        sent = [
            await producer.send(topic, key, value, partition, None, None, transactional_id=transaction)
            for key, value in records
        ]
        await asyncio.gather(*sent)
        place = driver.ensure_aiokafka_TP(TP(self._source, partition))
        offsets = {} if offset is None else {place: offset}
        await cast(_Producer, producer).commit_partition(transaction, offsets, self._app.conf.id)

    def _name(self, partition: int) -> str:
        return f"{self._app.conf.id}.{partition}"


def transport(app: TrackerApp, source: str, take_over: TakeOver) -> driver.Transport:
    """Faust's transport, made to call `take_over` in the one place of a rebalance where nothing is read yet."""

    class Manager(TransactionManager):
        """Commits nothing by itself, since no topic of ours is acknowledged to Faust."""

        async def on_rebalance(self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP]) -> None:  # noqa: ARG002 - Faust's
            await take_over(frozenset(tp.partition for tp in assigned if tp.topic == source))

    class Transport(driver.Transport):
        Consumer: ClassVar[type] = _Consumer
        Producer: ClassVar[type] = _Producer
        TransactionManager: ClassVar[type] = Manager

    return Transport(app.conf.broker_consumer, app)


class _Producer(driver.Producer):
    def _settings_extra(self) -> Mapping[str, Any]:
        """With our transaction timeout: an open transaction of a killed tracker hides the status behind it."""
        timeout_ms = int(cast(TrackerApp, self.app).transaction_timeout * 1000)
        return {**super()._settings_extra(), "transaction_timeout_ms": timeout_ms}

    async def commit_partition(self, transaction: str, offsets: Mapping[Any, int], group: str) -> None:
        """Commits, then begins the next transaction. Faust's own waits for ever where there is no offset to commit."""
        producer = self._transaction_producers[transaction]
        async with self._trn_locks[transaction]:
            if offsets:
                await producer.send_offsets_to_transaction(offsets, group)
            await producer.commit_transaction()
            await producer.begin_transaction()


class _DaemonThread(WorkerThread):
    """Ends with the process. Measured: one that could not reach its coordinator any more kept a tracker that had told
    what ended it, and let go of nothing, for another 87 s."""

    def __init__(self, service: ServiceThread, **kwargs: Any) -> None:
        super().__init__(service, **kwargs)
        self.daemon = True

    def run(self) -> None:
        try:
            super().run()
        except BaseException as error:  # noqa: BLE001 - a cancellation, or what its app has told or does not wait for
            LOG.debug("the consumer's thread ended with %s: %s", type(error).__name__, error)

    def stop(self) -> None:
        """Called in the app's loop, which would stand still for as long as the thread does."""
        self.is_stopped.wait(_THREAD_END_S)


class _ConsumerThread(driver.AIOKafkaConsumerThread):
    Worker = _DaemonThread

    def __init__(self, consumer: driver.Consumer, **kwargs: Any) -> None:
        super().__init__(consumer, **kwargs)
        self.thread_loop.set_exception_handler(leave_unawaited)

    def _start_thread(self) -> None:
        """Cancels what is left before the loop is closed. Faust does not where its own shutdown fails, and a connection
        that aiokafka was opening then is collected with a traceback about the closed loop."""
        asyncio.set_event_loop(self.thread_loop)
        with asyncio.Runner(loop_factory=lambda: self.thread_loop) as runner:
            try:
                runner.run(self._serve())
            except Exception:
                self.set_shutdown()  # before what may take long: the app waits for it
                raise

    async def crash(self, exc: BaseException) -> None:
        """Nobody is left to be told once the app's loop has ended: the process is ending, with what ended it told."""
        if not self.parent_loop.is_closed():
            await super().crash(exc)

    def on_crash(self, msg: str, *fmt: Any, **_: Any) -> None:
        """Told by `crash`; Faust prints a traceback beside that."""
        LOG.debug(msg.format(*fmt))

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Seeks to a committed 0 too, which aiokafka takes for none: what was fetched and dropped would be lost."""
        offsets = await super().seek_to_committed()
        for partition, offset in offsets.items():
            if offset == 0:
                self.seek(partition, 0)
        return offsets


class _Consumer(driver.Consumer):
    def _new_consumer_thread(self) -> _ConsumerThread:
        return _ConsumerThread(self, loop=self.loop, beacon=self.beacon)
