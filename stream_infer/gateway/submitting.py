"""From what was asked for to a job, whatever words it was asked in: each resource that takes jobs uses this."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import structlog

from stream_infer.errors import ServiceUnavailable
from stream_infer.gateway.board import KnownJob, is_ending
from stream_infer.gateway.claims import Write
from stream_infer.gateway.dry_run import Listing
from stream_infer.gateway.output_policy import with_base
from stream_infer.gateway.representations import DryRunBody, source_of
from stream_infer.gateway.services import Services
from stream_infer.gateway.submission import check_format, inline_lines, job_of, read_spec, submission_records
from stream_infer.gateway.webhooks.target import check_webhook, kept_webhook
from stream_infer.http.json_text import parse_json
from stream_infer.http.problems import Problem, ProblemKind, problem_of, sentence
from stream_infer.jobs.batches import Batch
from stream_infer.jobs.events import StopRequested, encode_event
from stream_infer.jobs.spec import Job, JobSpec
from stream_infer.jobs.status import JobStatus
from stream_infer.records import OutgoingRecord
from stream_infer.settings import ApiSettings
from stream_infer.telemetry import tracing
from stream_infer.uploads import items_key, upload_of

STOP_WAIT_S = 10.0
PREVIEWED = 10
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Asked:
    """A submission, checked. `lines` are its inline items; `digest` is of what was asked for, byte for byte; `words` is
    that itself, where it was asked in those of another system, and `batch` likewise in OpenAI's."""

    api: ApiSettings
    spec: JobSpec
    lines: list[bytes]
    digest: str
    words: dict[str, Any] | None = None
    batch: Batch | None = None


