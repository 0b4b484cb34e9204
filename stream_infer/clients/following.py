"""Following a job's lines from stream to stream: what to ask for next, and when to give up. No I/O."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from stream_infer.clients import calls
from stream_infer.clients.call import Request
from stream_infer.clients.lines import EventReader
from stream_infer.errors import ServiceUnavailable
from stream_infer.gateway.representations import LogLineBody

PATIENCE_S = 60.0
AGAIN_AFTER_S = 0.5


@dataclass(slots=True)
class LogFollower:
    """Everything said about a job until it has ended.

    A gateway that goes away meanwhile is waited for, up to a minute; one that never was there is not.
    """

    job_id: str
    now: Callable[[], float] = time.monotonic
    has_ended: bool = False
    _after: str | None = None
    _heard_at: float | None = None
    _events: EventReader = field(default_factory=EventReader)

    def request(self) -> Request:
        """The next stream."""
        self._events = EventReader()
        return calls.follow_logs(self.job_id, self._after)

    def take(self, raw: bytes) -> LogLineBody | None:
        """What a line of the stream says."""
        event = self._events.take(raw)
        if event is None:
            return None
        self._heard_at = self.now()
        if event.name == "end":
            self.has_ended = True
            return None
        self._after = event.id or self._after
        return LogLineBody.model_validate_json(event.data) if event.data else None

    def stream_ended(self) -> None:
        """It is asked for again, from where it was."""
        self._heard_at = self.now() if self._heard_at is None else self._heard_at

    def require_patience(self, error: ServiceUnavailable) -> None:
        """Raises `error` where it has been so long enough."""
        if self._heard_at is None or self.now() - self._heard_at > PATIENCE_S:
            raise error
