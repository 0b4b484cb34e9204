"""The role: one replica of one API's realtime endpoint. It asks neither Kafka nor the store."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import structlog

from stream_infer.engine.configured import engine_policy
from stream_infer.engine.engine import Engine
from stream_infer.engine.keeper import State
from stream_infer.errors import ConfigError, PredictorUnavailable
from stream_infer.http.address import Address, listen_address, require_keys_beyond_loopback
from stream_infer.http.guards import Guards
from stream_infer.http.keys_file import open_keys
from stream_infer.http_settings import RealtimeSettings
from stream_infer.ports import Fetcher
from stream_infer.predictors.spec import PredictorSpec
from stream_infer.realtime import replies
from stream_infer.realtime.answering import Answering, Terms
from stream_infer.realtime.connection import Connection, ConnectionLimits
from stream_infer.realtime.desk import Bounds, Desk
from stream_infer.realtime.metrics import RealtimeMetrics
from stream_infer.realtime.server import Server
from stream_infer.realtime.traces import TracedAnswers
from stream_infer.settings import ApiSettings, Settings
from stream_infer.telemetry import tracing
from stream_infer.telemetry.engine_metrics import EngineMetrics, show_engine
from stream_infer.telemetry.exposure import Exposure
from stream_infer.telemetry.logs import echo_predictor

_LOG = structlog.get_logger(__name__)
SETTING = "apis[].realtime.listen"
_ENGINE_END_S = 2.0
_LAST_WORDS_S = 1.0
_LOOK_S = 0.02
# The search for cycles took up to 10 ms of a request's time; a request makes none, and what starts a role stays.
_COLLECTED_EVERY = (100_000, 20, 20)


def run(
    settings: Settings,
    api: ApiSettings,
    fetcher: Fetcher,
    predictor: PredictorSpec,
    *,
    stop: threading.Event,
    on_ready: Callable[[], None],
    on_unavailable: Callable[[PredictorUnavailable], None],
    replica: int = 0,
    on_listening: Callable[[str], None] | None = None,
    exposure: Exposure | None = None,
) -> None:
    """Serves `api` until `stop`; call it in the process's main thread, or one that lives as long.

    `on_listening` is told the URL, with the port that `:0` became; `on_ready` is called once, when the predictor
    serves. `on_unavailable` is told when it cannot be loaded at the start; it may raise that, or return: it is tried
    again. `exposure` is what `/metrics` shows. Raises ConfigError: no realtime is set for the API, or it cannot listen
    there, or may not without keys.
    """
    if api.realtime is None:
        raise ConfigError(f"API {api.name} answers no requests: set realtime for it, `realtime: {{}}` at the least")
    address = listen_address(api.realtime.listen_of(replica), SETTING)
    guards = Guards(open_keys(settings.gateway))
    require_keys_beyond_loopback(address, guards.number_of_keys)
    exposure, metrics = exposure or Exposure(), EngineMetrics(api.name)
    engine = Engine(predictor, engine_policy(api.batching), on_line=echo_predictor, observer=metrics)
    show_engine(exposure, metrics, engine)
    role = _Role(settings, api, api.realtime, fetcher, address, engine, guards, exposure)
    asyncio.run(role.serve(stop, on_ready, on_unavailable, on_listening))


class _Role:
    def __init__(
        self,
        settings: Settings,
        api: ApiSettings,
        realtime: RealtimeSettings,
        fetcher: Fetcher,
        address: Address,
        engine: Engine,
        guards: Guards,
        exposure: Exposure,
    ) -> None:
        self._exposure = exposure
        self._settings = settings
        self._api = api
        self._realtime = realtime
        self._fetcher = fetcher
        self._address = address
        self._engine = engine
        self._guards = guards

    async def serve(
        self,
        stop: threading.Event,
        on_ready: Callable[[], None],
        on_unavailable: Callable[[PredictorUnavailable], None],
        on_listening: Callable[[str], None] | None,
    ) -> None:
        realtime = self._realtime
        note = _Notes(self._engine, on_ready, on_unavailable)
        connections: set[Connection] = set()
        bounds = Bounds(realtime.max_in_flight, realtime.max_in_flight_bytes)
        metrics = RealtimeMetrics(self._api.name, bounds.items)
        desk = Desk(self._engine, bounds, note, connections, metrics)
        metrics.in_flight, metrics.connections = lambda: desk.in_flight, lambda: len(connections)
        self._exposure.show(metrics.readings)
        self._exposure.missing = lambda: _missing(desk)
        terms = Terms(
            self._api.name,
            realtime.timeout,
            self._settings.fetch.concurrency,
            shows_requests=self._api.predictor.sees_requests,
            keys=self._guards.keys,
            names=self._settings.gateway.names,
        )
        answering = Answering(terms, desk, self._fetcher, self._exposure, metrics)
        answers = TracedAnswers(answering, self._api.name) if tracing.is_on() else answering
        server = Server(answers, ConnectionLimits(self._settings.limits.request_bytes), connections)
        try:
            async with self._guards.watched(), server.listening(self._address) as url:
                _LOG.info("listening", url=url, api=self._api.name)
                if on_listening is not None:
                    on_listening(url)
                desk.start()
                with _collecting_seldom():
                    await self._until(stop, desk)
                    await self._drain(desk, server)
        finally:
            _LOG.info("stopping", phase="4/4", what="ending the predictor")
            desk.close(_ENGINE_END_S)
            await self._fetcher.close()

    async def _until(self, stop: threading.Event, desk: Desk) -> None:
        stopped = asyncio.ensure_future(asyncio.to_thread(stop.wait))
        waited: list[asyncio.Future[Any]] = [stopped, desk.fault]
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        if desk.fault.done():
            stop.set()  # the thread that waits for it has to end
            desk.fault.result()

    async def _drain(self, desk: Desk, server: Server) -> None:
        """In this order, so that nobody is refused who could not have known."""
        delay_s, timeout_s = self._realtime.drain_delay, self._realtime.drain_timeout
        _LOG.info("stopping", phase="1/4", what=f"unready; still answering for {delay_s:g} s")
        desk.announce_end()
        server.announce_end()
        await asyncio.sleep(delay_s)
        _LOG.info("stopping", phase="2/4", what="taking no more")
        desk.drain()
        server.stop_listening()
        _LOG.info("stopping", phase="3/4", what=f"finishing {desk.in_flight} items within {timeout_s:g} s")
        for _ in range(int(timeout_s / _LOOK_S)):
            if not desk.in_flight or desk.fault.done():
                break
            await asyncio.sleep(_LOOK_S)
        if desk.in_flight:
            _LOG.warning("cut_short", items=desk.in_flight)
            desk.give_up(replies.cut_short())
        # What has just been written leaves before its connection is aborted.
        for _ in range(int(_LAST_WORDS_S / _LOOK_S)):
            if not server.is_open:
                break
            await asyncio.sleep(_LOOK_S)


def _missing(desk: Desk) -> list[str]:
    """From any thread."""
    unreadiness = desk.unreadiness
    return [] if unreadiness is None else [unreadiness.document.detail]


class _Notes:
    """What to do when the engine's state changes."""

    def __init__(
        self, engine: Engine, on_ready: Callable[[], None], on_unavailable: Callable[[PredictorUnavailable], None]
    ) -> None:
        self._engine = engine
        self._on_ready: Callable[[], None] | None = on_ready
        self._on_unavailable = on_unavailable
        self._has_failed = False

    def __call__(self, state: State) -> None:
        if self._on_ready is None:
            return
        if state is State.READY:
            _LOG.info("predictor_ready", predictor=self._engine.predictor_name)
            on_ready, self._on_ready = self._on_ready, None
            on_ready()
        elif state is State.UNAVAILABLE and not self._has_failed:
            self._has_failed = True
            readiness = self._engine.readiness
            error = PredictorUnavailable(readiness.reason)
            if readiness.detail:
                error.add_note(readiness.detail)
            self._on_unavailable(error)


@contextmanager
def _collecting_seldom() -> Iterator[None]:
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECTED_EVERY)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
