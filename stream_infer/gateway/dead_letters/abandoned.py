"""Jobs whose replay died in the middle: somebody has to say that this was all, or they would never end.

A replay renews its mark on `{p}.replays` while it goes on, so every replica can see that whoever had it is dead.
Whoever asks for it again before goes on with it; see `replay.py`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import structlog
from aiohttp import web

from stream_infer.gateway.board import KnownJob
from stream_infer.gateway.services import Services
from stream_infer.gateway.watching import looking
from stream_infer.jobs.replays import ReplayMark, read_replays
from stream_infer.jobs.status import JobStatus
from stream_infer.kafka.partitioner import partition_of

LOOK_EVERY_S = 30.0
# Many times what lies between two renewals. A replay that hung for so long is fenced by this, which loses nothing.
ABANDONED_AFTER_S = 300.0
_log = structlog.get_logger(__name__)


class AbandonedReplays:
    """Looks for them in every replica; `close` ends such a job's generation, and may be called by several at once."""

    def __init__(self, services: Services, close: Callable[[KnownJob], Awaitable[None]]) -> None:
        self._services = services
        self._close = close

    async def watched(self, _app: web.Application) -> AsyncIterator[None]:
        """For as long as the application runs."""
        async with looking(self._look, LOOK_EVERY_S, "abandoned_replays_wait"):
            yield

    async def _look(self) -> None:
        for known in await self._services.board.all():
            if may_be_abandoned(known.status) and await self._is_abandoned(known.status):
                _log.warning("replay_abandoned", job_id=known.job.job_id, generation=known.status.generation)
                await self._close(known)

    async def _is_abandoned(self, status: JobStatus) -> bool:
        mark = await self._services.block(lambda: self._mark(status.job_id))
        if mark is None or not mark.is_open or mark.generation != status.generation:
            return False
        return mark.at + ABANDONED_AFTER_S <= self._services.clock()

    def _mark(self, job_id: str) -> ReplayMark | None:
        settings = self._services.settings
        place = partition_of(job_id, settings.jobs.partitions)
        return read_replays(settings.kafka, self._services.topics.replays, [place], job_id=job_id).marks.get(job_id)


def may_be_abandoned(status: JobStatus) -> bool:
    """A replay has opened its generation, and has not closed it: a stop alone does not."""
    return status.generation > 1 and not (status.exhausted or status.state.is_final)
