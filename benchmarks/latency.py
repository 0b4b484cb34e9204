"""From producing an item to its committed result in a reader's hands, at a steady rate that nobody has trouble with.

Everybody has the same batch size (the worker's default of 32), the same wait for a batch (20 ms) and the same commit
policy: at once when it has caught up, else every 200 ms. An item's time begins when it was due to be produced, so that
a producer that is late cannot hide a stall.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition

from benchmarks.bench import NULL_API, Bench, Lane
from benchmarks.contest import Announce, Conditions, warm
from benchmarks.contestants import BY_HAND_TX, OURS, Contestant, handwritten
from benchmarks.load import PARTITIONS, JsonLoad
from benchmarks.observer import Unfinished
from benchmarks.report import Summary, median_and_spread, ratio, table

RATE = 100.0
ITEMS = 1500
BATCH = 32
_WARM_UP_ITEMS = 500
_LEAD_S = 1.0
_PATIENCE_S = 30.0
_LOAD = JsonLoad(1, 100)
_API: dict[str, Any] = {**NULL_API, "batching": {"max_batch_size": BATCH}}
CONTESTANTS: Sequence[Contestant] = (OURS, replace(BY_HAND_TX, command=handwritten("--batch", str(BATCH))))


@dataclass(frozen=True, slots=True)
class Delays:
    """Percentiles, in milliseconds."""

    p50: float
    p99: float
    worst: float


@dataclass(frozen=True, slots=True)
class LatencyResult:
    """One entry a round for each contestant."""

    delays: dict[str, list[Delays]]

    def summarise(self, summary: Summary) -> None:
        ours, theirs = (self.p99(one.name) for one in CONTESTANTS)
        summary.latency_vs_handwritten_p99 = ratio(ours, theirs)

    def p99(self, name: str) -> list[float]:
        return [delays.p99 for delays in self.delays[name]]

    def text(self) -> str:
        rows = [
            [
                name,
                median_and_spread([one.p50 for one in delays], 1),
                median_and_spread([one.p99 for one in delays], 1),
                median_and_spread([one.worst for one in delays], 1),
            ]
            for name, delays in self.delays.items()
        ]
        return table([f"at {RATE:.0f} items/s", "p50 ms", "p99 ms", "worst ms"], rows)


def measure(bench: Bench, items: int, rounds: int, announce: Announce) -> LatencyResult:
    announce(f"latency, {items:,} items at {RATE:.0f}/s")
    delays: dict[str, list[Delays]] = {one.name: [] for one in CONTESTANTS}
    conditions = Conditions(lambda _: _LOAD, api=_API, warm_up_items=_WARM_UP_ITEMS)
    for number in range(rounds):
        for one in CONTESTANTS if number % 2 == 0 else CONTESTANTS[::-1]:
            with warm(bench, one, conditions) as (lane, _, _):
                found = percentiles(_delays(lane, items))
            delays[one.name].append(found)
            announce(f"  round {number + 1}: {one.name} p50 {found.p50:.1f} ms, p99 {found.p99:.1f} ms")
    return LatencyResult(delays)


def percentiles(seconds: Sequence[float]) -> Delays:
    hundredths = statistics.quantiles(seconds, n=100)
    return Delays(hundredths[49] * 1000, hundredths[98] * 1000, max(seconds) * 1000)


def _delays(lane: Lane, items: int) -> list[float]:
    """Of each item but those of the first second."""
    reader = _reader(lane)
    lead = int(RATE * _LEAD_S)
    begin = time.monotonic() + 0.2
    due = [begin + number / RATE for number in range(lead + items)]
    feeder = threading.Thread(target=_feed, args=(lane, due), daemon=True)
    feeder.start()
    arrived: dict[int, float] = {}
    deadline = due[-1] + _PATIENCE_S
    try:
        while len(arrived) < len(due):
            for message in reader.consume(100, 0.05):
                now = time.monotonic()
                key = message.key() or b""
                if message.error() is None and key.isdigit():
                    arrived.setdefault(int(key), now)
            if time.monotonic() > deadline:
                raise Unfinished(f"{len(arrived)} of {len(due)} results came")
    finally:
        reader.close()
        feeder.join()
    return [arrived[number] - at for number, at in enumerate(due)][lead:]


def _reader(lane: Lane) -> Consumer:
    """Reads what is committed from now on. Has read to the end when it is handed over."""
    reader = Consumer(
        {
            "bootstrap.servers": lane.bootstrap,
            "group.id": "bench-latency",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "fetch.wait.max.ms": 100,
        }
    )
    places = [TopicPartition(lane.target, number) for number in range(PARTITIONS)]
    for place in places:
        _, place.offset = reader.get_watermark_offsets(place, timeout=10.0)
    reader.assign(places)
    reader.consume(1, 0.5)
    return reader


def _feed(lane: Lane, due: Sequence[float]) -> None:
    producer = Producer({"bootstrap.servers": lane.bootstrap, "linger.ms": 0})
    for number, at in enumerate(due):
        time.sleep(max(0.0, at - time.monotonic()))
        producer.produce(lane.source, _LOAD.value(number), str(number).encode(), number % PARTITIONS)
        producer.poll(0)
    producer.flush()
