"""Tries the predictor with calls of growing size before its first item. Runs in the child."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from stream_infer.engine.diagnosis import Ailment, diagnose, relieve
from stream_infer.engine.knee import Knee, NoMemory, find_knee
from stream_infer.engine.memory import find_guard
from stream_infer.errors import PredictorUnavailable
from stream_infer.predictors.finding import full_name, said
from stream_infer.predictors.protocol import Predictor

_REPEATS = 3
# Of the container's memory: the rest is for items that are larger than the example.
_MEMORY_FRACTION = 0.7


@dataclass(frozen=True, slots=True)
class TuningLimits:
    """`most` items of a call, `longest_s` seconds of one, `budget_s` seconds for all that is tried."""

    most: int
    longest_s: float
    budget_s: float


def tune(predictor: Predictor, limits: TuningLimits) -> Knee:
    """Raises PredictorUnavailable where it has no `example`, or fails with it."""
    name = full_name(predictor)
    example: Callable[[], Any] | None = getattr(predictor, "example", None)
    if example is None:
        raise PredictorUnavailable(
            f"max_batch_size is auto, and {name} has no method example(self) that returns an item to try it with: "
            "write one, or set a number"
        )
    try:
        prepared = getattr(predictor, "preprocess", _as_it_is)(example())
        return _search(predictor, prepared, limits)
    except NoMemory:
        raise PredictorUnavailable(f"{name} has no memory for even one item of its example()") from None
    except (Exception, SystemExit) as error:
        raise PredictorUnavailable(f"{name} fails with the item of its own example(): {said(error)}") from error


def _search(predictor: Predictor, item: Any, limits: TuningLimits) -> Knee:
    guard = find_guard(_MEMORY_FRACTION, 0.0)
    end = time.monotonic() + limits.budget_s
    collate: Callable[[list[Any]], Any] = getattr(predictor, "collate", _as_it_is)

    def seconds(size: int) -> float:
        begun = time.perf_counter()
        list(predictor.predict(collate([item] * size)))
        return time.perf_counter() - begun

    def measure(size: int) -> float:
        if guard is not None and guard.look():
            raise NoMemory
        try:
            first = seconds(size)  # what is allocated or compiled for this size comes now
            if first > limits.longest_s / _REPEATS:
                return first
            return statistics.median(seconds(size) for _ in range(_REPEATS))
        except Exception as error:
            if diagnose(error) is not Ailment.OUT_OF_MEMORY:
                raise
            relieve(error)
            raise NoMemory from None

    return find_knee(measure, limits.most, limits.longest_s, lambda: time.monotonic() >= end)


def _as_it_is(value: Any) -> Any:
    return value
