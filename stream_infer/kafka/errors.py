"""librdkafka's errors in our words. The only place that knows its codes."""

from __future__ import annotations

from confluent_kafka import KafkaError, KafkaException

from stream_infer.errors import Fenced, ServiceUnavailable, StreamInferError, TopicMismatch, TransactionAborted

_NOT_REACHED = frozenset(
    {
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._TRANSPORT,
        KafkaError._RESOLVE,
        KafkaError._TIMED_OUT,
        KafkaError._TIMED_OUT_QUEUE,
        KafkaError._MSG_TIMED_OUT,
        KafkaError._AUTHENTICATION,
        KafkaError._SSL,
        KafkaError.BROKER_NOT_AVAILABLE,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NETWORK_EXCEPTION,
        KafkaError.NOT_COORDINATOR,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.UNKNOWN_LEADER_EPOCH,
    }
)
_NO_TOPIC = frozenset({KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION, KafkaError.UNKNOWN_TOPIC_OR_PART})
_NO_OFFSET = frozenset({KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._NO_OFFSET})
_FENCED = frozenset(
    {
        KafkaError._FENCED,
        KafkaError._FATAL,
        KafkaError._STATE,
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.PRODUCER_FENCED,
        KafkaError.INVALID_PRODUCER_ID_MAPPING,
        KafkaError.TRANSACTION_COORDINATOR_FENCED,
    }
)


class RecordTooLarge(StreamInferError):
    """A record is larger than its topic, or the producer, takes. Sending it again cannot help."""


def translate(error: KafkaError | KafkaException, doing: str, where: str = "") -> StreamInferError:
    """The error of ours that says what was being done, where, and what to do.

    A fatal producer error means fenced, whatever its code: measured, a transaction that outlived its timeout looks
    like `_FENCED` too. An abortable one means that the transaction can be sent again.
    """
    cause = _kafka_error(error)
    said = f"{cause.str()} ({cause.name()})"
    at = f" at {where}" if where else ""
    if cause.code() == KafkaError.MSG_SIZE_TOO_LARGE:
        return RecordTooLarge(f"{doing}{at}: {said}. Its topic takes max.message.bytes a record.")
    if cause.txn_requires_abort():
        return TransactionAborted(f"{doing}{at}: {said}")
    if cause.fatal() or cause.code() in _FENCED:
        return Fenced(f"{doing}{at}: {said}")
    if cause.code() in _NO_TOPIC:
        return TopicMismatch(f"{doing}{at}: {said}. Run 'stream-infer topics apply' to create what is missing.")
    if cause.code() in _NO_OFFSET:
        return TopicMismatch(
            f"{doing}{at}: {said}. The group has no place there, or its place is gone (retention). "
            "Run 'stream-infer topics apply' to write it."
        )
    if cause.code() in _NOT_REACHED:
        return ServiceUnavailable(
            f"{doing}: cannot reach Kafka{at}: {said}. Is it running, and is kafka.bootstrap_servers right?"
        )
    return StreamInferError(f"{doing}{at}: {said}")


def is_retriable(error: KafkaException) -> bool:
    """Whether the same call may simply be made again."""
    return bool(_kafka_error(error).retriable())


def _kafka_error(error: KafkaError | KafkaException) -> KafkaError:
    if isinstance(error, KafkaException):
        inner = error.args[0] if error.args else None
        return inner if isinstance(inner, KafkaError) else KafkaError(KafkaError._FAIL, str(error))
    return error
