"""Reading from Kafka as a member of a group. Used from one thread only.

Measured: `consumer_group_metadata()` blocks for ever while another thread polls an idle topic.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeAlias

from confluent_kafka import OFFSET_BEGINNING, OFFSET_STORED, Consumer, KafkaException, TopicPartition
from confluent_kafka import Message as Raw
from confluent_kafka.admin import AdminClient

from stream_infer.errors import ReaderStalled
from stream_infer.kafka.client import client_config
from stream_infer.kafka.errors import translate
from stream_infer.kafka.following import Followers, Following
from stream_infer.kafka.messages import Polled, as_message, as_record, in_runs, runs_of
from stream_infer.kafka.offsets import stable_end
from stream_infer.kafka.patience import ask_patiently
from stream_infer.kafka.stalls import NOWHERE, StallWatch
from stream_infer.pool import DaemonPool
from stream_infer.records import EndOfPartition, Run
from stream_infer.settings import MIB, KafkaSettings

Partition: TypeAlias = tuple[str, int]
_LEAVE_WITHIN_S = 5.0


@dataclass(frozen=True, slots=True)
class Membership:
    """Who we are in the group, as librdkafka passes it to a transaction. Proves no ownership of any partition."""

    raw: Any


class RebalanceListener(Protocol):
    """Told of each change of the assignment, inside `poll`, on its thread. May block up to a drain's deadline."""

    def assigned(self, partitions: Sequence[Partition]) -> None: ...

    def revoked(self, partitions: Sequence[Partition]) -> None:
        """The partitions are still ours until this returns: commit now what has to be."""
        ...

    def lost(self, partitions: Sequence[Partition]) -> None:
        """The partitions are somebody else's already: commit nothing of them."""
        ...


