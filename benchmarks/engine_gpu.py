"""A picture classifier through the engine, without Kafka, beside its decoding alone and its model alone.

python -m benchmarks.engine_gpu --images 20000 --batch 64 --threads 8
python -m benchmarks.engine_gpu --device cpu --images 96 --rounds 1

`decode alone`: JPEGs in memory to batches on the device, as the engine's threads do it. `forward alone`: the model on a
batch that lies on the device, call after call. Both run in this process, the engine's model in its own.
The aim on a GPU is 0.9 of the slower one. That figure is missing: nobody has run this on a GPU yet.
"""

from __future__ import annotations

import argparse
import itertools
import platform
import statistics
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import torch

from benchmarks import pictures
from benchmarks.report import median_and_spread, ratio, table
from stream_infer.engine.child import SWITCH_INTERVAL_S
from stream_infer.engine.configured import predictor_spec
from stream_infer.engine.engine import Engine
from stream_infer.engine.policy import EnginePolicy
from stream_infer.engine.task import Answer, Task
from stream_infer.heap import keep_large_blocks
from stream_infer.predictors.device import Encoded
from stream_infer.predictors.network import choose_device
from stream_infer.predictors.spec import PredictorSpec
from stream_infer.predictors.torchvision import TorchvisionClassifier
from stream_infer.records import Output, Payload

ENGINE, DECODE, FORWARD = "engine", "decode alone", "forward alone"
_FILES = 256
_AHEAD = 2
_NO_CUDA = (
    "There is no CUDA here. On a CPU decoding and the model share the cores, so that neither alone bounds the engine:\n"
    "these figures only say that the benchmark runs. The figure of a GPU is missing."
)


@dataclass(frozen=True, slots=True)
class Options:
    images: int
    batch: int
    threads: int
    depth: int
    rounds: int
    device: torch.device
    model: str | None
    config: dict[str, Any]

    @property
    def spec(self) -> PredictorSpec:
        """EfficientNet-Lite0, or a model of torchvision's with random weights: they take as long as any."""
        if self.model is not None:
            return PredictorSpec("torchvision", self.model, self.config)
        lite0 = pictures.LITE0
        return predictor_spec(lite0.model_copy(update={"config": {**lite0.config, **self.config}}))


def decode_alone(
    classifier: TorchvisionClassifier, jpegs: Sequence[bytes], batch: int, pool: ThreadPoolExecutor
) -> None:
    coming: deque[list[Future[Any]]] = deque()
    for start in range(0, len(jpegs), batch):
        coming.append([pool.submit(classifier.preprocess, jpeg) for jpeg in jpegs[start : start + batch]])
        if len(coming) > _AHEAD:
            classifier.collate([future.result() for future in coming.popleft()])
    for futures in coming:
        classifier.collate([future.result() for future in futures])


def forward_alone(classifier: TorchvisionClassifier, batch: torch.Tensor, images: int) -> None:
    for _ in range(0, images, len(batch)):
        classifier.network(batch)
    if batch.is_cuda:
        torch.cuda.synchronize(batch.device)


def through_engine(engine: Engine, jpegs: Sequence[bytes], ahead: int) -> None:
    submitted = answered = 0
    while answered < len(jpegs):
        count = min(ahead - engine.in_flight, len(jpegs) - submitted)
        if count > 0:
            chunk = range(submitted, submitted + count)
            engine.submit_many([Task(index, Payload(jpegs[index], "image/jpeg")) for index in chunk])
            submitted += count
        for answer in engine.poll(1.0, waiting_upstream=len(jpegs) - submitted):
            assert isinstance(answer, Answer), answer
            assert isinstance(answer.outcome, Output), answer.outcome
            answered += 1


