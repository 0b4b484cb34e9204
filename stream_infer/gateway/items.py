"""`POST /v1/apis/{api}/items`: NDJSON straight to the topic, in constant memory."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass, field

import orjson
from aiohttp import web

from stream_infer.errors import StreamInferError
from stream_infer.gateway.representations import ItemsAccepted
from stream_infer.gateway.services import Services
from stream_infer.headers import item_headers, item_id_of, trace_headers
from stream_infer.http.answers import answer
from stream_infer.http.bodies import body_chunks
from stream_infer.http.problems import Problem, ProblemKind, problem_of, sentence
from stream_infer.http.request_lines import request_id
from stream_infer.http.requests import NDJSON_TYPES, read_query, require_content_type
from stream_infer.records import JSON, Headers, OutgoingRecord
from stream_infer.telemetry import tracing
from stream_infer.telemetry.tracing import Kind

CHUNK_ITEMS = 1000
CHUNK_BYTES = 1024 * 1024
PUBLISH_TIMEOUT_S = 15.0


@dataclass(slots=True)
class _Upload:
    """How far one request has come. `accepted` items are acknowledged by Kafka; `held` are not sent yet."""

    topic: str
    request_id: str
    trace: Headers = ()
    line: int = 0
    accepted: int = 0
    held: list[OutgoingRecord] = field(default_factory=list)
    held_bytes: int = 0

    def hold(self, data: bytes) -> None:
        headers = item_headers(
            content_type=JSON,
            item_id=item_id_of(self.request_id, self.accepted + len(self.held)),
            source=f"request {self.request_id} line {self.line}",
        )
        self.held.append(OutgoingRecord(self.topic, None, data, headers + self.trace))
        self.held_bytes += len(data)

    @property
    def is_full(self) -> bool:
        return len(self.held) >= CHUNK_ITEMS or self.held_bytes >= CHUNK_BYTES


class ItemsResource:
    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/v1/apis/{api}/items", self.publish)]

    async def publish(self, request: web.Request) -> web.Response:
        """202 once every item is acknowledged. A bad line ends the upload there; the items before it are published."""
        api = self._services.api(request.match_info["api"])
        read_query(request, ())
        require_content_type(request, NDJSON_TYPES)
        topic = self._services.topics.api(api.name).items
        upload = _Upload(topic, request_id(), trace_headers(tracing.current()))
        limit = self._services.settings.limits.payload_bytes
        async for line in read_lines(_chunks(request, upload), limit):
            await self._take(upload, line.strip(), limit)
        await self._flush(upload)
        if not upload.accepted:
            raise Problem(ProblemKind.INVALID_REQUEST, "The body has no item: send one JSON value a line.", accepted=0)
        return answer(_body(api.name, upload), status=202)

    async def _take(self, upload: _Upload, line: bytes, limit: int) -> None:
        upload.line += 1
        if not line:
            return
        problem = check_line(line, upload.line, limit)
        if problem is not None:
            await self._flush(upload)
            raise _ended(problem, upload)
        upload.hold(line)
        if upload.is_full:
            await self._flush(upload)

    async def _flush(self, upload: _Upload) -> None:
        """Publishes what is held; on an error says how many are surely published."""
        records = upload.held
        if not records:
            return
        sending = tracing.messaging("send", "send", upload.topic, len(records))
        try:
            with tracing.span(f"send {upload.topic}", Kind.PRODUCER, sending):
                await self._services.block(lambda: self._services.publisher.publish(records, PUBLISH_TIMEOUT_S))
        except StreamInferError as error:
            problem = problem_of(error)
            detail = f"{sentence(error)} {upload.accepted} items are published; of the next {len(records)} some may be."
            members = {"accepted": upload.accepted, "line": upload.line, "request_id": upload.request_id}
            raise problem.with_members(detail=detail, **members) from error
        upload.accepted += len(records)
        upload.held, upload.held_bytes = [], 0


async def _chunks(request: web.Request, upload: _Upload) -> AsyncIterator[bytes]:
    """The body; what is wrong with it is said with what became of the lines before."""
    try:
        async for chunk in body_chunks(request):
            yield chunk
    except Problem as problem:
        raise _ended(problem.with_members(line=upload.line), upload) from problem


def check_line(line: bytes, number: int, limit: int) -> Problem | None:
    """What is wrong with line `number` (from 1), or None."""
    if len(line) > limit:
        detail = f"Line {number} is over limits.payload_bytes ({limit} bytes). Put it into a file and send a reference."
        return Problem(ProblemKind.TOO_LARGE, detail, line=number)
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError as error:
        detail = f"Line {number} is not JSON: {error.msg} at column {error.colno}."
        return Problem(ProblemKind.MALFORMED_JSON, detail, line=number, column=error.colno)
    return None


async def read_lines(chunks: AsyncIterable[bytes], limit: int) -> AsyncIterator[bytes]:
    """Lines without their ends. Once one is beyond `limit` bytes, what is there of it is the last."""
    rest = b""
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line
        if len(rest) > limit:
            break
    if rest:
        yield rest


def _ended(problem: Problem, upload: _Upload) -> Problem:
    """The problem, and what became of the lines before it."""
    detail = (
        f"{problem.document.detail} The {upload.accepted} items before it are published and will be served; nothing "
        "from this line on is. Mend it and send the rest from this line on."
    )
    return problem.with_members(detail=detail, accepted=upload.accepted, request_id=upload.request_id)


def _body(api: str, upload: _Upload) -> ItemsAccepted:
    return ItemsAccepted(
        api_name=api,
        accepted=upload.accepted,
        request_id=upload.request_id,
        first_item_id=item_id_of(upload.request_id, 0),
        last_item_id=item_id_of(upload.request_id, upload.accepted - 1),
        topic=upload.topic,
    )
