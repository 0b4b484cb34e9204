"""Where a worker's seconds up to its first committed result went: one line, and then this is forgotten."""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import StrEnum

import structlog

from stream_infer.engine.loading import Loading

_LOG = structlog.get_logger(__name__)


class Step(StrEnum):
    """What a worker reaches on its way, in this order. The predictor loads beside what comes before `predictor`."""

    IMPORTED = "imported"
    CONFIGURED = "configured"
    OPENED = "opened"
    PREDICTOR = "predictor"
    JOINED = "joined"
    FIRST_ITEM = "first_item"
    COMMITTED = "committed"


class Startup:
    """When each step was reached for the first time. `age`: the seconds that the process had lived by then."""

    def __init__(self, age: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock() - age
        self._reached: dict[Step, float] = {}

    def reach(self, step: Step) -> None:
        self._reached.setdefault(step, self._clock())

    def seconds(self) -> dict[str, float]:
        """What each step took since the one reached before it; `seconds` is their sum."""
        spans: dict[str, float] = {}
        last = self._began
        for step, at in sorted(self._reached.items(), key=lambda reached: reached[1]):
            spans[step.value] = round(at - last, 3)
            last = at
        return {"seconds": round(last - self._began, 3), **spans}

    def tell(self, loading: Loading | None) -> None:
        """The predictor's own seconds stand beside: they are in none of the steps, or in several."""
        own = {} if loading is None else {f"predictor_{part}": took for part, took in loading.seconds().items()}
        _LOG.info("first_result_committed", **self.seconds(), **own)
