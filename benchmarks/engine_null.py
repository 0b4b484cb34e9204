"""What the engine costs: items/s of a predictor that does nothing, through parent and child, without Kafka.

python -m benchmarks.engine_null --items 400000 --batch 256 --bytes 100
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from pathlib import Path

import orjson

from stream_infer.engine.engine import Engine
from stream_infer.engine.policy import EnginePolicy
from stream_infer.engine.task import AlikeAnswers, AlikeTasks
from stream_infer.predictors.spec import PredictorSpec
from stream_infer.records import JSON


class Null:
    """The predictor: a label for every item, whatever it is."""

    def __init__(self, config: dict[str, object]) -> None:
        self._output = {"label": config.get("label", "nothing")}

    def predict(self, items: list[object]) -> list[object]:
        return [self._output] * len(items)


def payload_of(size: int) -> bytes:
    """JSON of that many bytes."""
    empty = orjson.dumps({"id": 1, "text": ""})
    return orjson.dumps({"id": 1, "text": "x" * max(0, size - len(empty))})


def run(engine: Engine, items: int, chunk: int, ahead: int, data: bytes) -> float:
    """Seconds until all items are answered. As a worker does it: in chunks as they are polled, a bounded lead."""
    # Objects of their own: pickle would send the same one once.
    payloads = [bytes(bytearray(data)) for _ in range(chunk)]
    started = time.perf_counter()
    submitted = answered = 0
    while answered < items:
        while submitted < items and engine.in_flight < ahead:
            count = min(chunk, items - submitted)
            engine.submit_many(AlikeTasks(list(range(submitted, submitted + count)), payloads[:count], JSON))
            submitted += count
        for answer in engine.poll(1.0, waiting_upstream=items - submitted):
            assert isinstance(answer, AlikeAnswers)
            answered += len(answer.tokens)
    return time.perf_counter() - started


def main() -> None:
    """Prints one line a round and the median."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=400_000)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--bytes", type=int, default=100)
    parser.add_argument("--chunk", type=int, default=1000, help="items submitted at a time")
    parser.add_argument("--ahead", type=int, default=4096, help="items in flight at most")
    parser.add_argument("--depth", type=int, default=2, help="micro-batches in the child")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    policy = EnginePolicy(max_batch_size=options.batch, max_batch_bytes=1 << 28, pipeline_depth=options.depth)
    engine = Engine(PredictorSpec("native", f"{Path(__file__).resolve()}:Null"), policy)
    engine.start()
    try:
        engine.wait_ready(60)
        data = payload_of(options.bytes)
        rates = []
        for number in range(options.rounds):
            seconds = run(engine, options.items, options.chunk, options.ahead, data)
            rates.append(options.items / seconds)
            print(f"round {number + 1}: {rates[-1]:,.0f} items/s")
    finally:
        engine.close(5)
    print(f"median: {statistics.median(rates):,.0f} items/s of {options.bytes} B in batches of {options.batch}")
    # Unlike the rate, these hardly depend on what else the machine does.
    for name, who in (("parent", resource.RUSAGE_SELF), ("child", resource.RUSAGE_CHILDREN)):
        usage = resource.getrusage(who)
        micros = (usage.ru_utime + usage.ru_stime) / (options.items * options.rounds) * 1e6
        print(f"CPU of the {name}: {micros:.2f} us an item")


if __name__ == "__main__":
    main()
