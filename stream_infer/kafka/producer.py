"""Writing to Kafka: in transactions, all or nothing, or one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeAlias

from confluent_kafka import KafkaException, Producer, TopicPartition

from stream_infer.errors import Fenced, ServiceUnavailable, StreamInferError, TransactionAborted
from stream_infer.kafka.client import client_config
from stream_infer.kafka.consumer import Membership
from stream_infer.kafka.errors import RecordTooLarge, is_retriable, translate
from stream_infer.kafka.partitioner import PARTITIONER
from stream_infer.pool import DaemonPool
from stream_infer.records import Outgoing, OutgoingRecord
from stream_infer.settings import MIB, KafkaSettings

Offsets: TypeAlias = Mapping[tuple[str, int], int]

_CALL_TIMEOUT_S = 10.0
_CALL_TRIES = 6
# Measured (librdkafka 2.16, its issues 5456 and 5511): with a broker gone, send_offsets_to_transaction may never come
# back, whatever its timeout. A call that has not, so long after its timeout, is given up, and the producer with it.
_OVERDUE_S = 5.0
_CLOSE_WITHIN_S = 5.0
_BROKER_S = 1.0
PARTITION_BY_KEY = -1


def producer_config(kafka: KafkaSettings, client_id: str, max_bytes: int) -> dict[str, Any]:
    return {
        **client_config(kafka, client_id),
        "partitioner": PARTITIONER,
        "enable.idempotence": True,
        "compression.type": "lz4",
        "message.max.bytes": max_bytes,
        "queue.buffering.max.messages": 500_000,
        "delivery.report.only.error": True,
    }


class TransactionalProducer:
    """Writes records and group offsets in one transaction. One thread uses it.

    `transactional_id` names the slot, so that a restart aborts what its predecessor left open: measured, a kill -9
    inside a transaction stalls read_committed readers 0.6 s with the same id, 20 s and more with a new one.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        transactional_id: str,
        *,
        max_bytes: int = 8 * MIB,
        overdue_s: float = _CALL_TIMEOUT_S + _OVERDUE_S,
        close_within_s: float = _CLOSE_WITHIN_S,
    ) -> None:
        self._where = kafka.bootstrap
        self._overdue_s = overdue_s
        self._close_within_s = close_within_s
        self._ends = DaemonPool(1, "transaction")
        self._calls = DaemonPool(1, "transaction-call")
        self._is_over = False  # it hangs, or is closed: nothing more is asked of it
        self._failure: StreamInferError | None = None
        self._refused: RecordTooLarge | None = None
        self._producer = Producer(
            {
                **producer_config(kafka, transactional_id, max_bytes),
                "transactional.id": transactional_id,
                "transaction.timeout.ms": int(kafka.transaction_timeout * 1000),
                "linger.ms": 5,
            }
        )

    def initialise(self) -> None:
        """Fences every earlier producer of this id and aborts what it left open.

        Raises ServiceUnavailable, or Fenced where a later one has come already or librdkafka hangs.
        """
        self._meet_a_broker()
        self._persist(lambda: self._producer.init_transactions(_CALL_TIMEOUT_S), "starting a transactional producer")

    def _meet_a_broker(self) -> None:
        """Measured: librdkafka that knows no broker yet when it is asked for the coordinator asks again only after
        0.5 s; half of all starts were that unlucky. Where no broker answers, what comes next tells."""
        with suppress(KafkaException, TimeoutError):
            self._calls.submit(lambda: self._producer.list_topics(timeout=_BROKER_S)).result(self._overdue_s)

    def transact(
        self, records: Sequence[OutgoingRecord], offsets: Offsets, membership: Membership | None = None
    ) -> None:
        """Commits `records` and, for the group of `membership`, `offsets`: all of it or nothing.

        Raises TransactionAborted (send it again), RecordTooLarge (nothing is visible, and sending it again cannot
        help), Fenced (forget this producer: another has taken over, or librdkafka hangs) or ServiceUnavailable.
        Measured: the transaction after a refused record aborts once for its sequence numbers, the one after commits.
        """
        self.open()
        self.write(records)
        self.commit(offsets, membership).result()

    def open(self) -> None:
        """Begins a transaction; none may be open, or ending. What goes wrong here is raised by its end."""
        self._failure = self._refused = None
        try:
            self._producer.poll(0)  # hands on what librdkafka has logged, and raises what is fatal
            self._producer.begin_transaction()
        except KafkaException as error:
            self._failure = translate(error, "beginning a transaction", self._where)

    def write(self, records: Iterable[Outgoing]) -> None:
        """Adds to the transaction that is open; they set out at once. What goes wrong here is raised by its end."""
        if self._failure is None:
            try:
                self._produce(records)
            except KafkaException as error:
                self._failure = translate(error, "writing in a transaction", self._where)

    def spoil(self, why: BaseException) -> None:
        """The transaction that is open lacks something: it is aborted at its end, whatever else is asked for."""
        self._failure = self._failure or TransactionAborted(f"it lacks what could not be written: {why!r}")

    def commit(self, offsets: Offsets, membership: Membership | None = None) -> Future[None]:
        """Ends the transaction that is open beside the caller. The future raises what `transact` does.

        With several brokers their part of a transaction takes longer than making it.
        """
        assert membership is not None or not offsets, "offsets belong to a group"
        places = [TopicPartition(topic, number, offset) for (topic, number), offset in offsets.items()]
        return self._ends.submit(self._end, places, membership, self._failure)

    def abort(self, reason: str) -> Future[None]:
        """Gives the transaction up that is open, beside the caller. The future raises TransactionAborted, or worse."""
        return self._ends.submit(self._end, [], None, self._failure or TransactionAborted(reason))

    def _note(self, error: Any, _message: Any) -> None:
        """Of a record that was not written. Kept is what sending it again cannot mend: the end may only say that the
        transaction has failed already."""
        failure = translate(error, "writing in a transaction", self._where)
        if isinstance(failure, RecordTooLarge):
            self._refused = failure

    def _end(
        self, places: list[TopicPartition], membership: Membership | None, failure: StreamInferError | None
    ) -> None:
        try:
            if failure is not None:
                raise failure
            if membership is not None and places:
                self._persist(
                    lambda: self._producer.send_offsets_to_transaction(places, membership.raw, _CALL_TIMEOUT_S),
                    "adding offsets to a transaction",
                )
            self._persist(lambda: self._producer.commit_transaction(_CALL_TIMEOUT_S), "committing a transaction")
        except StreamInferError as error:
            self._settle(error)

    def _produce(self, records: Iterable[Outgoing]) -> None:
        produce = self._producer.produce
        for topic, key, value, headers, partition in records:
            number = PARTITION_BY_KEY if partition is None else partition
            while True:
                try:
                    # Positional: measured, a quarter of the call was finding its arguments by their names.
                    produce(topic, value, key, number, self._note, None, 0, list(headers))
                    break
                except BufferError:
                    self._producer.poll(0.1)

    def _persist(self, call: Callable[[], object], doing: str) -> None:
        """Calls again while librdkafka says that the same call may succeed; each try blocks at most 15 s."""
        for last in (*(False,) * (_CALL_TRIES - 1), True):
            try:
                self._calls.submit(call).result(self._overdue_s)
                return
            except KafkaException as error:
                if last or not is_retriable(error):
                    raise translate(error, doing, self._where) from error
            except TimeoutError:
                self._is_over = True
                raise Fenced(
                    f"{doing} at {self._where}: librdkafka has not come back from it, so it is given up"
                ) from None

    def _settle(self, error: StreamInferError) -> None:
        """Aborts, so that the next transaction can begin, and raises what happened. A fenced producer cannot abort."""
        if isinstance(error, Fenced):
            raise error
        try:
            self._producer.poll(0)
        except KafkaException as fatal:
            raise translate(fatal, "aborting a transaction", self._where) from fatal
        error = self._refused or error
        self._persist(lambda: self._producer.abort_transaction(_CALL_TIMEOUT_S), "aborting a transaction")
        if isinstance(error, ServiceUnavailable):
            raise TransactionAborted(str(error)) from error
        raise error

    def close(self) -> None:
        """Forgets what is not committed; librdkafka's threads end. Never raises, and may be called again.

        One that hangs is left alone, and goes with the process: its close would wait for the call that hangs. Measured:
        the close itself may hang too, in the abort that it begins with.
        """
        if not self._is_over:
            self._is_over = True
            with suppress(TimeoutError):
                self._calls.submit(discard, self._producer).result(self._close_within_s)
        self._ends.close(0)
        self._calls.close(0)


def start_producer(kafka: KafkaSettings, transactional_id: str) -> TransactionalProducer:
    """Fences every earlier producer of this id. Raises ServiceUnavailable or Fenced, and leaves nothing behind then."""
    producer = TransactionalProducer(kafka, transactional_id)
    try:
        producer.initialise()
    except BaseException:
        producer.close()
        raise
    return producer


def discard(producer: Producer) -> None:
    """Forgets what it holds, and its threads end. Never raises."""
    # Measured: without the purge `close` waits for ever for a broker that is gone. It aborts an open transaction, and
    # so raises _FENCED where the producer was fenced (as a SystemError where the binding returns a result beside it);
    # a second close is a RuntimeError.
    with suppress(KafkaException, SystemError, RuntimeError):
        producer.purge()
        producer.close()
