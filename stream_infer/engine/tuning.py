"""Tries the predictor with calls of growing size before its first item. Runs in the child."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from stream_infer.engine.codec import encode, encode_plain
from stream_infer.engine.diagnosis import Ailment, diagnose, relieve
from stream_infer.engine.knee import Knee, NoMemory, TooMany, find_knee
from stream_infer.engine.memory import find_guard
from stream_infer.errors import PredictorUnavailable
from stream_infer.heap import give_back_now
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


def tune(predictor: Predictor, limits: TuningLimits, on_try: Callable[[int], None]) -> Knee:
    """`on_try` is told each size before it is tried: it may be the end of this process.

    Raises PredictorUnavailable where the predictor has no `example`, or fails with it.
    """
    name = full_name(predictor)
    example: Callable[[], Any] | None = getattr(predictor, "example", None)
    if example is None:
        raise PredictorUnavailable(
            f"max_batch_size is auto, and {name} has no method example(self) that returns an item to try it with: "
            "write one, or set a number"
        )
    try:
        prepared = getattr(predictor, "preprocess", _as_it_is)(example())
        return _search(predictor, prepared, limits, on_try)
    except NoMemory:
        raise PredictorUnavailable(f"{name} has no memory for even one item of its example()") from None
    except TooMany as error:
        raise _unavailable(name, error.__cause__ or error) from error.__cause__
    except (Exception, SystemExit) as error:
        raise _unavailable(name, error) from error


def _unavailable(name: str, error: BaseException) -> PredictorUnavailable:
    return PredictorUnavailable(f"{name} fails with the item of its own example(): {said(error)}")


def _search(predictor: Predictor, item: Any, limits: TuningLimits, on_try: Callable[[int], None]) -> Knee:
    guard = find_guard(_MEMORY_FRACTION, 0.0)
    end = time.monotonic() + limits.budget_s
    collate: Callable[[list[Any]], Any] = getattr(predictor, "collate", _as_it_is)

    def seconds(size: int) -> float:
        begun = time.perf_counter()
        outputs = list(predictor.predict(collate([item] * size)))
        # Encoded as for a real call: what a device still computes is waited for.
        if encode_plain(outputs) is None:
            for output in outputs:
                encode(output)
        return time.perf_counter() - begun

    def measure(size: int) -> float:
        if guard is not None and guard.look():
            give_back_now()
            if guard.look():
                raise NoMemory
        on_try(size)
        try:
            first = seconds(size)  # what is allocated or compiled for this size comes now
            if first > limits.longest_s / _REPEATS:
                return first
            return statistics.median(seconds(size) for _ in range(_REPEATS))
        except Exception as error:
            if diagnose(error) is not Ailment.OUT_OF_MEMORY:
                raise TooMany(f"make it fail with {said(error)}") from error
            relieve(error)
            raise NoMemory from None

    return find_knee(measure, limits.most, limits.longest_s, lambda: time.monotonic() >= end)


def _as_it_is(value: Any) -> Any:
    return value
