"""The loop of a batch: files read ahead, through the engine, and written in order.

    Reader (threads) -> Engine (child) -> Order -> results, errors

All but the reading happens in the thread that calls `run`.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

import structlog

from stream_infer.batch.judgement import Alarm, Attempts
from stream_infer.batch.lines import error_line, result_line, stamp
from stream_infer.batch.order import Line, Order, in_stretches
from stream_infer.batch.reading import Read, Reader
from stream_infer.batch.written import LinesFile
from stream_infer.engine.engine import Engine
from stream_infer.engine.keeper import State
from stream_infer.engine.task import AlikeAnswers, AlikeTasks, Answer, Task
from stream_infer.errors import PredictorUnavailable, StreamInferError
from stream_infer.records import Failure, Output, Payload

_LOG = structlog.get_logger(__name__)
_LOOK_EVERY_S = 0.5
# Of a predictor that was there and is not any more: it is started again and again meanwhile.
_PATIENCE_S = 60.0
_MOST_STACKS = 50


class Interrupted(Exception):
    """The run was told to end at once. What is written counts."""


@dataclass(slots=True)
class Wish:
    """What whoever interrupts wants: `drain` takes no more files, `leave` ends at once. Made from a signal's handler;
    `on_change` wakes whoever has to look."""

    drain: bool = False
    leave: bool = False
    on_change: Callable[[], None] = lambda: None

    def interrupt(self) -> None:
        """The first time: drain. The second time: leave."""
        self.drain, self.leave = True, self.drain
        self.on_change()


class _Open(NamedTuple):
    """A file that has no outcome yet."""

    key: bytes
    payload: Payload
    attempt: int


@dataclass(slots=True)
class Files:
    """Where a file's line goes, and the path that stands in it."""

    results: LinesFile
    errors: LinesFile
    path_of: Callable[[bytes], str]


@dataclass(slots=True)
class BatchLoop:
    """One run. `on_progress` is called at least twice a second, and cheap."""

    engine: Engine
    reader: Reader
    files: Files
    attempts: Attempts
    alarm: Alarm
    wish: Wish
    on_progress: Callable[[], None]
    clock: Callable[[], float] = time.monotonic
    _open: dict[int, _Open] = field(default_factory=dict)
    _waiting: list[tuple[float, int]] = field(default_factory=list)
    _freed: int = 0
    _order: Order = field(default_factory=Order)
    _stacks: set[tuple[str, str]] = field(default_factory=set)
    _was_ready: bool = False
    _unready_since: float | None = None
    _gives_up: StreamInferError | None = None

    def run(self) -> None:
        """Until the folder is at its end, or `wish` says otherwise.

        Raises PredictorUnavailable, StreamInferError where the predictor fails file after file, Interrupted, what the
        folder's listing raises, and ServiceUnavailable for a full disk. Whatever is raised: what is written counts.
        """
        while not (self.reader.is_over and not self._open):
            self._check_wish()
            self._check_predictor()
            self._submit(self.reader.take())
            self._submit_waiting()
            for answers in self.engine.poll(self._patience(), self.reader.pending):
                self._hear(answers)
            self._write()
            self.on_progress()
        if self._gives_up:
            raise self._gives_up
        if self.reader.fault:
            raise self.reader.fault

    def _check_wish(self) -> None:
        if self.wish.leave or (self.wish.drain and not self._was_ready):
            raise Interrupted
        if self.wish.drain or self._gives_up:
            self.reader.stop()

    def _check_predictor(self) -> None:
        readiness, now = self.engine.readiness, self.clock()
        if readiness.state is State.READY:
            self._was_ready, self._unready_since = True, None
            return
        if self._unready_since is None:
            self._unready_since = now
        is_patient = self._was_ready and now - self._unready_since < _PATIENCE_S
        if readiness.state is State.UNAVAILABLE and not is_patient:
            error = PredictorUnavailable(readiness.reason)
            if readiness.detail:
                error.add_note(readiness.detail)
            raise error

    def _patience(self) -> float:
        due = self._waiting[0][0] - self.clock() if self._waiting else _LOOK_EVERY_S
        return max(0.0, min(due, _LOOK_EVERY_S))

    def _submit(self, read: Sequence[Read]) -> None:
        by_type: dict[str, AlikeTasks] = {}
        for ordinal, key, outcome in read:
            if isinstance(outcome, Failure):
                self._fail(ordinal, key, outcome, size=0)
                continue
            self._open[ordinal] = _Open(key, outcome, 1)
            alike = by_type.get(outcome.content_type)
            if alike is None:
                alike = by_type[outcome.content_type] = AlikeTasks([], [], outcome.content_type)
            alike.tokens.append(ordinal)
            alike.payloads.append(outcome.data)
        for alike in by_type.values():
            self.engine.submit_many(alike)

    def _submit_waiting(self) -> None:
        now = self.clock()
        while self._waiting and self._waiting[0][0] <= now:
            _, ordinal = heapq.heappop(self._waiting)
            self.engine.submit(Task(ordinal, self._open[ordinal].payload))

    def _hear(self, answers: Answer | AlikeAnswers) -> None:
        moment = stamp(datetime.now(UTC))
        for ordinal, outcome in answers.each() if isinstance(answers, AlikeAnswers) else [answers]:
            file = self._open[ordinal]
            if isinstance(outcome, Output):
                line = result_line(moment, self.files.path_of(file.key), outcome)
                self._end(ordinal, Line(is_error=False, data=line), len(file.payload.data))
                self.alarm.note(None)
            else:
                self._judge(ordinal, file, outcome)

    def _judge(self, ordinal: int, file: _Open, failure: Failure) -> None:
        delay = self.attempts.delay_after(file.attempt, failure)
        if delay is not None:
            self._open[ordinal] = file._replace(attempt=file.attempt + 1)
            heapq.heappush(self._waiting, (self.clock() + delay, ordinal))
            return
        self._fail(ordinal, file.key, failure, len(file.payload.data))
        self.alarm.note(failure)
        if self.alarm.rings and not self._gives_up:
            self._gives_up = StreamInferError(
                f"{self.alarm}, the last one with {failure.exception}: {failure.message}. "
                "The rest was not tried (breaker.max_ratio=1 tries it all the same)"
            )

    def _fail(self, ordinal: int, key: bytes, failure: Failure, size: int) -> None:
        path = self.files.path_of(key)
        kind = (failure.stage.value, failure.exception)
        if failure.stacktrace and kind not in self._stacks and len(self._stacks) < _MOST_STACKS:
            self._stacks.add(kind)  # the first of a kind tells what the others would
            _LOG.warning("file_failed", filepath=path, stage=failure.stage, stacktrace=failure.stacktrace)
        line = error_line(stamp(datetime.now(UTC)), path, failure)
        self._end(ordinal, Line(is_error=True, data=line), size)

    def _end(self, ordinal: int, line: Line, size: int) -> None:
        self._open.pop(ordinal, None)
        self._order.put(ordinal, line)
        self._freed += size - len(line.data)

    def _write(self) -> None:
        """What can be; and tells the reader once what room there is again: its lock is not to be had for nothing."""
        ready = self._order.take()
        for is_error, lines in in_stretches(ready):
            (self.files.errors if is_error else self.files.results).append(lines)
        freed = self._freed + sum([len(line.data) for line in ready])
        self._freed = 0
        if ready or freed:
            self.reader.release(len(ready), freed)
