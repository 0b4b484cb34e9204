"""Specs of jobs whose retention is over, and which the tracker has forgotten: removed, with the secrets that some hold.

Every gateway looks once an hour; what another one has removed is not there any more. The tombstones of a slot of ids
are written under its claim (`claims.py`): a client may choose an id again that was forgotten, and whoever holds the
claim sees that job, or is fenced by it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from functools import partial

import structlog
from aiohttp import web

from stream_infer.gateway.claims import Write
from stream_infer.gateway.services import Services
from stream_infer.gateway.watching import looking
from stream_infer.records import OutgoingRecord

LOOK_EVERY_S = 3600.0
# Of one transaction; the others come an hour later.
_MOST = 2000
_log = structlog.get_logger(__name__)


class ForgottenJobs:
    def __init__(self, services: Services) -> None:
        self._services = services

    async def watched(self, _app: web.Application) -> AsyncIterator[None]:
        """For as long as the application runs."""
        async with looking(self.remove, LOOK_EVERY_S, "forgotten_jobs_wait"):
            yield

    async def remove(self) -> None:
        """All that there are now. Raises ServiceUnavailable or TransactionAborted."""
        services = self._services
        await services.board.catch_up()
        slots: defaultdict[int, list[str]] = defaultdict(list)
        for job_id in services.board.forgotten():
            slots[services.claims.slot_of(job_id)].append(job_id)
        for job_ids in slots.values():
            await services.claims.alone(job_ids[0], partial(self._remove, job_ids))

    async def _remove(self, job_ids: Sequence[str], write: Write) -> None:
        """Behind the claim: what is still forgotten then stays so until this is written."""
        services = self._services
        await services.board.catch_up()
        still = set(services.board.forgotten())
        gone = [job_id for job_id in job_ids if job_id in still][:_MOST]
        if gone:
            await write([OutgoingRecord(services.topics.jobs, job_id.encode(), None) for job_id in gone])
            _log.info("forgotten_jobs_removed", jobs=len(gone))
