"""Partitions as the broker knows them: which there are, where they begin and end."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import TypeAlias

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec

from stream_infer.errors import ServiceUnavailable, TopicMismatch
from stream_infer.kafka.errors import translate
from stream_infer.kafka.patience import ask_patiently

Partition: TypeAlias = tuple[str, int]

_TIMEOUT_S = 10.0
_STABLE_TIMEOUT_S = 2.0
# Beyond the request's own timeout: a client that has lost sight of every broker may not keep even that.
_ANSWER_S = 2 * _TIMEOUT_S
# Kafka's word for: no record as late as that.
_NONE_SINCE = -1
_NO_ANSWER = -1


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
    latest = {TopicPartition(*partition): OffsetSpec.latest()}  # type: ignore[no-untyped-call]
    committed = IsolationLevel.READ_COMMITTED
    try:
        [future] = admin.list_offsets(latest, isolation_level=committed, request_timeout=_STABLE_TIMEOUT_S).values()
        found = int(future.result(_STABLE_TIMEOUT_S + 1).offset)
    except (KafkaException, TimeoutError):
        found = _NO_ANSWER
    if found >= 0:
        return found
    # So that it knows the leader the next time; also where it answers OFFSET_INVALID, as librdkafka may where it has
    # heard of none: no answer excuses a reader, and one that has stopped must not be excused for ever.
    with suppress(KafkaException):
        admin.list_topics(timeout=_STABLE_TIMEOUT_S)
    return None


def offsets_at(admin: AdminClient, partitions: Iterable[Partition], at_ms: int, where: str) -> dict[Partition, int]:
    """The offset of the first record written at or after `at_ms`, or the end where there is none.

    The end is asked for first: what comes between the two questions then lies behind it.
    """
    wanted = list(partitions)
    ends = end_offsets(admin, wanted, where)
    found = _list(admin, wanted, OffsetSpec.for_timestamp(at_ms), where, least=_NONE_SINCE)
    return {place: offset if offset >= 0 else ends[place] for place, offset in found.items()}


def _list(
    admin: AdminClient, partitions: Iterable[Partition], spec: OffsetSpec, where: str, *, least: int = 0
) -> dict[Partition, int]:
    """What is below `least` is no answer."""
    wanted = {TopicPartition(topic, number): spec for topic, number in partitions}
    if not wanted:
        return {}

    def ask() -> dict[Partition, int]:
        futures = admin.list_offsets(wanted, request_timeout=_TIMEOUT_S)
        found = {(place.topic, place.partition): future.result(_ANSWER_S).offset for place, future in futures.items()}
        # Measured: of a partition without a leader librdkafka 2.16 may say OFFSET_INVALID, and no error. Taken for an
        # end, it let an intake begin a job anew that it had published in part.
        if any(offset < least for offset in found.values()):
            raise KafkaException(KafkaError(KafkaError.LEADER_NOT_AVAILABLE))
        return found

    # Measured: after a leader's restart an admin client is answered FENCED_LEADER_EPOCH until its metadata is read
    # anew, which it does by itself only every 5 minutes.
    try:
        return ask_patiently(ask, _TIMEOUT_S, before_again=lambda: admin.list_topics(timeout=_TIMEOUT_S))
    except TimeoutError:
        raise ServiceUnavailable(f"asking {where} for offsets: no answer for {_ANSWER_S:.0f} s") from None
    except KafkaException as error:
        raise translate(error, f"asking for offsets of {next(iter(wanted)).topic}", where) from error
