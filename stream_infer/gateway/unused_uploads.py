"""Uploads and inline items that no job names any more: they go a day after they came, or when the last such job is
forgotten. Those that are files in OpenAI's words stay until their own time is over.

Every gateway looks once an hour; removing what another one removes too does no harm. What a job's items were stays as
long as the job is remembered (`jobs.retention`), and what came by a gateway of another Kafka cluster, or of another
prefix there, is left to that one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable

import structlog
from aiohttp import web

from stream_infer.gateway.board import KnownJob
from stream_infer.gateway.openai.records import Records
from stream_infer.gateway.services import Services
from stream_infer.gateway.watching import looking
from stream_infer.jobs.spec import Job
from stream_infer.uploads import SUBMISSIONS, is_left_over, submission_id, upload_of

LOOK_EVERY_S = 3600.0
_log = structlog.get_logger(__name__)


class UnusedUploads:
    def __init__(self, services: Services) -> None:
        self._services = services

    async def watched(self, _app: web.Application) -> AsyncIterator[None]:
        """For as long as the application runs."""
        async with looking(self.remove, LOOK_EVERY_S, "unused_uploads_wait"):
            yield

    async def remove(self) -> None:
        """All that there are now. Raises ServiceUnavailable."""
        # In this order: no batch is begun of a file whose time is over, and those that were before are seen.
        kept = await self._services.block(self._kept_files)
        jobs = await self._services.board.all()
        removed = await self._services.block(lambda: self._remove(_used_by(jobs) | kept))
        if removed:
            _log.info("unused_uploads_removed", objects=removed)

    def _kept_files(self) -> frozenset[str]:
        """The uploads that are OpenAI's files; those whose time is over are files no more."""
        services = self._services
        return Records(services.store, services.owner).sweep(services.clock(), services.settings.jobs.retention)

    def _remove(self, used: frozenset[str]) -> int:
        store, owner, now = self._services.store, self._services.owner, self._services.clock()
        keys = [found.key for found in store.list(SUBMISSIONS) if is_left_over(found.key, owner, used, now)]
        for key in keys:
            store.delete(key)
        return len(keys)


def _used_by(jobs: Iterable[KnownJob]) -> frozenset[str]:
    return frozenset(found for known in jobs if (found := _sent_with(known.job)))


def _sent_with(job: Job) -> str | None:
    """The id of what its items are read from, where that was sent here."""
    upload = upload_of(job.file_uri or "")
    return submission_id(job.submission or "") if upload is None else upload.id
