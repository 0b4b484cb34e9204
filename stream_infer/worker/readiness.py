"""When a worker is ready, and what it lacks until then."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

from stream_infer.engine.engine import Engine
from stream_infer.errors import PredictorUnavailable
from stream_infer.worker.circuit import State

_LOG = structlog.get_logger(__name__)


class Readiness:
    """Told once that it is ready, when the predictor serves and the group is joined."""

    def __init__(self, on_ready: Callable[[], None]) -> None:
        self._on_ready: Callable[[], None] | None = on_ready
        self._is_serving = False
        self._has_joined = False
        self._engine: Engine | None = None
        self._state = State.SERVING

    def missing(self) -> list[str]:
        """In sentences; nothing where it is ready. From any thread."""
        if self._engine is None:
            return ["It is starting."]
        faults = [] if self._is_serving else [self._reason(self._engine)]
        return faults if self._has_joined else [*faults, "It is no member of its group yet."]

    def _reason(self, engine: Engine) -> str:
        said = engine.readiness.reason
        if self._state is State.SERVING:
            return said or f"Predictor {engine.predictor_name} is loading."
        return f"The API is halted on this worker ({self._state.value}){': ' if said else ''}{said}."

    def await_predictor(
        self,
        engine: Engine,
        timeout_s: float,
        stop: threading.Event,
        on_unavailable: Callable[[PredictorUnavailable], None],
    ) -> None:
        """A model that takes long to load owns no partitions meanwhile; one that cannot be loaded reads what to skip
        and says to its jobs what is wrong, while the engine tries again. Returns early on `stop`."""
        self._engine = engine
        try:
            engine.wait_ready(timeout_s, stop.is_set)
        except PredictorUnavailable as error:
            on_unavailable(error)
            return
        if stop.is_set():
            return
        self._is_serving = True
        _LOG.info("predictor_ready", predictor=engine.predictor_name)

    def joined(self) -> None:
        self._has_joined = True
        self._look()

    def note(self, state: State) -> None:
        self._state = state
        self._is_serving = state is State.SERVING
        self._look()

    def _look(self) -> None:
        if self._is_serving and self._has_joined and self._on_ready is not None:
            on_ready, self._on_ready = self._on_ready, None
            on_ready()
