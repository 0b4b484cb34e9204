"""Requests that are passed on to realtime replicas, and the looking after those."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field

import aiohttp
import structlog
from aiohttp import web

from stream_infer.gateway.deployments.deployed import DeployedApis
from stream_infer.gateway.replicas import Replica, Replicas
from stream_infer.http.json_text import MalformedJson, parse_json
from stream_infer.http.keys import KEY_HEADER
from stream_infer.http.problems import CONTENT_TYPE, Problem, ProblemKind
from stream_infer.http.requests import TIMEOUT, read_timeout
from stream_infer.kafka.definitions import CurrentSettings
from stream_infer.records import JSON
from stream_infer.settings import ApiSettings
from stream_infer.telemetry import tracing

LOOK_EVERY_S = 0.5
_LOOK_TIMEOUT_S = 2.0
_CONNECT_TIMEOUT_S = 2.0
# Shorter than a replica keeps an idle connection, so that none is used that it is just about to close.
_KEPT_S = 15.0
# The replica has the same deadline, and says more about it.
_GRACE_S = 0.5
_PASSED_ON = frozenset({"content-type", "traceparent", "tracestate"})
# Of the connection, not of the request (RFC 9110, 7.6.1), or made anew.
_HOP_BY_HOP = frozenset({
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
    "transfer-encoding", "upgrade", "host", "content-length", "content-encoding", "accept-encoding", "expect", "origin",
    TIMEOUT,
})  # fmt: skip
_PASSED_BACK = ("content-type", "retry-after", "allow", "accept")
# It has begun nothing: another replica may.
_NOT_TAKEN = frozenset({ProblemKind.FULL.type, ProblemKind.NOT_READY.type})
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Call:
    """A request for one prediction. `headers` by lower-case name; `query` as it came, without its question mark.

    `key` let it in here, and lets it in at a replica; no predictor sees it.
    """

    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    query: str = ""
    key: str | None = field(default=None, repr=False)


class Predictions:
    """Passes calls on. Use it as one of the application's `cleanup_ctx`: `opened`. APIs may come and go meanwhile."""

    def __init__(self, apis: CurrentSettings, deployed: DeployedApis | None = None) -> None:
        self._apis = apis
        self._deployed = deployed
        self._replicas: dict[str, Replicas] = {}
        self._lookers: dict[str, list[asyncio.Task[None]]] = {}
        self._session: aiohttp.ClientSession | None = None
        self._follow()

    async def opened(self, _app: web.Application) -> AsyncIterator[None]:
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEPT_S)
        async with aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False, trust_env=False
        ) as session:
            self._session = session
            for name in self._replicas:
                self._look(name, session)
            async with self._heard():
                yield
            lookers = [looker for some in self._lookers.values() for looker in some]
            for looker in lookers:
                looker.cancel()
            await asyncio.gather(*lookers, return_exceptions=True)

    def _heard(self) -> AbstractAsyncContextManager[None]:
        return nullcontext() if self._deployed is None else self._deployed.heard(self._follow)

    def _follow(self) -> None:
        """What is as it was keeps what is known of its replicas."""
        wanted = {api.name: api.realtime for api in self._apis.settings.apis if api.realtime is not None}
        for name in [*self._replicas]:
            now = wanted.get(name)
            if now is None or not self._replicas[name].are_of(now.urls, now.max_in_flight):
                del self._replicas[name]
                for looker in self._lookers.pop(name, []):
                    looker.cancel()
        for name in wanted.keys() - self._replicas.keys():
            self._replicas[name] = Replicas(wanted[name].urls, wanted[name].max_in_flight)
            if self._session is not None:
                self._look(name, self._session)

    def _look(self, name: str, session: aiohttp.ClientSession) -> None:
        self._lookers[name] = [
            asyncio.create_task(self._look_after(replica, session)) for replica in self._replicas[name].all
        ]

    def check(self, api: ApiSettings) -> None:
        """Raises a Problem where a call would only wait: before its body is read."""
        replicas = self._of(api)
        if replicas.are_full:
            detail = f"All replicas of API {api.name} have as much in flight as they may. Come again."
            raise Problem(ProblemKind.FULL, detail, headers={"Retry-After": "1"})

    async def answer(self, api: ApiSettings, call: Call) -> web.Response:
        """What a replica answers. Raises a Problem: there is none, none is ready, or the one that had it went away.

        A call is sent to a second replica only where the first cannot have begun it.
        """
        assert api.realtime is not None
        wish = call.headers.get(TIMEOUT)
        timeout_s = api.realtime.timeout if wish is None else min(api.realtime.timeout, read_timeout(wish))
        deadline = time.monotonic() + timeout_s
        replicas = self._of(api)
        tried: set[str] = set()
        refused: web.Response | None = None
        while (replica := replicas.choose(tried)) is not None:
            tried.add(replica.url)
            began = time.monotonic()
            try:
                answered = await self._pass_on(api, replica, call, deadline)
            except _NothingSent as error:
                if replica.note(str(error)):
                    _log.warning("replica_lost", url=replica.url, reason=str(error))
                continue
            except TimeoutError:
                raise _late(timeout_s) from None
            if not _was_refused(answered):
                replicas.took(time.monotonic() - began)
                return answered
            refused = answered
        if refused is not None:
            return refused
        faults = replicas.faults()
        detail = f"No replica of API {api.name} is ready. {'; '.join(faults)}."
        raise Problem(ProblemKind.NOT_READY, detail, reasons=faults)

    def replicas(self, api: ApiSettings) -> Replicas | None:
        """Those of the API; None: it answers no requests."""
        return self._replicas.get(api.name)

    def _of(self, api: ApiSettings) -> Replicas:
        replicas = self._replicas.get(api.name)
        if replicas is None or not replicas.all:
            detail = f"API {api.name} answers no requests: set apis[].realtime for it. Its jobs and items are served."
            raise Problem(ProblemKind.NO_REALTIME, detail)
        return replicas

    async def _pass_on(self, api: ApiSettings, replica: Replica, call: Call, deadline: float) -> web.Response:
        assert self._session is not None
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        url = f"{replica.url}/v1/apis/{api.name}/predict"
        headers = {name: value for name, value in call.headers.items() if _goes_on(name, api)}
        headers.setdefault("content-type", JSON)  # or aiohttp would call it bytes
        if call.key is not None:
            headers[KEY_HEADER.lower()] = call.key
        headers |= tracing.outgoing()
        query = f"?{call.query}" if call.query and api.predictor.sees_requests else ""
        timeout = aiohttp.ClientTimeout(total=left + _GRACE_S, sock_connect=min(left, _CONNECT_TIMEOUT_S))
        replica.outstanding += 1
        try:
            async with self._session.post(
                url + query, data=call.body, headers=headers | {TIMEOUT: f"{left:.3f}"}, timeout=timeout
            ) as response:
                body = await response.read()
                passed = {name: response.headers[name] for name in _PASSED_BACK if name in response.headers}
                return web.Response(status=response.status, body=body, headers=passed)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise _NothingSent(f"it cannot be reached ({type(error).__name__})") from None
        except aiohttp.ClientError as error:
            _log.warning("replica_lost", url=replica.url, reason=f"{type(error).__name__}: {error}")
            detail = (
                f"The replica {replica.url} went away while it had the request; it may have been run. "
                "Send it again where that does no harm."
            )
            raise Problem(ProblemKind.REPLICA_LOST, detail) from None
        finally:
            replica.outstanding -= 1

    async def _look_after(self, replica: Replica, session: aiohttp.ClientSession) -> None:
        while True:
            fault = await _look(replica.url, session)
            if replica.note(fault):
                _log.info("replica_ready" if fault is None else "replica_unready", url=replica.url, reason=fault or "")
            await asyncio.sleep(LOOK_EVERY_S)


