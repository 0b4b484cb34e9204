"""Items a second of the null predictor through the whole worker, beside the hand-written loop, rounds interleaved.

Each round fills a fresh topic, starts the contestant as a process of its own, and times from its first committed result
to its last: what starting costs is not counted for either.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import orjson
import yaml

from stream_infer.configuration import load_settings
from stream_infer.kafka.admin import apply
from stream_infer.kafka.producer import Publisher
from stream_infer.kafka.views import TopicReader
from stream_infer.local.broker import BrokerConfig, LocalBroker
from stream_infer.records import OutgoingRecord
from stream_infer.settings import KafkaSettings, Settings
from stream_infer.topics import Topics

BATCH = 256
PARTITIONS = 4
ROUND_TIMEOUT_S = 300.0


@dataclass(frozen=True, slots=True)
class Load:
    """`items` JSON items of `size` bytes each."""

    items: int
    size: int

    def item(self, number: int) -> bytes:
        filler = max(0, self.size - len(orjson.dumps({"n": number, "text": ""})))
        return orjson.dumps({"n": number, "text": "x" * filler})


@dataclass(frozen=True, slots=True)
class Round:
    """One topic full of items, and the configuration of the API that reads it."""

    settings: Settings
    config: Path
    load: Load


@dataclass(frozen=True, slots=True)
class Comparison:
    """Items a second, one figure a round."""

    load: Load
    worker: list[float]
    handwritten: list[float]

    @property
    def ratio(self) -> float:
        return statistics.median(ours / theirs for ours, theirs in zip(self.worker, self.handwritten, strict=True))


def compare(load: Load, rounds: int, announce: Callable[[str], None]) -> Comparison:
    """Runs both contestants `rounds` times, in turns, on a broker of its own."""
    worker: list[float] = []
    handwritten: list[float] = []
    with (
        tempfile.TemporaryDirectory(prefix="stream-infer-bench-") as folder,
        LocalBroker(BrokerConfig(Path(folder) / "kafka")) as broker,
    ):
        for number in range(rounds):
            worker.append(_round(broker.bootstrap_servers, load, Path(folder), worker_command))
            handwritten.append(_round(broker.bootstrap_servers, load, Path(folder), handwritten_command))
            announce(f"round {number + 1}: worker {worker[-1]:,.0f}/s, hand-written {handwritten[-1]:,.0f}/s")
    return Comparison(load, worker, handwritten)


def _round(bootstrap: str, load: Load, folder: Path, command: Callable[[Round], list[str]]) -> float:
    prefix = f"bench-{uuid.uuid4().hex[:8]}"
    config = folder / f"{prefix}.yaml"
    config.write_text(yaml.safe_dump(_config(bootstrap, prefix, folder)))
    settings = load_settings(config, {})
    apply(settings)
    names = Topics(prefix).api("null")
    _fill(settings.kafka, names.items, load)
    words = command(Round(settings, config, load))
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        return _rate(settings.kafka, names.results, load.items)
    finally:
        process.terminate()
        process.wait(30)


def _config(bootstrap: str, prefix: str, folder: Path) -> dict[str, object]:
    return {
        "kafka": {"bootstrap_servers": bootstrap, "topic_prefix": prefix},
        "store": f"file://{folder / 'store'}",
        "apis": [
            {
                "name": "null",
                "partitions": PARTITIONS,
                "predictor": {"type": "native", "target": "benchmarks.null_predictor:Null"},
                "batching": {"max_batch_size": BATCH},
            }
        ],
    }


def _fill(kafka: KafkaSettings, topic: str, load: Load) -> None:
    publisher = Publisher(kafka, "bench")
    step = 20_000
    for start in range(0, load.items, step):
        numbers = range(start, min(start + step, load.items))
        publisher.publish([OutgoingRecord(topic, str(n).encode(), load.item(n)) for n in numbers])
    publisher.close()


def _rate(kafka: KafkaSettings, topic: str, items: int) -> float:
    """Items a second between the first and the last committed result, by their records' own times."""
    reader = TopicReader(kafka, topic)
    times: list[int] = []
    deadline = time.monotonic() + ROUND_TIMEOUT_S
    try:
        while len(times) < items:
            if time.monotonic() > deadline:
                raise SystemExit(f"only {len(times)} of {items} results after {ROUND_TIMEOUT_S:.0f} s")
            times += [message.timestamp_ms for message in reader.poll(0.2, 10_000)]
    finally:
        reader.close()
    return items / max(0.001, (max(times) - min(times)) / 1000)


def worker_command(this: Round) -> list[str]:
    return [sys.executable, "-m", "stream_infer", "-f", str(this.config), "worker", "null"]


def handwritten_command(this: Round) -> list[str]:
    names = Topics(this.settings.kafka.topic_prefix).api("null")
    where = ["--bootstrap", this.settings.kafka.bootstrap, "--source", names.items, "--target", names.results]
    return [sys.executable, "-m", "benchmarks.handwritten", *where, "--items", str(this.load.items)]
