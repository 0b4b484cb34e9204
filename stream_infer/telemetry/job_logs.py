"""What is said about a job goes to `{p}.logs` as well: a predictor's lines, and a role's events that bear a job id.

    line(), events --budget--> queue --thread--> redacted, cut --LogPublisher--> {p}.logs

Nothing here may hold up or break the work: with Kafka away, or under a flood, lines are dropped and counted.
"""

from __future__ import annotations

import logging
import queue
import socket
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Protocol

import structlog

from stream_infer.jobs.log_lines import FIELD_BYTES, LogLine, cut, encode_line
from stream_infer.kafka.log_publisher import LogPublisher
from stream_infer.records import OutgoingRecord
from stream_infer.redaction import redact, redact_text
from stream_infer.settings import KafkaSettings
from stream_infer.telemetry.job_events import JobEvents
from stream_infer.telemetry.line_budget import LineBudget, LinePolicy
from stream_infer.topics import Topics

CLOSE_TIMEOUT_S = 2.0
_FLUSH_S = 1.5
_QUEUED_LINES = 2_000  # of at most 8 KiB
_AT_A_TIME = 200
_LOOK_EVERY_S = 0.2
_COMPLAIN_EVERY_S = 30.0
_POLICY = LinePolicy()
_LOG = structlog.get_logger(__name__)


class Publishing(Protocol):
    """What LogPublisher does."""

    def offer(self, record: OutgoingRecord) -> bool: ...

    def poll(self, timeout_s: float) -> None: ...

    def close(self, timeout_s: float) -> None: ...


NewPublisher = Callable[[Callable[[bytes | None], None]], Publishing]


class JobLog:
    """Takes lines from any thread and publishes them from one of its own. No method but `close` blocks; none raises.

    The thread makes the producer at once: measured, the first line of a fresh one takes 0.5 s, of one that is connected
    5 ms.
    """

    def __init__(
        self,
        topic: str,
        new_publisher: NewPublisher,
        *,
        role: str,
        who: str,
        policy: LinePolicy = _POLICY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`role` and `who` (the process) stand in every line."""
        self.role = role
        self.who = who
        self._topic = topic
        self._new_publisher = new_publisher
        self._publisher: Publishing | None = None
        self._clock = clock
        self._budget = LineBudget(policy)
        # Reentrant: a finalizer or a signal's handler may log at any moment, in the thread that holds it.
        self._lock = threading.RLock()
        self._queue: queue.SimpleQueue[LogLine | None] = queue.SimpleQueue()
        self._lost = 0
        self._complained_at = float("-inf")
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="job-log", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def line(self, job_ids: Collection[str], text: str) -> None:
        """What the predictor has printed while it had items of these jobs. Of no job: nothing happens."""
        if not job_ids or not text.strip():
            return
        at, text = time.time(), cut(text)
        for job_id in job_ids:
            if self.admits(job_id):
                self.put(
                    LogLine(at=at, job_id=cut(job_id), role=self.role, who=self.who, line=text, source="predictor")
                )

    def admits(self, job_id: str) -> bool:
        """Whether a line of the job is to be `put`: within its rate, and with room. If not, it counts as dropped."""
        with self._lock:
            if not self._budget.take(job_id, self._clock()):
                return False
            if self._queue.qsize() < _QUEUED_LINES:
                return True
            self._count_lost(job_id)
            return False

    def put(self, line: LogLine) -> None:
        self._queue.put(line)

    def close(self) -> None:
        """Waits at most 2 s for what is on its way."""
        self._closing.set()
        self._queue.put(None)
        if self._thread.is_alive():
            self._thread.join(CLOSE_TIMEOUT_S)

    # The thread's own.

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                self._turn()
            except Exception:  # noqa: BLE001 - the work goes on without its job log
                _LOG.exception("job_log_failed")
                self._closing.wait(_LOOK_EVERY_S)
        while not self._queue.empty():
            self._publish(self._queue.get_nowait())
        self._say_what_was_dropped(at_once=True)
        self._connected().close(_FLUSH_S)
        if self._lost:
            _complain(self._lost)

    def _turn(self) -> None:
        publisher = self._connected()
        try:
            self._publish(self._queue.get(timeout=_LOOK_EVERY_S))
            for _ in range(_AT_A_TIME):
                self._publish(self._queue.get_nowait())
        except queue.Empty:
            pass
        publisher.poll(0)
        self._say_what_was_dropped(at_once=False)

    def _connected(self) -> Publishing:
        if self._publisher is None:
            self._publisher = self._new_publisher(lambda key: self._count_lost((key or b"").decode(errors="replace")))
        return self._publisher

    def _publish(self, line: LogLine | None) -> None:
        if line is not None and not self._offer(line):
            self._count_lost(line.job_id)

    def _offer(self, line: LogLine) -> bool:
        value = encode_line(without_secrets(line))
        return self._connected().offer(OutgoingRecord(self._topic, line.job_id.encode(), value))

    def _say_what_was_dropped(self, *, at_once: bool) -> None:
        now = self._clock()
        with self._lock:
            dropped = self._budget.take_dropped(now, at_once=at_once)
            lost = self._lost if now - self._complained_at >= _COMPLAIN_EVERY_S else 0
            self._lost -= lost
        for job_id, lines in dropped.items():
            said = f"… {lines} {'line' if lines == 1 else 'lines'} dropped"
            told = LogLine(at=time.time(), job_id=cut(job_id), role=self.role, who=self.who, level="warning", line=said)
            if not self._offer(told):
                with self._lock:
                    self._budget.drop(job_id, lines)
        if lost:
            self._complained_at = now
            _complain(lost)

    def _count_lost(self, job_id: str) -> None:
        with self._lock:
            self._budget.drop(job_id)
            self._lost += 1


def _complain(lines: int) -> None:
    _LOG.warning("job_log_lines_lost", lines=lines, reason="Kafka does not take them; they stand in this log")


def without_secrets(line: LogLine) -> LogLine:
    """The line as it may be published, and no longer than it may be."""
    fields = {
        name: cut(value, FIELD_BYTES) if isinstance(value := redact(name, given), str) else value
        for name, given in line.fields.items()
    }
    return line.model_copy(update={"line": cut(redact_text(line.line)), "fields": fields})


@contextmanager
def job_log(kafka: KafkaSettings, role: str, slot: str | None = None) -> Iterator[JobLog]:
    """A role's JobLog for as long as it serves; also takes this process's events of INFO and above with a `job_id`.

    `slot` is the name of the role's slot; a role without one is called by its host.
    """
    topics = Topics(kafka.topic_prefix)
    who = f"{role}.{socket.gethostname()}" if slot is None else slot.removeprefix(f"{kafka.topic_prefix}.")
    log = JobLog(topics.logs, lambda on_lost: LogPublisher(kafka, f"logs-{who}", on_lost), role=role, who=who)
    log.start()
    events = JobEvents(log)
    logging.getLogger().addHandler(events)
    try:
        yield log
    finally:
        logging.getLogger().removeHandler(events)
        log.close()