class _NothingSent(Exception):
    """Nothing of the request has left for the replica."""


async def _look(url: str, session: aiohttp.ClientSession) -> str | None:
    """Why the replica is not ready; None: it is."""
    try:
        timeout = aiohttp.ClientTimeout(total=_LOOK_TIMEOUT_S)
        async with session.get(f"{url}/readyz", timeout=timeout) as response:
            body = await response.read()
            return None if response.status == 200 else _detail_of(body) or f"it answers {response.status}"
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        return f"it cannot be reached ({type(error).__name__})"


def _goes_on(name: str, api: ApiSettings) -> bool:
    return name not in _HOP_BY_HOP if api.predictor.sees_requests else name in _PASSED_ON


def _was_refused(answered: web.Response) -> bool:
    return answered.status in (429, 503) and _member(_body_of(answered), "type") in _NOT_TAKEN


def _body_of(answered: web.Response) -> bytes:
    return answered.body if isinstance(answered.body, bytes) and answered.content_type == CONTENT_TYPE else b""


def _detail_of(body: bytes) -> str:
    return _member(body, "detail").rstrip(".")


def _member(body: bytes, name: str) -> str:
    """Of a problem document; empty where it is none."""
    try:
        document = parse_json(body)
    except MalformedJson:
        return ""
    return str(document.get(name, "")) if isinstance(document, dict) else ""


def _late(timeout_s: float) -> Problem:
    return Problem(ProblemKind.DEADLINE_PASSED, f"No replica has answered within {timeout_s:g} s.")
