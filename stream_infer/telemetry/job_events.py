"""structlog's events that bear a `job_id`, handed to the job's log."""

from __future__ import annotations

import json
import logging
import math
import sys
import time
from collections.abc import Mapping
from typing import Any, Protocol

from stream_infer.jobs.log_lines import FIELD_BYTES, FIELDS_KEPT, LogLine, Scalar, cut

_SAID_ELSEWHERE = frozenset(
    {"event", "job_id", "item_id", "level", "logger", "timestamp", "role", "slot", "exc_info", "stack_info", "span_id"}
)


class EventLog(Protocol):
    """What of a JobLog is needed here."""

    role: str
    who: str

    def admits(self, job_id: str) -> bool: ...

    def put(self, line: LogLine) -> None: ...


class JobEvents(logging.Handler):
    """For the root logger. Events of librdkafka and other libraries name no job, so the publisher never hears itself.

    A handler rather than a structlog processor: loggers keep the processors that they first met.
    """

    def __init__(self, log: EventLog) -> None:
        super().__init__(logging.INFO)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        event: Any = record.msg
        if not isinstance(event, Mapping) or not event.get("job_id"):
            return
        try:
            job_id = cut(str(event["job_id"]))
            if self._log.admits(job_id):
                self._log.put(line_of(event, job_id, role=self._log.role, who=self._log.who))
        except Exception:  # noqa: BLE001 - whoever logs must not be hurt by it
            self.handleError(record)


def line_of(event: Mapping[str, Any], job_id: str, *, role: str, who: str) -> LogLine:
    """The event as a line of the job's log; of an exception its last line."""
    told = {name: value for name, value in event.items() if name not in _SAID_ELSEWHERE and value is not None}
    kept = {name: value for name, value in list(told.items())[:FIELDS_KEPT] if not name.startswith("_")}
    error = sys.exc_info()[1] if event.get("exc_info") is True else None
    if error is not None:
        kept["error"] = f"{type(error).__name__}: {error}"
    item_id = event.get("item_id")
    return LogLine(
        at=time.time(),
        job_id=job_id,
        role=role,
        who=who,
        level=str(event.get("level", "info")),
        line=cut(str(event.get("event", ""))),
        fields={cut(name, 100): _scalar(value) for name, value in kept.items()},
        item_id=None if item_id is None else cut(str(item_id)),
    )


def _scalar(value: Any) -> Scalar:
    if isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    return cut(text, FIELD_BYTES)