class GroupConsumer:
    """A dynamic member of a classic group, cooperative-sticky, reading committed records only.

    (Measured: static ids delay 1->4->1 workers by 9 s, and under KIP-848 a killed member's id is refused at its
    restart.) A group without a place on a partition is an error, never a silent reset.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        group: str,
        client_id: str,
        listener: RebalanceListener,
        *,
        from_start: bool = False,
        following: Following | None = None,
        prefetch_bytes: int = 64 * MIB,
    ) -> None:
        """`from_start` reads every assigned partition from its beginning: for compacted topics that are state.

        What is `following` a partition comes and goes with it; the group has its place there too. Once
        `prefetch_bytes` lie in its queue it fetches nothing more.
        """
        self._where = kafka.bootstrap
        self._listener = listener
        self._from_start = from_start
        self._taken: set[Partition] = set()
        self._returned: set[Partition] = set()
        self._paused: set[Partition] = set()
        self._ends: dict[Partition, int] = {}
        self._stalls = StallWatch()
        self._has_stalled = False
        self._consumer = Consumer(
            {
                **client_config(kafka, client_id),
                "group.id": group,
                "group.protocol": "classic",
                "partition.assignment.strategy": "cooperative-sticky",
                "session.timeout.ms": int(kafka.session_timeout * 1000),
                "heartbeat.interval.ms": int(kafka.session_timeout * 1000 / 10),
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest" if from_start else "error",
                "fetch.wait.max.ms": 100,
                "queued.max.messages.kbytes": prefetch_bytes // 1024,
                # Of one partition at a time, compressed. Measured with the sink a backlog behind, results compressing
                # well: with the default of 1 MiB it took 301 MiB, with 128 KiB 145.
                "fetch.message.max.bytes": prefetch_bytes // 64,
                # Measured at 120,000 records a second: with the default of 1 s the queue was empty a third of the time.
                "fetch.queue.backoff.ms": 10,
                "queued.min.messages": 20_000,
                "topic.metadata.refresh.interval.ms": 30_000,
            }
        )
        # For what the consumer cannot be asked: inside its callbacks anything, and whether it has stopped reading.
        self._admin = AdminClient(client_config(kafka, client_id))
        self._followers = (
            None if following is None else Followers(following, self._consumer, self._admin, kafka.bootstrap)
        )

    def subscribe(self, topics: Iterable[str]) -> None:
        """Joins the group, or is a member with other topics from now on; without any it leaves. A topic that starts
        with '^' is a pattern."""
        names = list(topics)
        if not names:
            self._consumer.unsubscribe()
            return
        self._consumer.subscribe(names, on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost)

    def poll(self, max_records: int, timeout_s: float) -> list[Polled]:
        """What has come, in order within a partition; waits at most `timeout_s` for the first record.

        Raises TopicMismatch, ServiceUnavailable, ReaderStalled, or what the listener raised.
        """
        return self._records(self._poll(max_records, timeout_s))

    def poll_runs(self, max_records: int, timeout_s: float) -> list[Run | EndOfPartition]:
        """As `poll`, with records that come one after the other in one object."""
        raw = self._poll(max_records, timeout_s)
        if self._taken or any(map(Raw.error, raw)):
            return in_runs(self._records(raw))
        return list(runs_of(raw))

    def _poll(self, max_records: int, timeout_s: float) -> list[Any]:
        try:
            first = self._consumer.poll(timeout_s)
            if first is None:
                self._look_around(time.monotonic())
                return []
            self._taken.clear()
            self._returned.clear()
            return [first, *self._consumer.consume(max_records - 1, 0)] if max_records > 1 else [first]
        except KafkaException as error:
            raise translate(error, "reading", self._where) from error

    def _records(self, raw: Iterable[Any]) -> list[Polled]:
        records: list[Polled] = []
        for one in raw:
            if one.error() is None:
                records.append(as_message(one))
            elif (record := as_record(one, self._where)) is not None:
                self._ends[record.topic, record.partition] = record.offset
                records.append(record)
        return self._without_taken(records) if self._taken else records

    def _without_taken(self, records: list[Polled]) -> list[Polled]:
        """A partition that was taken away during `consume` may have records before that in the batch: nobody may see
        them, since the listener has settled that partition. One that came back in the same call is read anew."""
        if self._returned:
            start = dict.fromkeys(self._returned, OFFSET_BEGINNING)
            self.seek(start if self._from_start else self.committed(list(self._returned)))
        return [record for record in records if (record.topic, record.partition) not in self._taken]

    def membership(self) -> Membership:
        """Who we are now, for a transaction. To be followed by `is_member`, or by a poll and a look at what is ours."""
        return Membership(self._consumer.consumer_group_metadata())

    def is_member(self) -> bool:
        """False from the moment of an expulsion until the listener was told of it.

        A membership taken in that time names nobody, and the broker accepts a commit in nobody's name (measured, see
        groups.py). librdkafka joins again only after the listener has returned, so that one taken before this is True
        names who owns our partitions, or is refused.
        """
        return bool(self._consumer.memberid())

    def _look_around(self, now: float) -> None:
        if self._followers is not None:
            self._followers.renew(now)
        if self._stalls.is_due(now):
            self._look_for_stalls(now)

    def _look_for_stalls(self, now: float) -> None:
        """Called when all that was fetched has been taken: whatever is behind its end then is not being fetched."""
        assigned = [(place.topic, place.partition) for place in self._consumer.assignment()]
        reading = [partition for partition in assigned if partition not in self._paused]
        places = {
            (at.topic, at.partition): max(at.offset, NOWHERE, self._ends.get((at.topic, at.partition), NOWHERE))
            for at in self._consumer.position(_places(reading))
        }
        stalled = self._stalls.look(places, partial(stable_end, self._admin), now)
        if stalled:
            self._has_stalled = True
            named = ", ".join(f"{topic}[{number}]" for topic, number in stalled)
            raise ReaderStalled(f"nothing comes from {named}, though there is something: the reader has to start anew")

    def pause(self, partitions: Sequence[Partition]) -> None:
        self._consumer.pause(_places(partitions))
        self._paused.update(partitions)

    def resume(self, partitions: Sequence[Partition]) -> None:
        self._consumer.resume(_places(partitions))
        self._paused.difference_update(partitions)

    def committed(self, partitions: Sequence[Partition], timeout_s: float = 10.0) -> dict[Partition, int]:
        """The group's place on each partition; a partition without one is left out."""
        try:
            places = ask_patiently(lambda: self._consumer.committed(_places(partitions), timeout=timeout_s), timeout_s)
        except KafkaException as error:
            raise translate(error, "reading a group's offsets", self._where) from error
        return {(place.topic, place.partition): place.offset for place in places if place.offset >= 0}

    def seek(self, offsets: Mapping[Partition, int]) -> None:
        """Reads on from there. What was fetched already is dropped, also where a listener calls this inside `poll`."""
        self._taken.update(offsets)
        for partition in offsets:
            self._ends.pop(partition, None)
        try:
            for (topic, number), offset in offsets.items():
                self._consumer.seek(TopicPartition(topic, number, offset))
        except KafkaException as error:
            raise translate(error, "rewinding", self._where) from error

    def close(self) -> None:
        """Leaves the group; the listener is told of the revocation first.

        One that has stalled may hang here too: it gets 5 s, tells nobody, and then goes with the process.
        """
        if self._has_stalled:
            self._listener = _Nobody()
            pool = DaemonPool(1, "leaving")
            pool.submit(self._consumer.close)
            pool.close(_LEAVE_WITHIN_S)
            return
        try:
            self._consumer.close()
        except KafkaException as error:
            raise translate(error, "leaving a group", self._where) from error

    def _on_assign(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        partitions = [(place.topic, place.partition) for place in places]
        if self._followers is not None:
            partitions += self._followers.take(partitions)
        self._returned.update(self._taken.intersection(partitions))
        for partition in partitions:
            self._ends.pop(partition, None)
            self._paused.discard(partition)
        offset = OFFSET_BEGINNING if self._from_start else OFFSET_STORED
        consumer.incremental_assign([TopicPartition(topic, number, offset) for topic, number in partitions])
        self._listener.assigned(partitions)

    def _on_revoke(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        partitions = self._leaving(places)
        self._listener.revoked(partitions)
        consumer.incremental_unassign(_places(partitions))

    def _on_lost(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        partitions = self._leaving(places)
        self._listener.lost(partitions)
        consumer.incremental_unassign(_places(partitions))

    def _leaving(self, places: Sequence[TopicPartition]) -> list[Partition]:
        partitions = [(place.topic, place.partition) for place in places]
        if self._followers is not None:
            partitions += self._followers.drop(partitions)
        self._taken.update(partitions)
        return partitions


class _Nobody:
    """Told of what becomes of a reader that was given up."""

    def assigned(self, partitions: Sequence[Partition]) -> None:
        pass

    def revoked(self, partitions: Sequence[Partition]) -> None:
        pass

    def lost(self, partitions: Sequence[Partition]) -> None:
        pass


def _places(partitions: Sequence[Partition]) -> list[TopicPartition]:
    return [TopicPartition(topic, number) for topic, number in partitions]
