"""What a caller has: files that it sent, and batches, which are jobs, or the record of why no job was made of one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from stream_infer.gateway.board import KnownJob
from stream_infer.gateway.job_lists import ListName, Place
from stream_infer.gateway.openai.bodies import Answers, answers_of
from stream_infer.gateway.openai.ids import SentId, read_sent_id
from stream_infer.gateway.openai.records import FileRecord, Records
from stream_infer.gateway.services import Services


def openai_lists(known: KnownJob) -> Mapping[ListName, Place]:
    """A batch stands among those of its caller by its id; until its end among the readers of its file, and from then
    on, where it has left any answers, among those that have, by when that was."""
    job, batch = known.job, known.job.batch
    if batch is None:
        return {}
    lists: dict[ListName, Place] = {_batches(batch.caller): (job.job_id, job.job_id)}
    if not known.status.state.is_final:
        lists[_readers(batch.input_file_id)] = (job.job_id, job.job_id)
    elif answers := answers_of(known):
        lists[_answered(batch.caller)] = (float(int(answers[0].created_at)), job.job_id)
    return lists


def _batches(caller: str) -> ListName:
    return "batches", caller


def _readers(file_id: str) -> ListName:
    return "batches that read", file_id


def _answered(caller: str) -> ListName:
    return "batches with answers", caller


class Owned:
    """Of all callers; each is asked for by name. Methods that neither wait nor block tell what was read so far: who
    wants it as of now has `board.catch_up` before."""

    def __init__(self, services: Services) -> None:
        self._services = services

    @property
    def records(self) -> Records:
        return Records(self._services.store, self._services.owner)

    def batches(self, caller: str, after: str | None = None) -> Iterator[KnownJob]:
        """Those that are jobs, the greatest id first, from below `after` on."""
        start = None if after is None else (after, after)
        return (known for _, known in self._services.board.walk(_batches(caller), start, is_up=False))

    def readers(self, file_id: str) -> Iterator[KnownJob]:
        """The batches that still read it."""
        return (known for _, known in self._services.board.walk(_readers(file_id)))

    def answers(self, caller: str, at: int | None, *, is_newest_first: bool) -> Iterator[Answers]:
        """The files that its batches have left, by when and by id; from those of the second `at` on."""
        start = None if at is None else (float(at + 1) if is_newest_first else float(at), "")
        for _, known in self._services.board.walk(_answered(caller), start, is_up=not is_newest_first):
            yield from sorted(answers_of(known), key=lambda one: one.id, reverse=is_newest_first)

    async def batch(self, caller: str, batch_id: str) -> KnownJob | None:
        """As of now. Raises ServiceUnavailable."""
        await self._services.board.catch_up()
        return self.read_batch(caller, batch_id)

    def read_batch(self, caller: str, batch_id: str) -> KnownJob | None:
        known = self._services.board.peek(batch_id)
        batch = None if known is None else known.job.batch
        return known if batch is not None and batch.caller == caller else None

    def file(self, caller: str, file_id: str, stays_s: float = 0.0) -> FileRecord | None:
        """Whose time is not over, nor will be for so many seconds. Blocks."""
        record = self.records.file(caller, file_id)
        return record if record is not None and record.expires_at > self._services.clock() + stays_s else None

    def sent(self, caller: str) -> Iterator[tuple[str, SentId]]:
        """The ids of its files, and what they say. Blocks."""
        now = self._services.clock()
        for file_id in self.records.file_ids(caller):
            found = read_sent_id(file_id)
            if found is not None and found.expires_at > now:
                yield file_id, found
