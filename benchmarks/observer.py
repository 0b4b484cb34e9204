"""When results became visible, and whether each came once. Watches from outside, at hardly any cost to who is watched.

While a contestant works, only the last stable offset of each result partition is asked for, every 10 ms (or as told:
each time takes the broker and us a millisecond, which a model on all cores would have used): what lies
below it is committed and visible to any read_committed reader. Afterwards the results are read, which says how many
records there are, which keys they have, and behind which offset the last one of each partition stands; the first sample
beyond those is the time of the end. Records' own timestamps would not do: they are set when a record is produced, which
for a worker that builds its records at commit is late for the first and for a loop that produces as it goes is early
for the last.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka._model import IsolationLevel
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec

from benchmarks.load import PARTITIONS

EVERY_S = 0.01
_STILL_S = 0.3
_ANSWER_S = 10.0

Ends = dict[int, int]


class Unfinished(Exception):
    """A contestant has not delivered everything in time."""


@dataclass(frozen=True, slots=True)
class Seen:
    """The moment of the last committed result on the monotonic clock, and how many results came more than once."""

    finished_at: float
    duplicates: int


class Observer:
    """Watches the results topic of one run."""

    def __init__(self, bootstrap: str, topic: str, every_s: float = EVERY_S) -> None:
        self._every_s = every_s
        self._admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
        self._places = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "log_level": 0,
                "group.id": "bench-observer",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "isolation.level": "read_committed",
            }
        )
        self._consumer.assign([TopicPartition(topic, place.partition, OFFSET_BEGINNING) for place in self._places])
        self._consumer.pause(self._places)
        self._reached: Ends = dict.fromkeys(range(PARTITIONS), 0)
        self._last: Ends = dict.fromkeys(range(PARTITIONS), -1)
        self._keys: set[bytes] = set()
        self._records = 0
        self._history: list[tuple[float, Ends]] = [(time.monotonic(), dict.fromkeys(range(PARTITIONS), 0))]
        self._stop = threading.Event()
        self._sampler = threading.Thread(target=self._sample, name="observer", daemon=True)

    def __enter__(self) -> Self:
        self._sampler.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stop.set()
        self._sampler.join()
        self._consumer.close()

    def wait_for(self, keys: int, timeout_s: float, may_go_on: Callable[[], bool]) -> Seen:
        """Until `keys` different results are committed, all told. Raises Unfinished."""
        deadline = time.monotonic() + timeout_s
        looked_at = 0.0
        while True:
            time.sleep(self._every_s)
            changed_at, ends = self._history[-1]
            still = time.monotonic() - max(changed_at, looked_at) >= _STILL_S
            # Markers of transactions count as offsets, so that many are needed and may not be enough.
            if still and sum(ends.values()) >= keys:
                self._read(ends)
                looked_at = time.monotonic()
            if len(self._keys) >= keys and self._has_sampled_the_last():
                return Seen(self._end(), self._records - len(self._keys))
            if time.monotonic() > deadline or not may_go_on():
                why = "in time" if may_go_on() else "before it ended"
                raise Unfinished(f"{len(self._keys)} of {keys} results, up to {sum(ends.values())} offsets, {why}")

    def _sample(self) -> None:
        """Notes each change of the last stable offsets; on a thread, so that reading does not hide one."""
        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        asked = dict.fromkeys(self._places, latest)
        _, ends = self._history[-1]
        while not self._stop.wait(self._every_s):
            # Measured at load 200: a broker that has fenced itself for a moment answers FENCED_LEADER_EPOCH.
            with suppress(KafkaException, TimeoutError):
                answers = self._admin.list_offsets(
                    asked, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=_ANSWER_S
                )
                ends = {place.partition: future.result(2 * _ANSWER_S).offset for place, future in answers.items()}
            if ends != self._history[-1][1]:
                self._history.append((time.monotonic(), ends))

    def _read(self, ends: Ends) -> None:
        """Everything below `ends`."""
        self._consumer.resume(self._places)
        deadline = time.monotonic() + 120.0
        while any(self._reached[number] < end for number, end in ends.items()):
            if time.monotonic() > deadline:
                raise Unfinished(f"the observer has read up to {self._reached} of {ends}")
            for message in self._consumer.consume(20_000, 0.05):
                error, number, offset = message.error(), message.partition(), message.offset()
                assert number is not None and offset is not None
                if error is not None:
                    if error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001 - librdkafka's name
                        raise Unfinished(str(error))
                    self._reached[number] = offset
                    continue
                self._reached[number] = offset + 1
                self._last[number] = offset
                self._records += 1
                self._keys.add(message.key() or b"")
        self._consumer.pause(self._places)

    def _has_sampled_the_last(self) -> bool:
        """What was read may have been committed since the last sample."""
        _, ends = self._history[-1]
        return all(ends[number] > last for number, last in self._last.items())

    def _end(self) -> float:
        return max(next(at for at, ends in self._history if ends[number] > last) for number, last in self._last.items())
