"""A step that is being taken: a try at a time on a thread of its lane, which has the thread back between two."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeAlias

import structlog

from stream_infer.errors import ServiceUnavailable
from stream_infer.kafka.consumer import Partition
from stream_infer.records import OutgoingRecord
from stream_infer.sink.backlog import Backlog, Task
from stream_infer.sink.backoff import Backoff
from stream_infer.sink.outputs import PATIENCE_S
from stream_infer.sink.puts import OutputUnavailable

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Waits:
    """For `place`, which is away, or where that is None for a service, `since` in monotonic seconds; `reason` is what
    the last try said.
    """

    place: str | None
    since: float
    reason: str

    def words(self, now: float, at: float) -> str:
        """For its job's status. It is `now` in monotonic seconds, and `at` in seconds since the epoch."""
        since = datetime.fromtimestamp(at - (now - self.since), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        if self.place is None:
            return f"the sink waits since {since}: {self.reason}"
        return f"the sink waits for {self.place} since {since}, {PATIENCE_S / 60:.0f} min at most: {self.reason}"


@dataclass(slots=True, eq=False)
class Attempt:
    """Its records are committed only while `backlog` is still the partition's own. `told`: what its job's status says
    that it waits for.
    """

    partition: Partition
    backlog: Backlog
    task: Task
    waits: Waits | None = None
    told: Waits | None = None
    cancelled: threading.Event = field(default_factory=threading.Event)
    _backoff: Backoff = field(default_factory=Backoff)
    _future: Future[list[OutgoingRecord]] | None = None

    @property
    def is_trying(self) -> bool:
        return self._future is not None

    @property
    def away_since(self) -> float | None:
        """When its place was first found away, in monotonic seconds, and nothing else since: what our own store keeps
        waiting costs the place none of the patience that there is with it.
        """
        return self.waits.since if self.waits is not None and self.waits.place is not None else None

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
        place = self.task.output if isinstance(error, OutputUnavailable) else None
        since = self.waits.since if self.waits is not None and self.waits.place == place else now
        self.waits = Waits(place, since, str(error))
        delay = self._backoff.failed(now)
        log.warning("finalizing_waits", job_id=self.task.status.job_id, error=str(error), retry_in_s=delay)
        self._future = None
        return False

    def records(self) -> list[OutgoingRecord]:
        """Of one that is over. Raises what ended it, where that is nobody's absence."""
        assert self._future is not None
        return self._future.result()


Start: TypeAlias = Callable[[Attempt], "Future[list[OutgoingRecord]]"]