def measure(options: Options, jpegs: Sequence[bytes]) -> tuple[dict[str, list[float]], str]:
    """Images a second, one figure a round; and what decodes."""
    keep_large_blocks()  # as the engine's child does
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    classifier = TorchvisionClassifier.from_spec(options.spec)
    classifier.warmup()
    first = [classifier.preprocess(jpeg) for jpeg in jpegs[: options.batch]]
    pixels = classifier.collate(first).pixels
    policy = EnginePolicy(
        max_batch_size=options.batch,
        max_batch_bytes=1 << 30,
        preprocess_threads=options.threads,
        pipeline_depth=options.depth,
    )
    engine = Engine(options.spec, policy)
    engine.start()
    try:
        engine.wait_ready(policy.load_timeout_s)
        with ThreadPoolExecutor(options.threads) as pool:
            ways: dict[str, Callable[[Sequence[bytes]], None]] = {
                ENGINE: lambda some: through_engine(engine, some, (options.depth + 1) * options.batch),
                DECODE: lambda some: decode_alone(classifier, some, options.batch, pool),
                FORWARD: lambda some: forward_alone(classifier, pixels, len(some)),
            }
            for way in ways.values():
                way(jpegs[: 2 * options.batch])
            rates: dict[str, list[float]] = {name: [] for name in ways}
            for number in range(options.rounds):
                for name, way in ways.items() if number % 2 == 0 else reversed(ways.items()):
                    begun = time.perf_counter()
                    way(jpegs)
                    rates[name].append(len(jpegs) / (time.perf_counter() - begun))
                    print(f"round {number + 1}: {name} {rates[name][-1]:,.1f} images/s", flush=True)
    finally:
        engine.close(5)
    return rates, "nvJPEG" if isinstance(first[0], Encoded) else "Pillow"


def report(options: Options, rates: dict[str, list[float]], decoder: str) -> None:
    slower = min(DECODE, FORWARD, key=lambda name: statistics.median(rates[name]))
    of_slower = ratio(rates[ENGINE], rates[slower])
    is_cuda = options.device.type == "cuda"
    name = torch.cuda.get_device_name(options.device) if is_cuda else f"CPU {platform.machine()}"
    model = f"{options.model or pictures.LITE0.model}, batches of {options.batch}, {name}, JPEGs by {decoder}"
    rows = [
        [way, median_and_spread(rates[way], 1), f"{ratio(rates[way], rates[slower]) or 0:.2f}"]
        for way in (ENGINE, DECODE, FORWARD)
    ]
    print(f"\n{table([model, 'images/s', f'of {slower}'], rows)}\n")
    if not is_cuda:
        print(f"{_NO_CUDA}\n")
    found = {
        "engine_images_per_s": round(statistics.median(rates[ENGINE]), 1),
        "decode_images_per_s": round(statistics.median(rates[DECODE]), 1),
        "forward_images_per_s": round(statistics.median(rates[FORWARD]), 1),
        "engine_vs_slower": of_slower,
        "slower": slower,
        "device": name,
        "cuda": is_cuda,
        "decoder": decoder,
    }
    print(orjson.dumps(found).decode())


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory() as folder:
        files = [file.read_bytes() for file in pictures.write(Path(folder), min(options.images, _FILES))]
    jpegs = list(itertools.islice(itertools.cycle(files), options.images))
    report(options, *measure(options, jpegs))


def _options() -> Options:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=8, help="for preprocess")
    parser.add_argument("--depth", type=int, default=2, help="micro-batches in the child")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1")
    parser.add_argument("--precision", default="auto", help="auto, float32, bfloat16, float16")
    parser.add_argument("--compile", action="store_true", help="the model, for the batch")
    parser.add_argument("--model", help="one of torchvision's, with random weights, in the place of EfficientNet-Lite0")
    given = parser.parse_args()
    config = {"device": given.device, "precision": given.precision, "compile": [given.batch] if given.compile else []}
    device = choose_device(given.device)
    return Options(given.images, given.batch, given.threads, given.depth, given.rounds, device, given.model, config)


if __name__ == "__main__":
    main()
