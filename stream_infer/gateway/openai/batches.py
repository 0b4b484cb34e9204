"""`/v1/batches` as OpenAI's clients call it: a batch is a job of its id, with the answers assembled as files.

The file was checked when it was sent: where it is not valid the batch is a record in the store, failed at once.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import Any

import structlog
from aiohttp import web

from stream_infer.gateway.board import KnownJob
from stream_infer.gateway.openai.bodies import (
    OpenAiBatch,
    OpenAiBatchList,
    batch_body,
    failed_batch_body,
)
from stream_infer.gateway.openai.files import unknown_file
from stream_infer.gateway.openai.ids import batch_created_at, new_batch_id, read_answers_id
from stream_infer.gateway.openai.lines import ENDPOINTS, Findings, LineError, is_endpoint
from stream_infer.gateway.openai.owned import Owned
from stream_infer.gateway.openai.records import FailedBatch
from stream_infer.gateway.openai.request import CreateBatch, refused, window_s
from stream_infer.gateway.services import Services
from stream_infer.gateway.submission import request_hash
from stream_infer.gateway.submitting import Asked, Submissions
from stream_infer.gateway.validation import validate
from stream_infer.http.answers import answer
from stream_infer.http.bodies import read_body
from stream_infer.http.callers import caller_of
from stream_infer.http.problems import Problem, ProblemKind, hint
from stream_infer.http.requests import (
    JSON_TYPE,
    integer,
    parse_body,
    read_query,
    refuse_strangers,
    require_content_type,
)
from stream_infer.jobs.batches import Batch
from stream_infer.jobs.status import Cause
from stream_infer.settings import ApiSettings

# Explicitly, so that nothing of the API's own settings is left: the answers are lines, the bodies what was sent.
_RESULTS = {"format": "jsonl", "join": "none", "input_filter": None, "output_filter": None}
# A batch is not begun of a file that is about to go: until it is written nobody sees that the file is read.
FILE_STAYS_S = 60.0
_log = structlog.get_logger(__name__)


class OpenAiBatchesResource:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._submissions = Submissions(services)
        self._owned = Owned(services)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v1/batches", self.create),
            web.get("/v1/batches", self.list_batches, allow_head=False),
            web.get("/v1/batches/{batch_id}", self.get, allow_head=False),
            web.post("/v1/batches/{batch_id}/cancel", self.cancel),
        ]

    async def create(self, request: web.Request) -> web.Response:
        read_query(request, ())
        require_content_type(request, (JSON_TYPE,))
        data, services, caller = await read_body(request), self._services, caller_of(request).name
        asked = validate(CreateBatch, parse_body(data))
        seconds = _checked(asked)
        record = await services.block(lambda: self._owned.file(caller, asked.input_file_id, FILE_STAYS_S))
        if record is None:
            raise unknown_file(asked.input_file_id)
        now = services.clock()
        batch_id = new_batch_id(now)
        batch = Batch(
            caller=caller,
            input_file_id=record.id,
            endpoint=asked.endpoint,
            completion_window=asked.completion_window,
            expires_at=now + seconds,
            metadata=asked.metadata,
            requests=record.findings.requests,
        )
        await services.see_apis()  # its API may be one that another gateway has taken
        api = services.settings.api(record.findings.api or "")
        errors = record.findings.errors or self._mismatches(asked, record.findings, api)
        if errors or api is None:
            failed = FailedBatch(id=batch_id, batch=batch, created_at=now, errors=tuple(errors))
            await services.block(lambda: self._owned.records.put_batch(caller, failed))
            _log.info("batch_not_valid", batch=batch_id, file=record.id, errors=len(errors))
            return answer(failed_batch_body(failed))
        spec = {"requests": {"uri": record.uri}, "timeout": seconds, "results": _RESULTS}
        submission = await services.block(lambda: self._read(api, spec, data, batch))

        async def require_file() -> None:
            """Whoever deletes it takes its record away, then waits for its name, then looks for batches."""
            if await services.block(lambda: self._owned.file(caller, record.id, FILE_STAYS_S)) is None:
                raise unknown_file(record.id)

        advice = f"GET /v1/batches/{batch_id} tells."
        known = await self._submissions.submit_holding(submission, batch_id, advice, record.id, require_file)
        return answer(batch_body(known, batch))

    async def list_batches(self, request: web.Request) -> web.Response:
        """The newest first."""
        query, caller = read_query(request, ("after", "limit")), caller_of(request).name
        limit = integer(query, "limit", 20, 1, 100)
        after = query.get("after")
        if after is not None and batch_created_at(after) is None:
            raise _unknown(after)
        await self._services.board.catch_up()
        # Also where that one was forgotten since: its id says where it stood.
        jobs = {known.job.job_id: known for known in islice(self._owned.batches(caller, after), limit + 1)}
        failed = await self._services.block(lambda: list(self._owned.records.batch_ids(caller)))
        ids = sorted({*jobs, *(one for one in failed if after is None or one < after)}, reverse=True)
        data = []
        for batch_id in ids[:limit]:
            body = await self._body(caller, batch_id, jobs.get(batch_id))
            data += [] if body is None else [body]
        shown: list[Any] = [one.id for one in data] or [None]
        page = OpenAiBatchList(data=data, first_id=shown[0], last_id=shown[-1], has_more=len(ids) > limit)
        return answer(page)

    async def get(self, request: web.Request) -> web.Response:
        read_query(request, ())
        batch_id, caller = request.match_info["batch_id"], caller_of(request).name
        body = await self._body(caller, batch_id, await self._owned.batch(caller, batch_id))
        if body is None:
            raise _unknown(batch_id)
        return answer(body)

    async def cancel(self, request: web.Request) -> web.Response:
        """Of one that is being cancelled, or was, once more."""
        read_query(request, ())
        # It has no body whose type would keep a page of others from asking.
        refuse_strangers(request.headers.get("Origin"), request.headers.get("Host"))
        batch_id, caller = request.match_info["batch_id"], caller_of(request).name
        known = await self._owned.batch(caller, batch_id)
        body = await self._body(caller, batch_id, known)
        if body is None:
            raise _unknown(batch_id)
        if known is not None and not known.status.state.is_final:
            known = await self._submissions.stop(known)
            return answer(await self._body(caller, batch_id, known) or body)
        if known is None or known.status.ends_early is not Cause.STOP:
            detail = f"Batch {batch_id} cannot be cancelled: it is {body.status}."
            raise Problem(ProblemKind.JOB_IS_FINAL, detail)
        return answer(body)

    def _mismatches(self, asked: CreateBatch, findings: Findings, api: ApiSettings | None) -> list[LineError]:
        """What is wrong with a file that is well formed."""
        errors = []
        if findings.url != asked.endpoint:
            said = f"The url {findings.url!r} is not the batch's endpoint, {asked.endpoint!r}."
            errors.append(LineError(code="mismatched_url", message=said, line=findings.first, param="url"))
        if api is None:
            known = [one.name for one in self._services.settings.apis]
            near = hint(findings.api or "", known)
            said = f"No API is named {findings.api!r}.{near} Known APIs: {', '.join(known) or 'none'}."
            errors.append(LineError(code="model_not_found", message=said, line=findings.first, param="body.model"))
        return errors

    def _read(self, api: ApiSettings, spec: Any, data: bytes, batch: Batch) -> Asked:
        return replace(self._submissions.read(api, spec, request_hash(api.name, data)), batch=batch)

    async def _body(self, caller: str, batch_id: str, known: KnownJob | None) -> OpenAiBatch | None:
        if known is not None and known.job.batch is not None:
            return batch_body(known, known.job.batch)
        failed = await self._services.block(lambda: self._owned.records.batch(caller, batch_id))
        return None if failed is None else failed_batch_body(failed)


def _checked(asked: CreateBatch) -> float:
    """The seconds of its window, or a Problem."""
    if read_answers_id(asked.input_file_id) is not None:
        raise refused("input_file_id", "it has the answers of a batch; a batch reads a file with purpose 'batch'")
    if not is_endpoint(asked.endpoint):
        known = ", ".join((*ENDPOINTS, "/v1/apis/{api}/predict"))
        raise refused("endpoint", f"{asked.endpoint[:100]!r} is none of {known}")
    if asked.output_expires_after is not None:
        detail = "the answers stay for as long as their batch is remembered (jobs.retention): leave it out"
        raise refused("output_expires_after", detail)
    return window_s(asked.completion_window)


def _unknown(batch_id: str) -> Problem:
    detail = f"No batch is named {batch_id[:100]!r}: it was never made here, is forgotten, or is another caller's."
    return Problem(ProblemKind.UNKNOWN_JOB, detail)
