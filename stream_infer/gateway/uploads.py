"""`/v1/uploads`: a file that the gateway could not read by itself, streamed into the store for a job to come."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import structlog
from aiohttp import web

from stream_infer.errors import StreamInferError
from stream_infer.gateway.representations import UploadBody
from stream_infer.gateway.services import Services
from stream_infer.http.answers import answer
from stream_infer.http.bodies import body_chunks
from stream_infer.http.callers import Caller, caller_of
from stream_infer.http.problems import Problem, ProblemKind
from stream_infer.http.requests import JSON_TYPE, NDJSON_TYPES, read_query, require_content_type
from stream_infer.ports import Store
from stream_infer.settings import LimitSettings
from stream_infer.uploads import PART_BYTES, UNUSED_FOR_S, Upload, UploadNote, new_upload

UPLOADED_TYPES = ("application/octet-stream", *NDJSON_TYPES, JSON_TYPE, "text/csv", "application/gzip")
_ID = r"{upload_id:\d{10}-[0-9a-f]{8}-[0-9a-f]{16}}"
_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Receiving:
    """How far one upload has come; holds less than two parts."""

    upload: Upload
    parts: int = 0
    size: int = 0
    held: bytearray = field(default_factory=bytearray)
    digest: hashlib._Hash = field(default_factory=hashlib.sha256)

    def take(self, chunk: bytes) -> None:
        self.held += chunk
        self.size += len(chunk)
        self.digest.update(chunk)

    def next_part(self) -> tuple[str, bytes]:
        """Its key and its bytes."""
        data = bytes(self.held[:PART_BYTES])
        del self.held[:PART_BYTES]
        self.parts += 1
        return self.upload.part(self.parts - 1), data


class UploadsResource:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._receiving: Counter[str] = Counter()  # by the caller

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/v1/uploads", self.receive), web.delete(f"/v1/uploads/{_ID}", self.remove)]

    async def receive(self, request: web.Request) -> web.Response:
        """201 once all of it is in the store. What breaks off leaves nothing that a job could read."""
        query = read_query(request, ("name",))
        require_content_type(request, UPLOADED_TYPES)
        limits = self._services.settings.limits
        _require_size(request.content_length or 0, limits)
        caller = caller_of(request)
        self._require_place(caller, limits)
        name, services = query.get("name", "upload"), self._services
        receiving = _Receiving(new_upload(name, services.owner, services.clock()))
        self._receiving[caller.name] += 1
        try:
            await self._receive(request, receiving, limits)
            note = await self._complete(receiving, query.get("name", ""))
        except BaseException:
            await self._forget(receiving)
            raise
        finally:
            self._receiving[caller.name] -= 1
            self._receiving += Counter()  # without those that have none
        upload = receiving.upload
        _log.info("uploaded", upload=upload.uri, bytes=note.bytes)
        body = UploadBody(
            upload_id=upload.id, uri=upload.uri, bytes=note.bytes, sha256=note.sha256, unused_for=UNUSED_FOR_S
        )
        return answer(body, status=201, headers={"Location": f"/v1/uploads/{upload.id}"})

    def _require_place(self, caller: Caller, limits: LimitSettings) -> None:
        """A caller with a key leaves one place to others."""
        if self._receiving.total() >= limits.uploads:
            detail = f"{limits.uploads} uploads are being received here already (limits.uploads). Try again, or ask "
            raise Problem(ProblemKind.BUSY, detail + "another replica.")
        most = max(1, limits.uploads - 1)
        if caller.key_id is not None and self._receiving[caller.name] >= most:
            detail = f"{most} uploads of {caller.name} are being received here already, and limits.uploads "
            raise Problem(ProblemKind.BUSY, detail + f"is {limits.uploads}. Try again when one is done.")

    async def remove(self, request: web.Request) -> web.Response:
        """204, whether it was there or not. A job that names it can read it no more."""
        read_query(request, ())
        upload = Upload(request.match_info["upload_id"], "upload")
        store = self._services.store
        await self._services.block(
            lambda: _delete(store, [upload.note, *(found.key for found in store.list(upload.folder))])
        )
        return web.Response(status=204)

    async def _receive(self, request: web.Request, receiving: _Receiving, limits: LimitSettings) -> None:
        async for chunk in body_chunks(request):
            receiving.take(chunk)
            _require_size(receiving.size, limits)
            while len(receiving.held) >= PART_BYTES:
                await self._put_part(receiving)
        if receiving.held:
            await self._put_part(receiving)
        if not receiving.size:
            raise Problem(ProblemKind.INVALID_REQUEST, "The body is empty: it is the file, byte for byte.")

    async def _put_part(self, receiving: _Receiving) -> None:
        key, data = receiving.next_part()
        await self._services.block(lambda: self._services.store.put(key, data))

    async def _complete(self, receiving: _Receiving, name: str) -> UploadNote:
        digest = receiving.digest.hexdigest()
        note = UploadNote(name=name, bytes=receiving.size, part_bytes=PART_BYTES, sha256=digest)
        data = note.model_dump_json().encode()
        await self._services.block(lambda: self._services.store.put(receiving.upload.note, data, JSON_TYPE))
        return note

    async def _forget(self, receiving: _Receiving) -> None:
        """What is left nevertheless goes with the uploads that nobody uses."""
        store, upload = self._services.store, receiving.upload
        keys = [upload.note, *(upload.part(number) for number in range(receiving.parts))]
        with suppress(StreamInferError):
            await self._services.block(lambda: _delete(store, keys))


def _delete(store: Store, keys: Sequence[str]) -> None:
    for key in keys:
        store.delete(key)


def _require_size(size: int, limits: LimitSettings) -> None:
    if size > limits.upload_bytes:
        detail = (
            f"The file has {size} bytes or more; limits.upload_bytes is {limits.upload_bytes}. Put it where the "
            "gateway may read it (fetch.allowed_directories, fetch.allowed_s3_prefixes) and submit its address."
        )
        raise Problem(ProblemKind.TOO_LARGE, detail)
