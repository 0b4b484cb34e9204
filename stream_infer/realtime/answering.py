"""One request: which of the few paths it asks for, and for a prediction the item that it is."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import structlog

from stream_infer.engine.requests import pack_request
from stream_infer.errors import UndecodableItem
from stream_infer.http.admission import entry_of
from stream_infer.http.answers import HealthBody
from stream_infer.http.bodies import OF_KEY, too_large
from stream_infer.http.hosts import require_own_name
from stream_infer.http.json_text import to_json
from stream_infer.http.keys import KEY_HEADERS, KeyEntry, KeyRing, Scope, SentKey
from stream_infer.http.problems import Problem, ProblemKind
from stream_infer.http.reloading import Reloading
from stream_infer.http.requests import JSON_TYPE, TIMEOUT, read_timeout, refuse_strangers
from stream_infer.ports import Fetcher, Reference
from stream_infer.realtime.desk import Desk
from stream_infer.realtime.messages import Asker, Reply, Request, problem_reply
from stream_infer.realtime.metrics import UNOBSERVED, DeskObserver
from stream_infer.realtime.replies import failure_reply
from stream_infer.records import JSON, REFERENCE, REQUEST, Failure, Payload
from stream_infer.references import fetch_one, read_reference, undecodable
from stream_infer.telemetry.exposition import CONTENT_TYPE, metrics_text
from stream_infer.telemetry.exposure import Exposure

_LOG = structlog.get_logger(__name__)
_TIMEOUT = TIMEOUT.encode()
_CONTENT_TYPE = b"content-type"
_ORIGIN = b"origin"
# What a page of somebody else's can make a browser send without asking first, and what no predictor reads.
_FORMS = (b"application/x-www-form-urlencoded", b"multipart/form-data")
_OWN = {b"/healthz", b"/readyz", b"/metrics"}
_KEY_HEADERS = tuple((name, name.lower().encode()) for name in KEY_HEADERS)


@dataclass(frozen=True, slots=True)
class Terms:
    """`timeout_s`: what an item has without a wish of its own, and the longest such wish. `fetches` at a time.

    `shows_requests`: the predictor sees headers and query. `keys`: whose keys let in; None: everybody comes in, but no
    page of a site that is called otherwise than by an address, localhost or one of `names`.
    """

    api: str
    timeout_s: float
    fetches: int
    shows_requests: bool = False
    keys: Reloading[KeyRing] | None = None
    names: tuple[str, ...] = ()


class Answering:
    """Answers requests, each exactly once, by its asker's `reply`. One thread, the event loop's."""

    def __init__(
        self,
        terms: Terms,
        desk: Desk,
        fetcher: Fetcher,
        exposure: Exposure | None = None,
        observer: DeskObserver = UNOBSERVED,
    ) -> None:
        """`exposure` is what `/metrics` shows."""
        self._exposure = exposure or Exposure()
        self._observer = observer
        self._timeout_s = terms.timeout_s
        self._desk = desk
        self._fetcher = fetcher
        self._shows_requests = terms.shows_requests
        self._keys = terms.keys
        self._names = terms.names
        self._fetches = asyncio.Semaphore(terms.fetches)
        self._fetching: set[asyncio.Task[None]] = set()
        self._path = f"/v1/apis/{terms.api}/predict"
        self._target = self._path.encode()

    def refusal(self, head: Request, length: int | None) -> Problem | None:
        """Why the body of such a request, of so many bytes (None: nobody knows), need not come: whoever has no key must
        not fill our memory. Must not block."""
        if self._keys is None:
            return None
        is_item = self._is_item(head)
        try:
            if is_item:
                _require_size(_sent_key(self._keys.value, head, Scope.SUBMIT)[0], length or 0)
                return None
            self._other(head)
            return Problem(ProblemKind.MALFORMED_REQUEST, "A body comes with predictions alone.")
        except Problem as problem:
            if is_item:
                self._observer.refused(problem.status)
            return problem

    def answer(self, request: Request, asker: Asker) -> int:
        """Takes the request; must not block. The token of its place at the desk, or 0: it is answered already."""
        is_item = self._is_item(request)
        try:
            if is_item:
                return self._predict(request, asker)
            asker.reply(self._other(request))
        except Problem as problem:
            if is_item:
                self._observer.refused(problem.status)
            asker.reply(problem_reply(problem))
        except Exception:  # noqa: BLE001 - the boundary: a client gets an answer, the log the traceback
            _LOG.exception("request_failed", target=request.target[:200].decode("latin-1"))
            detail = "An error that is this replica's own fault; its log has the traceback."
            asker.reply(problem_reply(Problem(ProblemKind.INTERNAL, detail)))
        return 0

    def leave(self, token: int) -> None:
        """The asker has gone."""
        self._desk.leave(token)

    def _is_item(self, request: Request) -> bool:
        return request.target.partition(b"?")[0] == self._target and request.method == b"POST"

    def _predict(self, request: Request, asker: Asker) -> int:
        if self._keys is not None:
            request = _admitted(self._keys.value, request)
        content_type = content_type_of(request)
        if _ORIGIN in request.headers:
            host = request.headers.get(b"host", b"")
            refuse_strangers(request.headers[_ORIGIN].decode("latin-1"), host.decode("latin-1"))
            if self._keys is None:
                require_own_name(host.decode("latin-1"), self._names)
        wish = request.headers.get(_TIMEOUT)
        timeout_s = self._timeout_s if wish is None else min(self._timeout_s, read_timeout(wish.decode("latin-1")))
        if content_type == REFERENCE:
            return self._refer(request, timeout_s, asker)
        token = self._desk.admit(len(request.body), timeout_s, asker)
        payload = Payload(request.body, content_type)
        self._desk.submit(token, _with_request(payload, request) if self._shows_requests else payload)
        return token

    def _refer(self, request: Request, timeout_s: float, asker: Asker) -> int:
        try:
            reference = read_reference(request.body)
        except UndecodableItem as error:
            reply = failure_reply(undecodable(str(error)))
            self._observer.refused(reply.status)
            asker.reply(reply)
            return 0
        token = self._desk.admit(len(request.body), timeout_s, asker)
        task = asyncio.get_running_loop().create_task(self._fetch(token, reference, request))
        self._fetching.add(task)
        task.add_done_callback(self._fetching.discard)
        return token

    async def _fetch(self, token: int, reference: Reference, request: Request) -> None:
        async with self._fetches:
            outcome = await fetch_one(self._fetcher, reference)
        if isinstance(outcome, Failure):
            self._desk.answer(token, failure_reply(outcome))
        else:
            self._desk.resize(token, len(outcome.data))
            self._desk.submit(token, _with_request(outcome, request) if self._shows_requests else outcome)

    def _other(self, request: Request) -> Reply:
        path = request.target.partition(b"?")[0]
        if path in _OWN:
            if request.method not in (b"GET", b"HEAD"):
                raise _method_not_allowed(request, "GET")
            if path == b"/metrics":
                return self._metrics(request)
            unreadiness = self._desk.unreadiness if path == b"/readyz" else None
            if unreadiness is not None:
                raise unreadiness
            return Reply(200, JSON_TYPE, to_json(HealthBody(status="ready" if path == b"/readyz" else "ok")))
        if path == self._target:
            raise _method_not_allowed(request, "POST")
        shown = path[:200].decode("latin-1")
        own = "GET /healthz, GET /readyz and GET /metrics"
        detail = f"{shown!r} is no path of this replica; it has POST {self._path}, {own}."
        raise Problem(ProblemKind.UNKNOWN_PATH, detail)

    def _metrics(self, request: Request) -> Reply:
        """Measured: 1.5 ms of the event loop, which requests that come meanwhile wait for."""
        if self._keys is not None:
            _sent_key(self._keys.value, request, Scope.READ)
        return Reply(200, CONTENT_TYPE, metrics_text(self._exposure))


def content_type_of(request: Request) -> str:
    """JSON where nothing is said, as for items. Raises Problem for a form."""
    said = request.headers.get(_CONTENT_TYPE)
    if not said:
        return JSON
    if said.startswith(_FORMS):
        detail = (
            f"The content type is {said[:100].decode('latin-1')!r}, a form; send one item, and say what it is: "
            "content-type: application/json, image/jpeg, … (curl: -H 'content-type: application/json')."
        )
        raise Problem(ProblemKind.UNSUPPORTED_MEDIA_TYPE, detail)
    if b"content-encoding" in request.headers:
        raise Problem(ProblemKind.UNSUPPORTED_MEDIA_TYPE, "The body has a content-encoding; send it as it is.")
    return said.decode("latin-1")


def _admitted(ring: KeyRing, request: Request) -> Request:
    """The request without the key that lets it in, wherever it stands. Raises Problem."""
    entry, sent = _sent_key(ring, request, Scope.SUBMIT)
    _require_size(entry, len(request.body))
    key = sent.key.encode("latin-1")
    return request._replace(headers={name: text for name, text in request.headers.items() if key not in text})


def _sent_key(ring: KeyRing, request: Request, scope: Scope) -> tuple[KeyEntry, SentKey]:
    """Raises Problem where it may not do that."""
    said = {name: request.headers[low].decode("latin-1") for name, low in _KEY_HEADERS if low in request.headers}
    return entry_of(ring, said, scope, time.time())


def _require_size(entry: KeyEntry, length: int) -> None:
    if entry.request_bytes is not None and length > entry.request_bytes:
        raise too_large(entry.request_bytes, OF_KEY)


def _with_request(payload: Payload, request: Request) -> Payload:
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in request.headers.items()}
    query = request.target.partition(b"?")[2].decode("latin-1")
    return Payload(pack_request(payload.data, payload.content_type, headers, query), REQUEST)


def _method_not_allowed(request: Request, allowed: str) -> Problem:
    detail = f"There is no {request.method[:20].decode('latin-1')} here, but {allowed}."
    return Problem(ProblemKind.METHOD_NOT_ALLOWED, detail, headers={"Allow": allowed})
