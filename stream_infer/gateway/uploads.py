"""`/v1/uploads`: a file that the gateway could not read by itself, streamed into the store for a job to come."""

from __future__ import annotations

from aiohttp import web

from stream_infer.gateway.receiving import Receiver, require_size
from stream_infer.gateway.representations import UploadBody
from stream_infer.gateway.services import Services
from stream_infer.http.answers import answer
from stream_infer.http.bodies import body_chunks
from stream_infer.http.callers import caller_of
from stream_infer.http.requests import JSON_TYPE, NDJSON_TYPES, read_query, require_content_type
from stream_infer.uploads import UNUSED_FOR_S, Upload

UPLOADED_TYPES = ("application/octet-stream", *NDJSON_TYPES, JSON_TYPE, "text/csv", "application/gzip")
_ID = r"{upload_id:\d{10}-[0-9a-f]{8}-[0-9a-f]{16}}"


class UploadsResource:
    def __init__(self, services: Services, receiver: Receiver) -> None:
        self._services = services
        self._receiver = receiver

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/v1/uploads", self.receive), web.delete(f"/v1/uploads/{_ID}", self.remove)]

    async def receive(self, request: web.Request) -> web.Response:
        """201 once all of it is in the store. What breaks off leaves nothing that a job could read."""
        query = read_query(request, ("name",))
        require_content_type(request, UPLOADED_TYPES)
        require_size(request.content_length or 0, self._services.settings.limits)
        upload, note = await self._receiver.receive(caller_of(request), query.get("name", ""), body_chunks(request))
        body = UploadBody(
            upload_id=upload.id, uri=upload.uri, bytes=note.bytes, sha256=note.sha256, unused_for=UNUSED_FOR_S
        )
        return answer(body, status=201, headers={"Location": f"/v1/uploads/{upload.id}"})

    async def remove(self, request: web.Request) -> web.Response:
        """204, whether it was there or not. A job that names it can read it no more."""
        read_query(request, ())
        await self._receiver.remove(Upload(request.match_info["upload_id"], "upload"))
        return web.Response(status=204)
