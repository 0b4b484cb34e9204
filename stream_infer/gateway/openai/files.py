"""`/v1/files` as OpenAI's clients call it: files of requests that are sent, and those with the answers of batches.

A file is an upload with a record of its own (openai_records.py), checked line by line while it comes; it stays until
it is deleted or its time is over. Each caller has its own: what is another one's is not there.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from aiohttp import web

from stream_infer.errors import ServiceUnavailable
from stream_infer.gateway.openai.bodies import (
    Answers,
    OpenAiFile,
    OpenAiFileDeleted,
    OpenAiFileList,
    answers_body,
    answers_of,
    sent_file_body,
)
from stream_infer.gateway.openai.ids import read_answers_id, read_sent_id
from stream_infer.gateway.openai.owned import Owned
from stream_infer.gateway.openai.records import FileRecord
from stream_infer.gateway.openai.request import BATCH
from stream_infer.gateway.openai.upload import receive_file
from stream_infer.gateway.receiving import Receiver
from stream_infer.gateway.services import Services
from stream_infer.gateway.streams import send_chunks
from stream_infer.http.answers import answer
from stream_infer.http.callers import caller_of
from stream_infer.http.problems import Problem, ProblemKind
from stream_infer.http.requests import integer, read_query
from stream_infer.jobs.batches import answers_key
from stream_infer.ports import Store
from stream_infer.uploads import Upload, UploadNote, upload_of

MAX_STREAMS = 16
MOST_LISTED = 10_000
PIECE_BYTES = 8 * 1024 * 1024
# Of each a record is read: whoever wants more asks on, as OpenAI's clients do by themselves.
PAGE = 100


class _Place(NamedTuple):
    """Of a file among all; `answers` None: it was sent."""

    created_at: int
    id: str
    answers: Answers | None = None


class _Found(NamedTuple):
    """A file, and where it lies: the upload that was sent, or the store's key of answers."""

    body: OpenAiFile
    place: Upload | str


