"""A file on its way from a client into the store, part by part: neither side holds more than two of them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import structlog

from stream_infer.errors import StreamInferError
from stream_infer.gateway.services import Services
from stream_infer.http.callers import Caller
from stream_infer.http.problems import Problem, ProblemKind
from stream_infer.http.requests import JSON_TYPE
from stream_infer.ports import Store
from stream_infer.settings import LimitSettings
from stream_infer.uploads import PART_BYTES, Upload, UploadNote, new_upload

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


class Receiver:
    """Of one gateway, which receives `limits.uploads` files at a time."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._under_way: Counter[str] = Counter()  # by the caller

    async def receive(
        self, caller: Caller, name: str, chunks: AsyncIterator[bytes], look: Callable[[bytes], None] | None = None
    ) -> tuple[Upload, UploadNote]:
        """All of it is in the store behind this; what breaks off leaves nothing that a job could read.

        `look` is shown each part on a thread of the pool, in their order. Raises a Problem (too much at a time, too
        large, empty), what `chunks` raises, or ServiceUnavailable.
        """
        limits = self._services.settings.limits
        self._require_place(caller, limits)
        receiving = _Receiving(new_upload(name, self._services.owner, self._services.clock()))
        self._under_way[caller.name] += 1
        try:
            await self._receive(chunks, receiving, limits, look)
            note = await self._complete(receiving, name)
        except BaseException:
            await self._forget(receiving.upload, receiving.parts)
            raise
        finally:
            self._under_way[caller.name] -= 1
            self._under_way += Counter()  # without those that have none
        _log.info("uploaded", upload=receiving.upload.uri, bytes=note.bytes)
        return receiving.upload, note

    def _require_place(self, caller: Caller, limits: LimitSettings) -> None:
        """A caller with a key leaves one place to others."""
        if self._under_way.total() >= limits.uploads:
            detail = f"{limits.uploads} uploads are being received here already (limits.uploads). Try again, or ask "
            raise Problem(ProblemKind.BUSY, detail + "another replica.")
        most = max(1, limits.uploads - 1)
        if caller.key_id is not None and self._under_way[caller.name] >= most:
            detail = f"{most} uploads of {caller.name} are being received here already, and limits.uploads "
            raise Problem(ProblemKind.BUSY, detail + f"is {limits.uploads}. Try again when one is done.")

    async def remove(self, upload: Upload) -> None:
        """Whether it is there or not. Raises ServiceUnavailable."""
        store = self._services.store
        await self._services.block(
            lambda: _delete(store, [upload.note, *(found.key for found in store.list(upload.folder))])
        )

    async def _forget(self, upload: Upload, parts: int) -> None:
        """What is left nevertheless goes with the uploads that nobody uses."""
        store = self._services.store
        keys = [upload.note, *(upload.part(number) for number in range(parts))]
        with suppress(StreamInferError):
            await self._services.block(lambda: _delete(store, keys))

    async def _receive(
        self,
        chunks: AsyncIterator[bytes],
        receiving: _Receiving,
        limits: LimitSettings,
        look: Callable[[bytes], None] | None,
    ) -> None:
        async for chunk in chunks:
            receiving.take(chunk)
            require_size(receiving.size, limits)
            while len(receiving.held) >= PART_BYTES:
                await self._put_part(receiving, look)
        if receiving.held:
            await self._put_part(receiving, look)
        if not receiving.size:
            raise Problem(ProblemKind.INVALID_REQUEST, "The body is empty: it is the file, byte for byte.")

    async def _put_part(self, receiving: _Receiving, look: Callable[[bytes], None] | None) -> None:
        key, data = receiving.next_part()

        def put() -> None:
            if look is not None:
                look(data)
            self._services.store.put(key, data)

        await self._services.block(put)

    async def _complete(self, receiving: _Receiving, name: str) -> UploadNote:
        digest = receiving.digest.hexdigest()
        note = UploadNote(name=name, bytes=receiving.size, part_bytes=PART_BYTES, sha256=digest)
        data = note.model_dump_json().encode()
        await self._services.block(lambda: self._services.store.put(receiving.upload.note, data, JSON_TYPE))
        return note


def require_size(size: int, limits: LimitSettings) -> None:
    """Raises a Problem where a file of so many bytes is too large."""
    if size > limits.upload_bytes:
        detail = (
            f"The file has {size} bytes or more; limits.upload_bytes is {limits.upload_bytes}. Put it where the "
            "gateway may read it (fetch.allowed_directories, fetch.allowed_s3_prefixes) and submit its address."
        )
        raise Problem(ProblemKind.TOO_LARGE, detail)


def _delete(store: Store, keys: Sequence[str]) -> None:
    for key in keys:
        store.delete(key)
