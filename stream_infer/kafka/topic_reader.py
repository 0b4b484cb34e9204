"""Reading a topic without a group, from where the reader likes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from stream_infer.errors import ServiceUnavailable, StreamInferError
from stream_infer.kafka.client import client_config
from stream_infer.kafka.errors import translate
from stream_infer.kafka.messages import as_record
from stream_infer.kafka.offsets import end_offsets, first_offsets, offsets_at, stable_end
from stream_infer.kafka.stalls import StallWatch
from stream_infer.pool import DaemonPool
from stream_infer.records import Message
from stream_infer.settings import KafkaSettings

log = structlog.get_logger(__name__)
_QUERY_TIMEOUT_S = 10.0


class TopicReader:
    """Reads partitions of a topic from `start` on, without a group, committed records only. One thread uses it."""

    def __init__(
        self,
        kafka: KafkaSettings,
        topic: str,
        partitions: Sequence[int] | None = None,
        *,
        start: int = OFFSET_BEGINNING,
        hold_s: float = 0.05,
    ) -> None:
        """`partitions` None means all. The broker holds a fetch that finds nothing for `hold_s`: records come at once
        all the same, but that the end is reached is known only then. Raises TopicMismatch or ServiceUnavailable."""
        self._where = kafka.bootstrap
        self._topic = topic
        self._kafka = kafka
        self._hold_s = hold_s
        self._consumer = self._new_consumer()
        self._stalls = StallWatch()
        self._failure: StreamInferError | None = None
        self._admin = AdminClient(client_config(kafka, f"read-{topic}"))
        try:
            # Also where they are given. Measured: librdkafka looks at once for the leader of what is assigned; where
            # it has not heard of one yet, it waits for 0.5 s.
            known = self._all_partitions()
            numbers = known if partitions is None else partitions
            self._assign(dict.fromkeys(numbers, start))
        except BaseException:
            self._consumer.close()
            raise
        # Where reading has come to: past the last record seen, or at an end-of-partition event, which counts the
        # transaction markers that records do not.
        self._reached = dict.fromkeys(numbers, 0)

    def _new_consumer(self) -> Consumer:
        return Consumer(
            {
                **client_config(self._kafka, f"read-{self._topic}"),
                "group.id": f"read-{self._topic}",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": int(self._hold_s * 1000),
                "topic.metadata.refresh.interval.ms": 30_000,
            }
        )

    def _assign(self, starts: Mapping[int, int]) -> None:
        self._consumer.assign([TopicPartition(self._topic, number, offset) for number, offset in starts.items()])

    def _all_partitions(self) -> list[int]:
        try:
            metadata = self._consumer.list_topics(self._topic, timeout=_QUERY_TIMEOUT_S).topics[self._topic]
        except KafkaException as error:
            raise translate(error, f"looking up topic {self._topic}", self._where) from error
        if metadata.error is not None:
            raise translate(metadata.error, f"looking up topic {self._topic}", self._where)
        return sorted(metadata.partitions)

    def start_at(self, at: float) -> dict[int, int]:
        """Reads on from what was written at or after `at`, in seconds since the epoch by the writers' clocks; answers
        at which offsets."""
        places = ((self._topic, number) for number in self._reached)
        found = offsets_at(self._admin, places, int(at * 1000), self._where)
        starts = {number: offset for (_, number), offset in found.items()}
        self._assign(starts)
        self._reached = dict(starts)
        return starts

    def starts(self) -> dict[int, int]:
        """The first offset that retention has left in each partition: what lay before it is gone."""
        starts = first_offsets(self._admin, ((self._topic, number) for number in self._reached), self._where)
        return {number: start for (_, number), start in starts.items()}

    def ends(self) -> dict[int, int]:
        """The log end of each partition now: at or behind everything committed so far, whoever else is writing."""
        ends = end_offsets(self._admin, ((self._topic, number) for number in self._reached), self._where)
        return {number: end for (_, number), end in ends.items()}

    def has_reached(self, ends: dict[int, int]) -> bool:
        return all(self._reached[number] >= end for number, end in ends.items())

    def poll(self, timeout_s: float, max_records: int = 1000) -> list[Message]:
        """Records that have come; waits at most `timeout_s` for the first.

        What came beside a fault is handed out first, and the fault raised by the next call: nothing that has been read
        is dropped.
        """
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        try:
            first = self._consumer.poll(timeout_s)
            if first is None:
                self._look_for_stalls()
                return []
            raw = [first, *self._consumer.consume(max_records, 0)]
        except KafkaException as error:
            raise translate(error, f"reading {self._topic}", self._where) from error
        messages = []
        for one in raw:
            try:
                record = as_record(one, self._where)
            except StreamInferError as error:
                self._failure = error
                continue
            if isinstance(record, Message):
                messages.append(record)
                self._reached[record.partition] = record.offset + 1
            elif record is not None:
                self._reached[record.partition] = record.offset
        return messages

    def _look_for_stalls(self) -> None:
        """Goes on with a new consumer where librdkafka has stopped reading."""
        now = time.monotonic()
        if not self._stalls.is_due(now):
            return
        places = {(self._topic, number): offset for number, offset in self._reached.items()}
        stalled = self._stalls.look(places, partial(stable_end, self._admin), now)
        if stalled:
            log.warning("reader_stalled", topic=self._topic, partitions=[number for _, number in stalled])
            DaemonPool(1, "closing").submit(self._consumer.close)  # it may hang
            self._consumer = self._new_consumer()
            self._stalls = StallWatch()
            self._assign(self._reached)

    def read_to_end(self, timeout_s: float = 60.0) -> list[Message]:
        """Every record below the end that the broker names now. Raises ServiceUnavailable at the timeout."""
        return list(self.read_on(timeout_s))

    def read_on(self, timeout_s: float = 60.0) -> Iterator[Message]:
        """As `read_to_end`, one by one: for who keeps little of each."""
        deadline = time.monotonic() + timeout_s
        ends = self.ends()
        while not self.has_reached(ends):
            if time.monotonic() > deadline:
                raise ServiceUnavailable(f"reading {self._topic} to its end took more than {timeout_s:.0f} s")
            yield from self.poll(0.1)

    def close(self) -> None:
        self._consumer.close()
