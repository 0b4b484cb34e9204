"""What a caller has: files that it sent, and batches, which are jobs, or the record of why no job was made of one."""

from __future__ import annotations

from collections.abc import Iterator

from stream_infer.gateway.board import KnownJob
from stream_infer.gateway.openai.ids import SentId, read_sent_id
from stream_infer.gateway.openai.records import FileRecord, Records
from stream_infer.gateway.services import Services


class Owned:
    """Of all callers; each is asked for by name."""

    def __init__(self, services: Services) -> None:
        self._services = services

    @property
    def records(self) -> Records:
        return Records(self._services.store, self._services.owner)

    async def batches(self, caller: str) -> list[KnownJob]:
        """Those that are jobs, as of now. Raises ServiceUnavailable."""
        return [known for known in await self._services.board.all() if _is_of(known, caller)]

    async def batch(self, caller: str, batch_id: str) -> KnownJob | None:
        """Raises ServiceUnavailable."""
        known = await self._services.board.find(batch_id)
        return known if known is not None and _is_of(known, caller) else None

    def file(self, caller: str, file_id: str) -> FileRecord | None:
        """Whose time is not over. Blocks."""
        record = self.records.file(caller, file_id)
        return record if record is not None and record.expires_at > self._services.clock() else None

    def sent(self, caller: str) -> Iterator[tuple[str, SentId]]:
        """The ids of its files, and what they say. Blocks."""
        now = self._services.clock()
        for file_id in self.records.file_ids(caller):
            found = read_sent_id(file_id)
            if found is not None and found.expires_at > now:
                yield file_id, found


def _is_of(known: KnownJob, caller: str) -> bool:
    return known.job.batch is not None and known.job.batch.caller == caller
