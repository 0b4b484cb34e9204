"""Partitions as the broker knows them: which there are, where they begin and end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec

from stream_infer.errors import ServiceUnavailable, StreamInferError, TopicMismatch
from stream_infer.kafka.errors import translate
from stream_infer.kafka.patience import ask_patiently

Partition: TypeAlias = tuple[str, int]

_TIMEOUT_S = 10.0
_STABLE_TIMEOUT_S = 5.0
# Kafka's word for: no record as late as that.
_NONE_SINCE = -1


def partitions_of(admin: AdminClient, topics: Iterable[str], where: str) -> list[Partition]:
    """Every partition of `topics`. Raises TopicMismatch where one is missing, or ServiceUnavailable."""
    try:
        metadata = admin.list_topics(timeout=_TIMEOUT_S).topics
    except KafkaException as error:
        raise translate(error, "listing topics", where) from error
    found = []
    for topic in topics:
        if topic not in metadata:
            raise TopicMismatch(f"topic {topic} is missing at {where}: run 'stream-infer topics apply' to create it.")
        found += [(topic, number) for number in sorted(metadata[topic].partitions)]
    return found


def first_offsets(admin: AdminClient, partitions: Iterable[Partition], where: str) -> dict[Partition, int]:
    """The offset of the first record that retention has left, or the end of an empty partition."""
    return _list(admin, partitions, OffsetSpec.earliest(), where)  # type: ignore[no-untyped-call]


def end_offsets(admin: AdminClient, partitions: Iterable[Partition], where: str) -> dict[Partition, int]:
    """The log end offset, as Kafka's own tools compute lag with it: open transactions and their markers count.

    Measured: a read_committed consumer is told the last stable offset instead, which an open transaction of anybody
    holds back behind records that others have committed since.
    """
    return _list(admin, partitions, OffsetSpec.latest(), where)  # type: ignore[no-untyped-call]


def stable_end(admin: AdminClient, partition: Partition) -> int | None:
    """How far a read_committed consumer can read, an open transaction in mind; None while the broker does not say.

    Not asked of the consumer: one that has lost a partition's leader for good (librdkafka 2.16, told once that there is
    none) would know no end either, and nobody would notice that it has stopped.
    """
    patience = Patience(_STABLE_TIMEOUT_S, isolation=IsolationLevel.READ_COMMITTED)
    latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
    try:
        return _list(admin, [partition], latest, "its broker", patience)[partition]
    except StreamInferError:
        return None


def offsets_at(admin: AdminClient, partitions: Iterable[Partition], at_ms: int, where: str) -> dict[Partition, int]:
    """The offset of the first record written at or after `at_ms`, or the end where there is none.

    The end is asked for first: what comes between the two questions then lies behind it.
    """
    wanted = list(partitions)
    ends = end_offsets(admin, wanted, where)
    found = _list(admin, wanted, OffsetSpec.for_timestamp(at_ms), where, Patience(least=_NONE_SINCE))
    return {place: offset if offset >= 0 else ends[place] for place, offset in found.items()}


@dataclass(frozen=True, slots=True)
class Patience:
    """How offsets are asked for, in seconds. What is below `least` is no answer."""

    timeout_s: float = _TIMEOUT_S
    least: int = 0
    isolation: IsolationLevel = IsolationLevel.READ_UNCOMMITTED


def _list(
    admin: AdminClient,
    partitions: Iterable[Partition],
    spec: OffsetSpec,
    where: str,
    patience: Patience = Patience(),
) -> dict[Partition, int]:
    wanted = {TopicPartition(topic, number): spec for topic, number in partitions}
    if not wanted:
        return {}
    # Beyond the request's own timeout: a client that has lost sight of every broker may not keep even that.
    timeout_s, answer_s = patience.timeout_s, 2 * patience.timeout_s

    def ask() -> dict[Partition, int]:
        futures = admin.list_offsets(wanted, isolation_level=patience.isolation, request_timeout=timeout_s)
        found = {(place.topic, place.partition): future.result(answer_s).offset for place, future in futures.items()}
        # Measured: of a partition without a leader librdkafka 2.16 may say OFFSET_INVALID, and no error. Taken for an
        # end, it let an intake begin a job anew that it had published in part.
        if any(offset < patience.least for offset in found.values()):
            raise KafkaException(KafkaError(KafkaError.LEADER_NOT_AVAILABLE))
        return found

    # Measured: after a leader's restart an admin client is answered FENCED_LEADER_EPOCH until its metadata is read
    # anew, which it does by itself only every 5 minutes.
    try:
        return ask_patiently(ask, timeout_s, before_again=lambda: admin.list_topics(timeout=timeout_s))
    except TimeoutError:
        raise ServiceUnavailable(f"asking {where} for offsets: no answer for {answer_s:.0f} s") from None
    except KafkaException as error:
        raise translate(error, f"asking for offsets of {next(iter(wanted)).topic}", where) from error
