"""A step that is being taken: a try at a time on a thread of its lane, which has the thread back between two."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TypeAlias

import structlog

from stream_infer.errors import ServiceUnavailable
from stream_infer.kafka.consumer import Partition
from stream_infer.records import OutgoingRecord
from stream_infer.sink.backlog import Backlog, Task
from stream_infer.sink.backoff import Backoff
from stream_infer.sink.puts import OutputUnavailable

log = structlog.get_logger(__name__)


@dataclass(slots=True, eq=False)
class Attempt:
    """Its records are committed only while `backlog` is still the partition's own.

    `away_since`, in monotonic seconds: when a try first failed since its place is away, and none since for a service's
    sake: what our own store keeps waiting costs the place none of the patience that there is with it.
    """

    partition: Partition
    backlog: Backlog
    task: Task
    away_since: float | None = None
    cancelled: threading.Event = field(default_factory=threading.Event)
    _backoff: Backoff = field(default_factory=Backoff)
    _future: Future[list[OutgoingRecord]] | None = None

    @property
    def is_trying(self) -> bool:
        return self._future is not None

    def go_on(self, start: Start, now: float) -> None:
        """Begins it, or tries it again, where its time has come."""
        if self._future is None and now >= self._backoff.not_before:
            self._future = start(self)

    def is_over(self, now: float) -> bool:
        """Whether its records are there. A try that failed since a service or a place is away is as if it had never
        been, and another one comes later.
        """
        if self._future is None or not self._future.done():
            return False
        error = self._future.exception()
        if not isinstance(error, ServiceUnavailable | OutputUnavailable):
            return True
        if isinstance(error, ServiceUnavailable):
            self.away_since = None
        elif self.away_since is None:
            self.away_since = now
        delay = self._backoff.failed(now)
        log.warning("finalizing_waits", job_id=self.task.status.job_id, error=str(error), retry_in_s=delay)
        self._future = None
        return False

    def records(self) -> list[OutgoingRecord]:
        """Of one that is over. Raises what ended it, where that is nobody's absence."""
        assert self._future is not None
        return self._future.result()


Start: TypeAlias = Callable[[Attempt], "Future[list[OutgoingRecord]]"]
