"""Micro-batches of fixed sizes and the automatic one: images a second, and how long an image takes at half the load.

The engine alone, without Kafka. First as many images as it takes, with a bounded lead; then images arrive at random
times, at half the rate that batches of 8 reached, the same rate and times for every size.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from pydantic import ValidationError

from benchmarks import pictures
from benchmarks.bench import Bench
from benchmarks.contest import Announce
from benchmarks.report import median_and_spread, table
from stream_infer.engine.configured import engine_policy, predictor_spec
from stream_infer.engine.engine import Engine
from stream_infer.engine.task import Answer, Task
from stream_infer.records import Output, Payload
from stream_infer.settings import BatchingSettings

SIZES: Sequence[int | str] = (1, 8, 32, 128, "auto")
IMAGES = 256
_REFERENCE = 8
_LOAD_S = 300.0
_CLOSE_S = 5.0
_SHARE = 0.5
_MOST_AHEAD = 256


@dataclass(frozen=True, slots=True)
class Point:
    """`rate` in images a second under full load; `p99` in milliseconds at the arrival rate."""

    rate: float
    p50: float
    p99: float


@dataclass(frozen=True, slots=True)
class BatchingResult:
    """One point a round for each size that the settings take; `arrivals` in images a second."""

    arrivals: float
    points: dict[str, list[Point]]

    def text(self) -> str:
        rows = [
            [
                size,
                median_and_spread([point.rate for point in points], 1),
                median_and_spread([point.p50 for point in points]),
                median_and_spread([point.p99 for point in points]),
            ]
            for size, points in self.points.items()
        ]
        at = f"at {self.arrivals:.1f}/s"
        return table(["max_batch_size", "images/s", f"p50 ms {at}", f"p99 ms {at}"], rows)


def measure(bench: Bench, images: int, rounds: int, announce: Announce) -> BatchingResult:
    files = pictures.write(bench.folder / "batching", images)
    payloads = [Payload(file.read_bytes(), "image/jpeg") for file in files]
    sizes = {str(size): batching for size in SIZES if (batching := _settings(size, announce)) is not None}
    announce(f"batching, {images:,} JPEGs through the engine")
    with _ready(sizes[str(_REFERENCE)]) as engine:
        arrivals = _SHARE * _rate(engine, payloads)
    points: dict[str, list[Point]] = {size: [] for size in sizes}
    for number in range(rounds):
        for size, batching in sizes.items() if number % 2 == 0 else reversed(sizes.items()):
            with _ready(batching) as engine:
                rate = _rate(engine, payloads)
                delays = statistics.quantiles(_delays(engine, payloads, arrivals), n=100)
            points[size].append(Point(rate, delays[49] * 1000, delays[98] * 1000))
            announce(f"  round {number + 1}: {size} {rate:.1f} images/s, p99 {delays[98] * 1000:.0f} ms")
    return BatchingResult(arrivals, points)


def _settings(size: int | str, announce: Announce) -> BatchingSettings | None:
    """None where the settings refuse the size: a version that cannot tune itself knows no `auto`."""
    try:
        return BatchingSettings.model_validate({"max_batch_size": size, "preprocess_threads": pictures.THREADS})
    except ValidationError:
        announce(f"  max_batch_size {size} is left out: the settings refuse it")
        return None


@contextmanager
def _ready(batching: BatchingSettings) -> Iterator[Engine]:
    """The engine, warm; closed at the end."""
    engine = Engine(predictor_spec(pictures.LITE0), engine_policy(batching))
    engine.start()
    try:
        engine.wait_ready(_LOAD_S)
        yield engine
    finally:
        engine.close(_CLOSE_S)


def _rate(engine: Engine, payloads: Sequence[Payload]) -> float:
    """With a bounded lead, the same for every size."""
    started = time.perf_counter()
    submitted = answered = 0
    while answered < len(payloads):
        room = min(_MOST_AHEAD - engine.in_flight, len(payloads) - submitted)
        engine.submit_many([Task(submitted + n, payloads[submitted + n]) for n in range(room)])
        submitted += max(0, room)
        answered += _answers(engine, len(payloads) - submitted)
    return len(payloads) / (time.perf_counter() - started)


def _answers(engine: Engine, upstream: int) -> int:
    answers = engine.poll(0.5, waiting_upstream=upstream)
    for answer in answers:
        assert isinstance(answer, Answer), answer
        assert isinstance(answer.outcome, Output), answer
    return len(answers)


def _delays(engine: Engine, payloads: Sequence[Payload], arrivals: float) -> list[float]:
    """Seconds from when an image was due to its answer."""
    chance = random.Random(1)
    now = time.perf_counter() + 0.1
    due: list[float] = []
    for _ in payloads:
        now += chance.expovariate(arrivals)
        due.append(now)
    ended: dict[int, float] = {}
    submitted = 0
    while len(ended) < len(payloads):
        now = time.perf_counter()
        ready = [n for n in range(submitted, len(due)) if due[n] <= now]
        engine.submit_many([Task(n, payloads[n]) for n in ready])
        submitted += len(ready)
        wait = max(0.0, due[submitted] - time.perf_counter()) if submitted < len(due) else 0.5
        for answer in engine.poll(min(wait, 0.5)):
            assert isinstance(answer, Answer), answer
            assert isinstance(answer.outcome, Output), answer
            ended[answer.token] = time.perf_counter()
    return [ended[number] - at for number, at in enumerate(due)]