class OpenAiFilesResource:
    def __init__(self, services: Services, receiver: Receiver) -> None:
        self._services = services
        self._receiver = receiver
        self._owned = Owned(services)
        self._streams = 0

    def routes(self) -> list[web.RouteDef]:
        one = "/v1/files/{file_id}"
        return [
            web.post("/v1/files", self.create),
            web.get("/v1/files", self.list_files, allow_head=False),
            web.get(one, self.get, allow_head=False),
            web.delete(one, self.delete),
            web.get(f"{one}/content", self.content, allow_head=False),
        ]

    async def create(self, request: web.Request) -> web.Response:
        read_query(request, ())
        return answer(sent_file_body(await receive_file(request, self._services, self._receiver)))

    async def list_files(self, request: web.Request) -> web.Response:
        query = read_query(request, ("after", "limit", "order", "purpose"))
        limit = min(PAGE, integer(query, "limit", MOST_LISTED, 1, MOST_LISTED))
        order, caller = query.get("order", "desc"), caller_of(request).name
        if order not in ("asc", "desc"):
            raise Problem(ProblemKind.INVALID_QUERY, f"order={order[:40]!r} is neither asc nor desc.")
        await self._services.board.catch_up()
        return answer(await self._services.block(lambda: self._page(caller, query, limit)))

    async def get(self, request: web.Request) -> web.Response:
        read_query(request, ())
        return answer((await self._find(request)).body)

    async def content(self, request: web.Request) -> web.StreamResponse:
        read_query(request, ())
        found, store = await self._find(request), self._services.store
        if self._streams >= MAX_STREAMS:
            detail = f"{MAX_STREAMS} files are being read here already. Try again, or ask another replica."
            raise Problem(ProblemKind.BUSY, detail)
        self._streams += 1
        try:
            size, place = found.body.bytes, found.place
            pieces = _parts(store, place) if isinstance(place, Upload) else _pieces(store, place, size)
            headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
            return await send_chunks(request, pieces, self._services.block, headers)
        finally:
            self._streams -= 1

    async def delete(self, request: web.Request) -> web.Response:
        """Not while a batch may still read it. The answers of a batch stand in its job's results further on."""
        read_query(request, ())
        file_id, caller = request.match_info["file_id"], caller_of(request).name
        record = await self._services.block(lambda: self._owned.file(caller, file_id))
        if record is not None:
            await self._delete_sent(caller, record)
            return answer(OpenAiFileDeleted(id=file_id))
        found = await self._find_answers(file_id, caller)
        if found is None:
            raise unknown_file(file_id)
        place, store = found.place, self._services.store
        assert isinstance(place, str)
        await self._services.block(lambda: store.delete(place))
        return answer(OpenAiFileDeleted(id=file_id))

    async def _delete_sent(self, caller: str, record: FileRecord) -> None:
        services, records = self._services, self._owned.records
        await services.board.catch_up()
        self._require_unread(record.id)
        await services.block(lambda: records.delete_file(caller, record.id))
        try:
            await services.claims.alone(record.id, lambda _write: self._look_again(record.id))
        except BaseException:
            await services.block(lambda: records.put_file(caller, record))
            raise
        upload = upload_of(record.uri)
        if upload is not None:
            await self._receiver.remove(upload)

    async def _look_again(self, file_id: str) -> None:
        """Another gateway may have begun a batch of it meanwhile. One that comes to hold the file's name behind us
        finds no record of it, and who held it before has written its batch, or does not write it any more."""
        await self._services.board.catch_up()
        self._require_unread(file_id)

    def _require_unread(self, file_id: str) -> None:
        for known in self._owned.readers(file_id):
            detail = f"Batch {known.job.job_id} still reads {file_id}: cancel it first, or wait for its end."
            raise Problem(ProblemKind.JOB_NOT_FINAL, detail)

    async def _find(self, request: web.Request) -> _Found:
        """The caller's own; raises a Problem where it is none."""
        file_id, caller = request.match_info["file_id"], caller_of(request).name
        found = await self._find_sent(file_id, caller) or await self._find_answers(file_id, caller)
        if found is None:
            raise unknown_file(file_id)
        return found

    async def _find_sent(self, file_id: str, caller: str) -> _Found | None:
        record = await self._services.block(lambda: self._owned.file(caller, file_id))
        upload = None if record is None else upload_of(record.uri)
        return None if record is None or upload is None else _Found(sent_file_body(record), upload)

    async def _find_answers(self, file_id: str, caller: str) -> _Found | None:
        named = read_answers_id(file_id)
        known = None if named is None else await self._owned.batch(caller, named.batch_id)
        answers = [] if known is None else answers_of(known)
        one = next((one for one in answers if one.id == file_id), None)
        body = None if one is None else await self._services.block(lambda: self._answers(one))
        return None if one is None or body is None else _Found(body, _key_of(one))

    def _page(self, caller: str, query: dict[str, str], limit: int) -> OpenAiFileList:
        """Blocks."""
        is_newest_first = query.get("order", "desc") == "desc"
        after = None if "after" not in query else self._place_of(caller, query["after"])
        places = heapq.merge(
            *self._places(caller, query.get("purpose"), after, is_newest_first=is_newest_first),
            key=_order_of,
            reverse=is_newest_first,
        )
        data: list[OpenAiFile] = []
        for place in places:
            if after is not None and not (_order_of(place) < after if is_newest_first else _order_of(place) > after):
                continue
            if len(data) == limit:
                return _listed(data, has_more=True)
            body = self._body(caller, place)
            data += [] if body is None else [body]
        return _listed(data, has_more=False)

    def _places(
        self, caller: str, purpose: str | None, after: tuple[int, str] | None, *, is_newest_first: bool
    ) -> Iterator[Iterable[_Place]]:
        """Those of files that were sent, and those of answers, each in the order that is asked for. Blocks."""
        if purpose in (None, BATCH):
            sent = (_Place(found.created_at, name) for name, found in self._owned.sent(caller))
            yield sorted(sent, key=_order_of, reverse=is_newest_first)
        if purpose in (None, "batch_output"):
            at = None if after is None else after[0]
            answers = self._owned.answers(caller, at, is_newest_first=is_newest_first)
            yield (_Place(int(one.created_at), one.id, one) for one in answers)

    def _place_of(self, caller: str, after: str) -> tuple[int, str]:
        """Of a file that was sent its id says it, so that one may be deleted as soon as it was listed. Raises a
        Problem."""
        sent = read_sent_id(after)
        if sent is not None:
            return sent.created_at, after
        named = read_answers_id(after)
        known = None if named is None else self._owned.read_batch(caller, named.batch_id)
        found = None if known is None else next((one for one in answers_of(known) if one.id == after), None)
        if found is None:
            raise unknown_file(after)
        return int(found.created_at), after

    def _body(self, caller: str, place: _Place) -> OpenAiFile | None:
        """None where it has gone meanwhile. Blocks."""
        if place.answers is not None:
            return self._answers(place.answers)
        record = self._owned.file(caller, place.id)
        return None if record is None else sent_file_body(record)

    def _answers(self, answers: Answers) -> OpenAiFile | None:
        """None where they were deleted. Blocks."""
        key = _key_of(answers)
        size = next((found.size for found in self._services.store.list(key) if found.key == key), None)
        return None if size is None else answers_body(answers, size)


def _key_of(answers: Answers) -> str:
    return answers_key(answers.api, answers.job_id, answers.kind)


def unknown_file(file_id: str) -> Problem:
    detail = f"No file is named {file_id[:100]!r}: it was deleted, its time is over, or it is another caller's."
    return Problem(ProblemKind.UNKNOWN_FILE, detail)


def _order_of(place: _Place) -> tuple[int, str]:
    return place.created_at, place.id


def _listed(data: list[OpenAiFile], *, has_more: bool) -> OpenAiFileList:
    ids: list[Any] = [one.id for one in data] or [None]
    return OpenAiFileList(data=data, first_id=ids[0], last_id=ids[-1], has_more=has_more)


def _parts(store: Store, upload: Upload) -> Iterator[bytes]:
    try:
        note = UploadNote.model_validate_json(store.get(upload.note))
        for number in range(-(-note.bytes // note.part_bytes)):
            yield store.get(upload.part(number))
    except KeyError:
        raise ServiceUnavailable(f"{upload.uri} has gone while it was read") from None


def _pieces(store: Store, key: str, size: int) -> Iterator[bytes]:
    try:
        for start in range(0, size, PIECE_BYTES):
            yield store.piece(key, start, min(PIECE_BYTES, size - start))
    except KeyError:
        raise ServiceUnavailable(f"{store.uri(key)} has gone while it was read") from None
