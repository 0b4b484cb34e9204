"""Images a second of a real model through the worker, from files and from S3, beside loops that only run the model."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import pictures, s3_server
from benchmarks.bench import Bench
from benchmarks.contest import Announce, Conditions, run_once
from benchmarks.contestants import OURS
from benchmarks.load import ReferenceLoad
from benchmarks.observer import Unfinished
from benchmarks.processes import started
from benchmarks.report import Summary, median_and_spread, ratio, table

# Some 20 s of each: the first fetch and the last commit are a hundredth of that.
IMAGES = 1800
FILES, S3 = "worker, files", "worker, S3 objects"
MEMORY, UNTUNED, LOADER = "in-memory loop", "in-memory loop, as most write it", "PyTorch DataLoader"
_WARM_UP = 2 * pictures.BATCH
# Of the images, for loops that begin at full speed and are slow.
_SHARE = 3
_SLOWEST = 2.0
_LOOK_EVERY_S = 0.1
_LACKS = {
    FILES: "–",
    S3: "–",
    MEMORY: "no reading, no results written, no commits, no isolation",
    UNTUNED: "as above; a batch as a whole on both cores, its tensors go back to the kernel at every layer",
    LOADER: "as above, but it reads; no results written, no commits, no isolation; a restart begins anew",
}


@dataclass(frozen=True, slots=True)
class ModelResult:
    """Images a second, one figure a round."""

    images: int
    rates: dict[str, list[float]]

    def summarise(self, summary: Summary) -> None:
        summary.vs_model_limit = ratio(self.rates[FILES], self.rates[MEMORY])

    def text(self) -> str:
        rows = []
        for name, rates in self.rates.items():
            beside = ratio(rates, self.rates[MEMORY])
            said = "–" if beside is None else f"{beside:.2f}"
            rows.append([name, median_and_spread(rates, 1), said, _LACKS[name]])
        head = f"EfficientNet-Lite0, {self.images:,} JPEGs"
        return table([head, "images/s", "of the in-memory loop", "what it lacks"], rows)


def measure(bench: Bench, images: int, rounds: int, announce: Announce) -> ModelResult:
    folder = bench.folder / "pictures"
    files = pictures.write(folder, images)
    announce(f"EfficientNet-Lite0, {images:,} JPEG files, batches of {pictures.BATCH}, {pictures.THREADS} threads")
    with ExitStack() as opened:
        allowed: dict[str, Any] = {"fetch": {"allowed_directories": [str(folder)]}}
        runners: dict[str, Callable[[], float]] = {
            FILES: lambda: _worker(bench, ReferenceLoad.of_files(files), allowed, None),
        }
        if s3_server.VERSITYGW.exists():
            bucket = opened.enter_context(s3_server.serve(files, bench.folder / "s3"))
            listed = {"fetch": {"allowed_s3_prefixes": [bucket.prefix]}}
            load = ReferenceLoad(bucket.uris, "image/jpeg")
            runners[S3] = lambda: _worker(bench, load, listed, bucket.environment)
        else:
            announce(f"  {S3} is left out: {s3_server.VERSITYGW} is not there (make versitygw)")
        runners[MEMORY] = lambda: images / _loop_seconds(bench, "memory", folder, "--tuned")
        few = max(1, images // _SHARE)
        runners[UNTUNED] = lambda: few / _loop_seconds(bench, "memory", folder, "--count", str(few))
        runners[LOADER] = lambda: few / _loop_seconds(bench, "dataloader", folder, "--count", str(few))
        rates: dict[str, list[float]] = {name: [] for name in runners}
        for number in range(rounds):
            for name, run in runners.items() if number % 2 == 0 else reversed(runners.items()):
                rates[name].append(run())
                announce(f"  round {number + 1}: {name} {rates[name][-1]:.1f} images/s")
    return ModelResult(images, rates)


def _worker(
    bench: Bench, load: ReferenceLoad, changes: Mapping[str, Any], environment: Mapping[str, str] | None
) -> float:
    conditions = Conditions(
        lambda _: load,
        api=pictures.api(),
        changes=changes,
        environment=environment,
        warm_up_items=_WARM_UP,
        slowest=_SLOWEST,
        look_every_s=_LOOK_EVERY_S,
    )
    return run_once(bench, OURS, conditions).rate


def _loop_seconds(bench: Bench, kind: str, folder: Path, *more: str) -> float:
    log = bench.folder / f"{kind}.log"
    log.unlink(missing_ok=True)
    options = ["--folder", str(folder), "--batch", str(pictures.BATCH), "--threads", str(pictures.THREADS), *more]
    with started([sys.executable, "-m", "benchmarks.model_loops", kind, *options], log) as process:
        process.wait()
        lines = log.read_text().splitlines()
        try:
            return float(lines[-1])
        except (IndexError, ValueError):
            raise Unfinished(f"{kind} loop:\n{process.last_words()}") from None
