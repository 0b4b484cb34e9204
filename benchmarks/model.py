"""Images a second of a real model through the worker, from files and from S3, beside loops that only run the model.

In three settings: on all cores, where what anybody takes is the model's loss; with a model of one thread, which leaves
the others a core, as a GPU does; and on a core of the worker's own, as where the broker is another machine.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from benchmarks import pictures, s3_server
from benchmarks.bench import Bench
from benchmarks.contest import Announce, Conditions, run_once
from benchmarks.contestants import OURS
from benchmarks.load import ReferenceLoad
from benchmarks.observer import Unfinished
from benchmarks.processes import can_be_apart, kept_off, started
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
# The core that is the worker's or a loop's own, while the broker, S3 and the benchmark have the others.
_CORE = 0
_LACKS = {
    FILES: "–",
    S3: "–",
    MEMORY: "no reading, no results written, no commits, no isolation",
    UNTUNED: "as above; a batch as a whole on both cores, its tensors go back to the kernel at every layer",
    LOADER: "as above, but it reads; no results written, no commits, no isolation; a restart begins anew",
}

Rates: TypeAlias = dict[str, list[float]]


@dataclass(frozen=True, slots=True)
class _Setting:
    """`core`: the one that a worker or a loop has, None for all. `threads` of the model; as many decode."""

    title: str
    threads: int
    core: int | None = None


_SHARED = _Setting("all cores, shared with the broker", pictures.THREADS)
_BESIDE = _Setting("one thread of the model, all else on the other core", 1)
_APART = _Setting("one core of its own", 1, _CORE)


@dataclass(frozen=True, slots=True)
class ModelResult:
    """Images a second, one figure a round: `shared` on all cores, which broker, S3 and the benchmark use too; `beside`
    with a model of one thread; `apart` on a core that is the worker's or the loop's own, empty where no process can be
    bound to one."""

    images: int
    shared: Rates
    beside: Rates
    apart: Rates

    def summarise(self, summary: Summary) -> None:
        for setting, rates in (("shared", self.shared), ("beside", self.beside), ("apart", self.apart)):
            if rates:
                summary.model[setting] = ratio(rates[FILES], rates[MEMORY])
                summary.model[f"{setting}_s3"] = ratio(rates.get(S3, []), rates[MEMORY])
        summary.vs_model_limit = summary.model["beside"]

    def text(self) -> str:
        tables = [
            _table(_SHARED, self.images, self.shared),
            _table(_BESIDE, self.images // 2, self.beside),
        ]
        if self.apart:
            tables.append(_table(_APART, self.images // 2, self.apart))
        return "\n\n".join(tables)


def _table(setting: _Setting, images: int, rates: Rates) -> str:
    rows = []
    for name, found in rates.items():
        beside = ratio(found, rates[MEMORY])
        said = "–" if beside is None else f"{beside:.2f}"
        rows.append([name, median_and_spread(found, 1), said, _LACKS[name]])
    head = f"EfficientNet-Lite0, {images:,} JPEGs, {setting.title}"
    return table([head, "images/s", "of the in-memory loop", "what it lacks"], rows)


@dataclass(frozen=True, slots=True)
class _Course:
    """What the runs of all settings have in common. `bucket` None: there is no S3 server."""

    bench: Bench
    folder: Path
    files: Sequence[Path]
    bucket: s3_server.Bucket | None

    def runners(self, setting: _Setting) -> dict[str, Callable[[], float]]:
        """Each answers its images a second. With one thread half as many take as long."""
        count = len(self.files) if setting.threads > 1 else len(self.files) // 2
        few = max(1, count // _SHARE)
        files = ReferenceLoad.of_files(self.files[:count])
        allowed: dict[str, Any] = {"fetch": {"allowed_directories": [str(self.folder)]}}
        runners = {FILES: lambda: self._worker(files, allowed, setting)}
        if self.bucket is not None:
            objects = ReferenceLoad(self.bucket.uris[:count], "image/jpeg")
            listed = {"fetch": {"allowed_s3_prefixes": [self.bucket.prefix]}}
            runners[S3] = lambda: self._worker(objects, listed, setting)
        runners[MEMORY] = lambda: self._loop("memory", count, setting, "--tuned")
        if setting is _SHARED:
            runners[UNTUNED] = lambda: self._loop("memory", few, setting)
            runners[LOADER] = lambda: self._loop("dataloader", few, setting)
        return runners

    def _worker(self, load: ReferenceLoad, changes: Mapping[str, Any], setting: _Setting) -> float:
        conditions = Conditions(
            lambda _: load,
            api=pictures.api(threads=setting.threads),
            changes=changes,
            environment={**_threads(setting), **(self.bucket.environment if self.bucket else {})},
            warm_up_items=_WARM_UP,
            slowest=_SLOWEST,
            look_every_s=_LOOK_EVERY_S,
            core=setting.core,
        )
        return run_once(self.bench, OURS, conditions).rate

    def _loop(self, kind: str, count: int, setting: _Setting, *tuned: str) -> float:
        log = self.bench.folder / f"{kind}.log"
        log.unlink(missing_ok=True)
        sizes = ["--count", str(count), "--batch", str(pictures.BATCH), "--threads", str(setting.threads)]
        command = [sys.executable, "-m", "benchmarks.model_loops", kind, "--folder", str(self.folder), *sizes, *tuned]
        with started(command, log, _threads(setting), setting.core) as process:
            process.wait()
            lines = log.read_text().splitlines()
            try:
                return count / float(lines[-1])
            except (IndexError, ValueError):
                raise Unfinished(f"{kind} loop:\n{process.last_words()}") from None


def _threads(setting: _Setting) -> Mapping[str, str]:
    """What tells torch how many it has."""
    return {"OMP_NUM_THREADS": str(setting.threads)}


def measure(bench: Bench, images: int, rounds: int, announce: Announce) -> ModelResult:
    folder = bench.folder / "pictures"
    files = pictures.write(folder, images)
    announce(f"EfficientNet-Lite0, {images:,} JPEG files, batches of {pictures.BATCH}, {pictures.THREADS} threads")
    with ExitStack() as opened:
        bucket = None
        if s3_server.VERSITYGW.exists():
            bucket = opened.enter_context(s3_server.serve(files, bench.folder / "s3"))
        else:
            announce(f"  {S3} is left out: {s3_server.VERSITYGW} is not there (make versitygw)")
        course = _Course(bench, folder, files, bucket)
        shared = _in_turns(course.runners(_SHARED), rounds, announce)
        announce(_BESIDE.title)
        beside = _in_turns(course.runners(_BESIDE), rounds, announce)
        apart: Rates = {}
        if can_be_apart():
            announce("on a core of its own, broker and S3 on the others")
            opened.enter_context(kept_off(_CORE, [bench.broker_pid, *([bucket.pid] if bucket else [])]))
            apart = _in_turns(course.runners(_APART), rounds, announce)
    return ModelResult(images, shared, beside, apart)


def _in_turns(runners: Mapping[str, Callable[[], float]], rounds: int, announce: Announce) -> Rates:
    rates: Rates = {name: [] for name in runners}
    for number in range(rounds):
        for name in list(runners)[:: 1 if number % 2 == 0 else -1]:
            rates[name].append(runners[name]())
            announce(f"  round {number + 1}: {name} {rates[name][-1]:.1f} images/s")
    return rates
