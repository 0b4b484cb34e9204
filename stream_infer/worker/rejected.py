"""Says in a job's log what was rejected: few lines, however many items."""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from stream_infer.records import Failure
from stream_infer.telemetry.rejections import Kind, RejectionDigest
from stream_infer.trace_context import read_context
from stream_infer.worker.held import Prefix, Stretch

_LONGEST_ID = 256
_LOG = structlog.get_logger(__name__)


class RejectedLog:
    """Told of what has been committed; `now` in seconds of a clock that never goes back."""

    def __init__(self) -> None:
        self._digest = RejectionDigest()

    def delivered(self, prefixes: Iterable[Prefix], now: float) -> None:
        for prefix in prefixes:
            for entry in prefix.parts:
                # Whoever may send items may name any number of jobs: of one that nobody submitted nothing is said.
                if isinstance(entry, Stretch) or entry.jobless or not isinstance(entry.ended, Failure):
                    continue
                item, failure = entry.item, entry.ended
                if item is not None and item.job_id is not None:
                    kind = Kind(item.job_id, failure.stage.value, failure.exception)
                    trace = read_context(item.traceparent)
                    trace_id = None if trace is None else trace.trace_id
                    self._digest.add(kind, item.item_id[:_LONGEST_ID], failure.message, trace_id)
        self.say(now)

    def say(self, now: float, *, at_once: bool = False) -> None:
        """What is due; `at_once`: all of it, at the end."""
        for one in self._digest.due(now, at_once=at_once):
            _LOG.warning(
                "items_rejected",
                job_id=one.kind.job_id,
                items=one.count,
                stage=one.kind.stage,
                exception=one.kind.exception,
                for_example=one.item_id,
                message=one.message,
                **({} if one.trace_id is None else {"trace_id": one.trace_id}),
            )
