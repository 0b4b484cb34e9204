"""Replaying dead letters: back to the items topic, each once, whoever asks how often and is killed when.

Whoever holds `{p}.{api}.replay` is alone: it first fences all others, then reads `{p}.replays` to its end. Each
transaction writes items, the records that say so, and the job's counts; the first one opens the job's next generation,
the last one says that this is all. A job-less dead letter has neither counts nor generation.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import structlog

from stream_infer.dead_letters import DeadLetter
from stream_infer.errors import ServiceUnavailable, TransactionAborted
from stream_infer.gateway.dead_letters.choice import (
    Jobs,
    Progress,
    ReplayStopped,
    Request,
    letters_for,
    running,
    stopped,
    to_replay,
)  # fmt: skip
from stream_infer.gateway.dead_letters.chunks import Revived, in_chunks, with_last
from stream_infer.gateway.dead_letters.originals import Irrecoverable, again, original_of
from stream_infer.gateway.dead_letters.records import ReplayRecords
from stream_infer.gateway.dead_letters.search import first_kept
from stream_infer.jobs.replays import Replays, read_replays
from stream_infer.jobs.status import JobStatus
from stream_infer.kafka.errors import RecordTooLarge
from stream_infer.kafka.producer import TransactionalProducer
from stream_infer.ports import Store
from stream_infer.records import OutgoingRecord
from stream_infer.settings import MIB, Settings
from stream_infer.topics import Topics

log = structlog.get_logger(__name__)

TRACKER_WAIT_S = 10.0
MARK_EVERY_S = 30.0
LOOK_EVERY_S = 5.0
# What the broker takes is counted compressed, what librdkafka takes is not.
_LARGEST_RECORD = 256 * MIB
_ENDING = "the gateway is ending; replay again to go on"
_TRIES = 6
_FIRST_PAUSE_S = 0.1


class Replay:
    """One replay. `run` is called once, on a thread that may block; `stop` ends it between two transactions."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        jobs: Jobs,
        request: Request,
        *,
        stop: threading.Event | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.progress = Progress()
        self.request = request
        self._settings = settings
        self._store = store
        self._jobs = jobs
        self._stop = stop or threading.Event()
        self._clock = clock
        self._topics = Topics(settings.kafka.topic_prefix)
        self._names = self._topics.api(request.api)
        self._records = ReplayRecords(self._topics, request.api, settings.jobs.partitions)
        self._timeout_s: float | None = None
        self._is_open = False  # a generation that we have to close
        self._marked_at = 0.0
        self._looked_at = 0.0
        self._producer: TransactionalProducer

    def run(self) -> None:
        """Raises JobIsRunning, ReplayStopped, Fenced (another replay of this API took over), ServiceUnavailable.

        What is committed by then stays so, and the next replay goes on behind it.
        """
        self._check_may_run()
        self._producer = TransactionalProducer(
            self._settings.kafka, f"{self._topics.prefix}.{self.request.api}.replay", max_bytes=_LARGEST_RECORD
        )
        try:
            self._producer.initialise()
            replays = self._read_replays()
            self._close_abandoned(replays)
            self._replay(replays)
            self._forget(replays)
        finally:
            self._producer.close()
        log.info(
            "replayed", api=self.request.api, job_id=self.request.job_id, items=self.progress.replayed,
            generation=self.progress.generation,
        )  # fmt: skip

    def _replay(self, replays: Replays) -> None:
        """Ends with the word that this was all, without which a job does not end, however it was stopped."""
        try:
            self._choose_generation(replays)
            chunks = in_chunks(self._revived(replays), self._settings.intake.chunk_items)
            for chunk, is_last in with_last(chunks):
                self._write(chunk, is_last=is_last)
        except ReplayStopped:
            self._close()
            raise
        self._close()

    def _close(self) -> None:
        if self._is_open:
            self._transact([], closing=True)

    def _check_may_run(self) -> None:
        """Before anybody is fenced: a job that never was replayed, or whose replay is done, is simply running."""
        if self.request.job_id is None:
            return
        status = self._status(self.request.job_id)
        if not status.state.is_final and (status.generation == 1 or status.exhausted):
            raise running(status)

    def _read_replays(self) -> Replays:
        kafka, old = self._settings.kafka, self._clock() - self._settings.jobs.retention
        left = first_kept(kafka, self._names.dlq)
        return read_replays(kafka, self._topics.replays, forget_before=old, first_kept=left)

    def _choose_generation(self, replays: Replays) -> None:
        """The next one of a final job; that which an interrupted replay has opened, of any other."""
        job_id = self.request.job_id
        if job_id is None:
            return
        mark = replays.marks.get(job_id)
        status = self._status(job_id, at_least=mark.generation if mark is not None else 1)
        if status.state.is_final:
            self.progress.generation = status.generation + 1
        elif mark is not None and mark.is_open and mark.generation == status.generation:
            self.progress.generation = status.generation
            self._is_open, self._marked_at, self._looked_at = True, mark.at, self._clock()
            if status.cause is not None:
                raise stopped(status)
            log.info("replay_continued", job_id=job_id, generation=status.generation)
        else:
            raise running(status)

    def _status(self, job_id: str, at_least: int = 1) -> JobStatus:
        """The job's row, once the tracker has seen what the last replay said."""
        deadline = time.monotonic() + TRACKER_WAIT_S
        while True:
            known = self._jobs.find(job_id)
            if known is not None and known.status.generation >= at_least:
                self._timeout_s = known.job.timeout
                return known.status
            if time.monotonic() > deadline:
                raise ServiceUnavailable(f"the tracker does not show generation {at_least} of job {job_id} yet")
            self._pause(0.1)

    def _close_abandoned(self, replays: Replays) -> None:
        """Other jobs of this API whose replay was interrupted, and which nobody can go on with now, are to end."""
        left = [
            mark
            for mark in replays.marks.values()
            if mark.api == self.request.api and mark.is_open and mark.job_id != self.request.job_id
        ]
        for mark in left:
            log.warning("replay_abandoned", job_id=mark.job_id, generation=mark.generation)
            self._send(self._records.closing(mark.job_id, mark.generation, self._clock()))

    def _revived(self, replays: Replays) -> Iterator[Revived]:
        """What is to be replayed; the rest is noted in the progress."""
        for letter in to_replay(self._letters(), self.request, replays, self.progress, self._jobs):
            revived = self._revive(letter)
            if revived is not None:
                yield revived

    def _letters(self) -> Iterator[DeadLetter]:
        """All that has to be looked at; meanwhile others are to see that somebody is at it."""
        for letter in letters_for(self._settings.kafka, self._names.dlq, self.request):
            if self._stop.is_set():
                raise ServiceUnavailable(_ENDING)
            self._look_up()
            yield letter

    def _look_up(self) -> None:
        """Now and then, however long nothing is found that is to be replayed."""
        job_id, generation, now = self.request.job_id, self.progress.generation, self._clock()
        if not self._is_open or job_id is None or generation is None:
            return
        if now >= self._looked_at + LOOK_EVERY_S:
            self._check_goes_on()
        if now >= self._marked_at + MARK_EVERY_S:
            self._send(self._records.going_on(job_id, generation, now))
            self._marked_at = now

    def _revive(self, letter: DeadLetter) -> Revived | None:
        try:
            original = original_of(letter, self._store)
        except Irrecoverable as error:
            self.progress.refuse(letter, str(error))
            return None
        most = self._settings.limits.payload_bytes + MIB
        generation = self.progress.generation
        record = again(letter, original, self._names.items, generation, most)
        return Revived(letter, record, original.size)

    def _check_goes_on(self) -> None:
        """Raises ReplayStopped for a job that is ending. A row that does not show our generation yet says nothing."""
        job_id = self.request.job_id
        if job_id is None or not self._is_open:
            return
        self._looked_at = self._clock()
        known = self._jobs.peek(job_id)
        if known is None or known.status.generation != self.progress.generation:
            return
        if known.status.cause is not None:
            raise stopped(known.status)

    def _write(self, chunk: list[Revived], *, is_last: bool) -> None:
        """A record that its topic refuses fails alone: what is with it is halved until it stands alone."""
        try:
            self._transact(chunk, closing=is_last)
            self.progress.replayed += len(chunk)
        except RecordTooLarge as error:
            if len(chunk) == 1:
                self.progress.refuse(chunk[0].letter, str(error))
                return
            middle = len(chunk) // 2
            self._write(chunk[:middle], is_last=False)
            self._write(chunk[middle:], is_last=is_last)

    def _transact(self, chunk: list[Revived], *, closing: bool) -> None:
        job_id, generation, now = self.request.job_id, self.progress.generation, self._clock()
        records = [revived.record for revived in chunk]
        records += self._records.replayed((revived.letter for revived in chunk), job_id, generation, now)
        if job_id is not None and generation is not None:
            if not self._is_open:
                records += self._records.opening(job_id, generation, self._timeout_s, now)
                self._marked_at = self._looked_at = now
            records += self._records.counted(job_id, generation, len(chunk), now)
            records += self._records.closing(job_id, generation, now) if closing else []
        self._send(records, self._check_goes_on if chunk else None)
        self._is_open = job_id is not None and not closing

    def _send(self, records: list[OutgoingRecord], check: Callable[[], None] | None = None) -> None:
        """`check` raises where what is said must not be said any more: tries go on for seconds."""
        pause = _FIRST_PAUSE_S
        for last in (*(False,) * (_TRIES - 1), True):
            if check is not None:
                check()
            try:
                self._producer.transact(records, {})
                return
            except TransactionAborted:
                if last:
                    raise
                self._pause(pause)
                pause *= 2

    def _forget(self, replays: Replays) -> None:
        """What was replayed long ago, and whose dead letter is gone, need not be remembered."""
        expired = list(replays.expired.values())
        for first in range(0, len(expired), self._settings.intake.chunk_items):
            self._send(expired[first : first + self._settings.intake.chunk_items])

    def _pause(self, seconds: float) -> None:
        if self._stop.wait(seconds):
            raise ServiceUnavailable(_ENDING)
