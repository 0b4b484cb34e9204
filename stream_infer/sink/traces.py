"""What a sink puts for items that bear a sampled `traceparent`, told as spans; made only where somebody traces.

flush …  from the closing of the buffers of a partition to the transaction that makes the objects count
  put    one object
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from stream_infer.headers import Header
from stream_infer.kafka.consumer import Partition
from stream_infer.kafka.messages import Polled
from stream_infer.records import EndOfPartition
from stream_infer.sink.flush import FlushPlan
from stream_infer.telemetry.tracing import Kind, Span, begin_batch, messaging

_TRACEPARENT = Header.TRACEPARENT.value
_MOST_SEEN = 1024


class FlushTraces:
    """Which traces lie in the buffer of each partition. Used from the polling thread."""

    def __init__(self) -> None:
        self._seen: dict[Partition, set[bytes]] = {}

    def saw(self, polled: Iterable[Polled]) -> None:
        """What was read and thrown away, since its partition is rewinding, may be told of once too often."""
        for record in polled:
            if isinstance(record, EndOfPartition):
                continue
            for name, value in record.headers:
                if name == _TRACEPARENT and value:
                    seen = self._seen.setdefault((record.topic, record.partition), set())
                    if len(seen) < _MOST_SEEN:
                        seen.add(value)

    def begin(self, plan: FlushPlan, owned: Collection[Partition]) -> Span:
        """What lay in partitions that are not `owned` any more is another sink's to tell."""
        self._seen = {partition: seen for partition, seen in self._seen.items() if partition in owned}
        topic, partition = plan.partition
        records = sum(len(planned.lines) for planned in plan.objects)
        attributes = messaging("flush", "process", topic, records) | {
            "messaging.destination.partition.id": str(partition),
            "stream_infer.api": plan.outlet.api,
            "stream_infer.objects": len(plan.objects),
        }
        return begin_batch(f"flush {topic}", Kind.CONSUMER, self._seen.pop(plan.partition, ()), attributes)
