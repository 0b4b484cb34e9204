"""What a replay says, beside the items themselves, in the transactions that write them. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from stream_infer.dead_letters import DeadLetter
from stream_infer.jobs.counts import Counts
from stream_infer.jobs.events import Counted, Event, Exhausted, Reopened, encode_event
from stream_infer.jobs.replays import Replayed, ReplayMark, mark_record, replayed_record
from stream_infer.records import OutgoingRecord
from stream_infer.topics import Topics


@dataclass(frozen=True, slots=True)
class ReplayRecords:
    """Of the dead letters of one API. `job_partitions` is `jobs.partitions`; `at` is seconds since the epoch."""

    topics: Topics
    api: str
    job_partitions: int

    def opening(self, job_id: str, generation: int, timeout_s: float | None, at: float) -> list[OutgoingRecord]:
        """The job leaves its final state; its timeout starts anew."""
        event = Reopened(job_id=job_id, at=at, generation=generation, timeout_s=timeout_s)
        return [*self.going_on(job_id, generation, at), self._said(event)]

    def going_on(self, job_id: str, generation: int, at: float) -> list[OutgoingRecord]:
        """More may be replayed into this generation: somebody is at it."""
        return [self._mark(job_id, generation, at, is_open=True)]

    def counted(self, job_id: str, generation: int, number: int, at: float) -> list[OutgoingRecord]:
        """So many dead letters are items again: rejected falls, waiting grows."""
        delta = Counts(rejected=-number, reopened=number)
        return [self._said(Counted(job_id=job_id, at=at, generation=generation, delta=delta))] if number else []

    def closing(self, job_id: str, generation: int, at: float) -> list[OutgoingRecord]:
        """Nothing more is replayed into this generation."""
        event = Exhausted(job_id=job_id, at=at, generation=generation)
        return [self._mark(job_id, generation, at, is_open=False), self._said(event)]

    def replayed(
        self, letters: Iterable[DeadLetter], job_id: str | None, generation: int | None, at: float
    ) -> list[OutgoingRecord]:
        """That each of `letters` runs again."""
        return [
            replayed_record(
                Replayed(
                    api=self.api,
                    topic=letter.position.topic,
                    partition=letter.position.partition,
                    offset=letter.position.offset,
                    job_id=job_id,
                    generation=generation or 1,
                    at=at,
                ),
                self.topics.replays,
                self.job_partitions,
            )
            for letter in letters
        ]

    def _mark(self, job_id: str, generation: int, at: float, *, is_open: bool) -> OutgoingRecord:
        mark = ReplayMark(api=self.api, job_id=job_id, generation=generation, is_open=is_open, at=at)
        return mark_record(mark, self.topics.replays, self.job_partitions)

    def _said(self, event: Event) -> OutgoingRecord:
        return OutgoingRecord(self.topics.progress, event.job_id.encode(), encode_event(event))
