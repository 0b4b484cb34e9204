"""The agent's work: fold what has come, write what has changed, take over what was another tracker's."""

from __future__ import annotations

import asyncio
import time
from contextlib import nullcontext
from operator import attrgetter

import structlog

from stream_infer.jobs.events import TimeoutReached, decode_event, encode_event
from stream_infer.jobs.status import JobStatus, State, decode_status, encode_status
from stream_infer.kafka.views import read_compacted
from stream_infer.settings import Settings
from stream_infer.telemetry import tracing
from stream_infer.topics import Topics
from stream_infer.trace_context import read_context
from stream_infer.tracker.app import TrackerApp, raw_topic
from stream_infer.tracker.exactly_once import PartitionTransactions, transport
from stream_infer.tracker.metrics import UNOBSERVED, TrackerObserver
from stream_infer.tracker.rows import PartitionRows
from stream_infer.tracker.traces import FoldTraces

_LOG = structlog.get_logger(__name__)

TICK_S = 1.0
_LARGEST_FOLD = 2000
"""Events per transaction at most, so that its length is bounded and a status is at most this many events old."""


class Folding:
    """Registers itself with `app`. `failure` is set once it cannot go on: then the process has to end."""

    def __init__(self, app: TrackerApp, settings: Settings, observer: TrackerObserver = UNOBSERVED) -> None:
        self.failure: BaseException | None = None
        self._observer = observer
        self._app = app
        self._settings = settings
        self._topics = Topics(settings.kafka.topic_prefix)
        self._rows: dict[int, PartitionRows] = {}
        self._waiting = 0
        self._writing = asyncio.Lock()
        self._traces = FoldTraces(self._topics.progress) if tracing.is_on() else None
        self._transactions = PartitionTransactions(app, self._topics.progress)
        app.transport = transport(app, self._topics.progress, self.take_over)
        app.producer_transport = app.transport
        app.agent(raw_topic(app, self._topics.progress), name="fold")(self._fold_stream)
        app.timer(TICK_S, name="tick", traced=False)(self._tick)

    async def take_over(self, partitions: frozenset[int]) -> None:
        """Makes `partitions`, and no others, ours: fences their last owners, then reads their rows anew.

        In this order: rows read before the fence could be behind what the last owner commits meanwhile.
        """
        async with self._writing:
            for partition in self._rows.keys() - partitions:
                await self._transactions.end(partition)
            self._rows.clear()
            self._waiting = 0
            for partition in partitions:
                await self._transactions.begin(partition)
            restored = await asyncio.gather(*(asyncio.to_thread(self._restore, number) for number in partitions))
            self._rows.update(zip(partitions, map(PartitionRows, restored), strict=True))
        _LOG.info("partitions assigned", partitions=sorted(partitions), jobs=sum(map(len, restored)))

    def partitions(self) -> list[PartitionRows]:
        """Those that are ours; from any thread."""
        return list(self._rows.values())

    async def drain(self) -> None:
        """Returns when no transaction is being committed, and begins no other."""
        await self._writing.acquire()

    def _restore(self, partition: int) -> dict[str, JobStatus]:
        kafka, topic = self._settings.kafka, self._topics.status
        return read_compacted(kafka, topic, partition, decode_status, key_of=attrgetter("job_id"))

    async def _fold_stream(self, stream: object) -> None:
        """Folds into memory while more is waiting, then writes: one record per changed job, however many events."""
        try:
            async for event in stream.events():  # type: ignore[attr-defined]
                message = event.message
                rows = self._rows.get(message.partition)
                if rows is None:
                    continue
                rows.fold(decode_event(message.value or b""), message.offset)
                self._waiting += 1
                if self._waiting >= _LARGEST_FOLD or stream.channel.queue.empty():  # type: ignore[attr-defined]
                    await self._write()
        except Exception as error:  # noqa: BLE001 - Faust would log it and fold on, from rows that were not written
            self.failure = error

    async def _write(self) -> None:
        """Commits the changes of each partition with its offset. Rows of a partition lost meanwhile are gone."""
        async with self._writing:
            folded, self._waiting = self._waiting, 0
            changed = [number for number, rows in self._rows.items() if rows.has_changes]
            await asyncio.gather(*(self._write_partition(number) for number in changed))
            self._observer.folded(folded)

    async def _write_partition(self, partition: int) -> None:
        changes = self._rows[partition].take_changes()
        records = [
            (job_id.encode(), None if row is None else encode_status(row)) for job_id, row in changes.rows.items()
        ]
        with nullcontext() if self._traces is None else self._traces.writing(partition, changes):
            await self._transactions.commit(partition, self._topics.status, records, changes.next_offset)
        for row in changes.entered:
            _tell(row)
            self._observer.entered(row)

    async def _tick(self) -> None:
        """Says which jobs ran out of time, on `{p}.progress` like everything that changes a job; forgets old ones.

        Under load something is being written at nearly every tick: a job's time does not wait for that (seen: a batch
        of 8 s whose end was not said for another 2 s, within which it succeeded). What is forgotten does.
        """
        if self.failure is not None:
            return
        now = time.time()
        try:
            for partition, rows in list(self._rows.items()):
                for event in list(rows.overdue(now)):
                    await self._say(partition, event)
            if not self._writing.locked():
                for rows in self.partitions():
                    rows.forget_older_than(self._settings.jobs.retention, now)
                await self._write()
        except Exception as error:  # noqa: BLE001 - as above
            self.failure = error

    async def _say(self, partition: int, event: TimeoutReached) -> None:
        """Said again at each tick until it is folded; the second one finds nothing to change."""
        key, value = event.job_id.encode(), encode_event(event)
        await (await self._app.producer.send(self._topics.progress, key, value, partition, None, None))
        _LOG.info("job timed out", job_id=event.job_id)


def _tell(row: JobStatus) -> None:
    """A job has entered a state: for its log."""
    cause = None if row.cause is None else row.cause.value
    counts = row.counts
    ended = {"succeeded": counts.succeeded, "rejected": counts.rejected, "skipped": counts.skipped}
    error = row.errors[-1] if row.errors else None
    say = _LOG.warning if row.state is State.FAILED else _LOG.info
    with tracing.on_behalf_of(read_context(row.traceparent)):
        say(f"job is {row.state.value}", job_id=row.job_id, cause=cause, error=error, **(ended if counts.ended else {}))