class Submissions:
    """Of one resource."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def read(self, api: ApiSettings, value: Any, digest: str, words: dict[str, Any] | None = None) -> Asked:
        """`value` is the JSON of a job's spec. Up to 32 MiB take a while: call it on a thread of the pool."""
        settings = self._services.settings
        spec = read_spec(value, settings, api)
        self._require_upload(spec)
        check_format(spec, api, self._services.formats)
        check_webhook(spec, api, settings, self._services.poster)
        return Asked(api, spec, inline_lines(spec, settings.limits), digest, words)

    def _require_upload(self, spec: JobSpec) -> None:
        upload = upload_of(spec.file_uri or "")
        if upload is not None and not self._services.store.exists(upload.note):
            detail = f"{upload.uri} is not there: it was removed, or never came to its end. Send the file again."
            raise Problem(ProblemKind.SOURCE_REFUSED, detail)

    async def submit(self, asked: Asked, job_id: str, advice: str) -> KnownJob:
        """Under an id that nobody else can have come to.

        `advice`: what to do where nobody knows whether Kafka has taken it.
        """
        job = await self._prepared(asked, job_id)
        return await self._write(job, asked.api, advice, self._services.writer.write)

    async def submit_holding(
        self, asked: Asked, job_id: str, advice: str, name: str, require: Callable[[], Awaitable[None]]
    ) -> KnownJob:
        """As `submit`, while this gateway alone holds `name`, and `require`, asked then, raises nothing."""
        job = await self._prepared(asked, job_id)

        async def require_and_write(write: Write) -> KnownJob:
            await require()
            return await self._write(job, asked.api, advice, write)

        return await self._services.claims.alone(name, require_and_write)

    async def submit_once(self, asked: Asked, job_id: str, advice: str) -> tuple[KnownJob, bool]:
        """The job of that id, and whether it was there before: then it may be of another submission, see its
        `request_hash`. Who comes first has the id, also where several come to several replicas at the same time.
        """
        board, claims = self._services.board, self._services.claims
        earlier = await board.find(job_id)
        if earlier is not None:
            return earlier, True
        job = await self._prepared(asked, job_id)

        async def look_and_write(write: Write) -> tuple[KnownJob, bool]:
            earlier = await board.find(job_id)
            if earlier is not None:
                return earlier, True
            return await self._write(job, asked.api, advice, write), False

        return await claims.alone(job_id, look_and_write)

    async def _prepared(self, asked: Asked, job_id: str) -> Job:
        """The job, its inline items in the store: whoever sees the job finds them. Each try has an object of its own,
        so that none can change what another one's job has.
        """
        services = self._services
        job = self.job_of(asked, job_id)
        if (context := tracing.current()) is not None:
            job = job.model_copy(update={"traceparent": context.traceparent, "tracestate": context.state or None})
        if (assemble := job.assemble) is not None:
            based = await services.block(lambda: with_base(assemble, job, services.read_source))
            job = job.model_copy(update={"assemble": based})
        if asked.spec.item_list is None:
            return job
        key = items_key(job_id, services.owner, job.submitted_at)
        job = job.model_copy(update={"submission": key})
        submission_records(job, asked.api, services.topics)  # refused before anything is written
        data = b"\n".join([*asked.lines, b""])
        await services.block(lambda: services.store.put(key, data, "application/x-ndjson"))
        return job

    async def _write(self, job: Job, api: ApiSettings, advice: str, write: Write) -> KnownJob:
        """In one transaction."""
        services = self._services
        attributes = {"stream_infer.job.id": job.job_id, "stream_infer.api": job.api}
        try:
            with tracing.span("submit job", attributes=attributes):
                await write(submission_records(job, api, services.topics))
        except ServiceUnavailable as error:
            unknown = ServiceUnavailable(f"{sentence(error)} {advice}")
            raise problem_of(unknown).with_members(job_id=job.job_id) from error
        _log.info("submitted", job_id=job.job_id, api=job.api, inline_items=job.items or 0)
        # It is submitted: whoever heard of a fault from here on would submit it again, as another job.
        with suppress(ServiceUnavailable):
            await services.board.catch_up()
        first = JobStatus(job_id=job.job_id, api=job.api, submitted_at=job.submitted_at)
        return services.board.peek(job.job_id) or KnownJob(job, first)

    def listing(self, asked: Asked, limit: int) -> Listing:
        """The first `limit` items that it would enqueue."""
        return Listing(asked.spec, self.job_of(asked, "dry-run"), self._services.read_source, limit)

    async def dry_run(self, asked: Asked, limit: int = PREVIEWED) -> DryRunBody:
        job = self.job_of(asked, "dry-run")
        source = {"item_list": {}} if asked.spec.item_list is not None else source_of(job)
        preview: list[Any] | None = None
        items = len(asked.lines) if asked.spec.item_list is not None else None
        if items is not None or self._services.read_source is not None:
            lines = self.listing(asked, limit).lines
            *shown, end = await self._services.block(lambda: [parse_json(line) for line in lines()])
            preview = [item["item"] if items is not None else item["source"] for item in shown]
            items = end["items"] if items is None and end["is_all"] and "error" not in end else items
        return DryRunBody(
            api_name=job.api,
            source=source,
            items=items,
            preview=preview,
            config=job.config,
            timeout=job.timeout,
            workers=job.workers,
        )

    async def stop(self, known: KnownJob) -> KnownJob:
        """Asks for its stop; the job once its row shows that it ends, or as it is where the tracker is late."""
        services, job_id = self._services, known.job.job_id
        if is_ending(known.status):
            return known
        event = StopRequested(job_id=job_id, at=services.clock(), generation=known.status.generation)
        await services.writer.write([OutgoingRecord(services.topics.progress, job_id.encode(), encode_event(event))])
        _log.info("stop_requested", job_id=job_id, api=known.job.api)
        return await services.board.wait_until_ending(job_id, STOP_WAIT_S) or known

    def job_of(self, asked: Asked, job_id: str) -> Job:
        """The job that was asked for, submitted now."""
        return job_of(
            asked.spec,
            job_id=job_id,
            api=asked.api,
            at=self._services.clock(),
            digest=asked.digest,
            words=asked.words,
            batch=asked.batch,
            webhook=kept_webhook(asked.spec, asked.api, self._services.settings),
        )
