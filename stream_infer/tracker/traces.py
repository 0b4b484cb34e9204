"""What a tracker folds for jobs that bear a sampled `traceparent`, told as spans; made only where somebody traces.

fold …  of one partition: the transaction that writes the rows that have changed, and the group's place
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from stream_infer.telemetry.tracing import Kind, begin_batch, messaging
from stream_infer.tracker.rows import Changes


class FoldTraces:
    """Asked once a transaction."""

    def __init__(self, topic: str) -> None:
        """`topic`: what is folded."""
        self._topic = topic

    @contextmanager
    def writing(self, partition: int, changes: Changes) -> Iterator[None]:
        """While the block runs, which is the transaction."""
        rows = [row for row in changes.rows.values() if row is not None]
        traceparents = [row.traceparent for row in rows if row.traceparent is not None]
        attributes = messaging("fold", "process", self._topic, changes.events) | {
            "messaging.destination.partition.id": str(partition),
            "stream_infer.jobs": len(rows),
            **({"stream_infer.job.id": rows[0].job_id} if len(rows) == 1 else {}),
        }
        span = begin_batch(f"fold {self._topic}", Kind.CONSUMER, traceparents, attributes)
        try:
            yield
        except BaseException as error:
            span.fail(type(error).__qualname__, str(error))
            raise
        finally:
            span.end()
