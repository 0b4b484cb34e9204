"""Starting: `up` until it is ready, and a worker until its first result, with where its seconds went.

All of it warm: what a machine or a folder has to do once (Kafka's jars, its class archive, formatting its data) is
done by a first `up` that is not counted.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import psutil
import yaml

from benchmarks import pictures
from benchmarks.bench import API, NULL_API, Bench
from benchmarks.contest import Announce
from benchmarks.load import PARTITIONS, Fill, JsonLoad, Load, ReferenceLoad
from benchmarks.memory import await_ready
from benchmarks.observer import Unfinished
from benchmarks.processes import Started, started
from benchmarks.report import median_and_spread, table
from stream_infer.local.free_ports import find_free
from stream_infer.worker.startup import Step

PICTURES = 8
_FIRST_RESULT_S = 120.0
_LOOK_EVERY_S = 0.05
_TOLD = "first_result_committed"
_MODEL = ("predictor_module", "predictor_constructor", "predictor_warm_up")


@dataclass(frozen=True, slots=True)
class UpStart:
    """Seconds from the start of `up`: until all serve, and until each process of it was there."""

    ready: float
    began: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class FirstResult:
    """What the worker has told: its steps, and `predictor_*`, which the predictor's process took beside them."""

    told: Mapping[str, float]

    @property
    def seconds(self) -> float:
        return self.told["seconds"]

    @property
    def of_model(self) -> float:
        """What the model took by itself: its imports, its constructor, its warm-up."""
        return sum(self.told[part] for part in _MODEL)


@dataclass(frozen=True, slots=True)
class StartResult:
    up: list[UpStart]
    workers: dict[str, list[FirstResult]]

    def text(self) -> str:
        names = list(self.up[0].began)
        began = [f"{statistics.median(one.began[name] for one in self.up):.2f}" for name in names]
        ready = median_and_spread([one.ready for one in self.up], 2)
        heads = ["first result of a worker", "s", *Step, "of that the model", "share"]
        rows = [[name, *_figures(results)] for name, results in self.workers.items()]
        return "\n\n".join(
            [
                table(["up, warm", "s to ready", *(f"{name} began" for name in names)], [["", ready, *began]]),
                table(heads, rows),
            ]
        )


def _figures(results: Sequence[FirstResult]) -> list[str]:
    steps = [f"{statistics.median(one.told[step] for one in results):.2f}" for step in Step]
    model = statistics.median(one.of_model for one in results)
    share = statistics.median(one.of_model / one.seconds for one in results)
    return [median_and_spread([one.seconds for one in results], 2), *steps, f"{model:.2f}", f"{share:.0%}"]


def measure(bench: Bench, rounds: int, announce: Announce) -> StartResult:
    announce("start of `up`, and of a worker to its first result")
    folder = bench.folder / "pictures-of-start"
    files = pictures.write(folder, PICTURES)
    allowed = {"fetch": {"allowed_directories": [str(folder)]}}
    with tempfile.TemporaryDirectory(prefix="stream-infer-bench-up-") as disk:  # not where the others are: in memory
        up = _ups(Path(disk), rounds, announce)
    workers: dict[str, list[FirstResult]] = {"null model": [], "EfficientNet-Lite0": []}
    for number in range(rounds):
        workers["null model"].append(_first_result(bench, NULL_API, JsonLoad(PARTITIONS, 100), {}))
        load = ReferenceLoad.of_files(files)
        workers["EfficientNet-Lite0"].append(_first_result(bench, pictures.api(PICTURES), load, allowed))
        said = ", ".join(f"{name} {results[-1].seconds:.2f} s" for name, results in workers.items())
        announce(f"  round {number + 1}: first result of {said}")
    return StartResult(up, workers)


def _ups(folder: Path, rounds: int, announce: Announce) -> list[UpStart]:
    [port] = find_free(1)
    config = folder / "stream-infer.yaml"
    settings = {
        "gateway": {"listen": f"127.0.0.1:{port}"},
        "store": f"file://{folder / 'store'}",
        "state_dir": str(folder / "state"),
        "apis": [{"name": API, "partitions": PARTITIONS, **NULL_API}],
    }
    config.write_text(yaml.safe_dump(settings))
    found = []
    for number in range(rounds + 1):
        one = _up(config, folder / f"up.{number}.log", folder / f"ready.{number}.json")
        announce(f"  {f'round {number}' if number else 'not counted'}: up is ready after {one.ready:.2f} s")
        found.append(one)
    return found[1:]


def _up(config: Path, log: Path, ready: Path) -> UpStart:
    command = [sys.executable, "-m", "stream_infer", "up", "-f", str(config), "--ready-file", str(ready)]
    began = time.monotonic()
    with started(command, log) as process:
        pids: dict[str, int] = await_ready(process, ready)["pids"]
        seconds = time.monotonic() - began
        # Both by psutil: its zero is a boot time in whole seconds.
        first = psutil.Process(process.pid).create_time()
        since = {name: psutil.Process(pid).create_time() - first for name, pid in pids.items()}
    return UpStart(seconds, since)


def _first_result(bench: Bench, api: Mapping[str, Any], load: Load, changes: Mapping[str, Any]) -> FirstResult:
    """Its items lie there when it is started."""
    with bench.lane(api, all_topics=True, changes=changes) as lane:
        with Fill(bench.bootstrap, lane.source) as fill:
            fill.add(load, range(load.items))
            fill.release()
        log = lane.folder / "worker.log"
        with started(lane.role("worker", API), log) as worker:
            return FirstResult(_told(worker, log))


def _told(worker: Started, log: Path) -> dict[str, float]:
    deadline = time.monotonic() + _FIRST_RESULT_S
    while True:
        for line in log.read_bytes().splitlines():
            if _TOLD.encode() in line and line.endswith(b"}"):
                return {name: value for name, value in orjson.loads(line).items() if isinstance(value, float | int)}
        if not worker.is_running() or time.monotonic() > deadline:
            raise Unfinished(f"the worker has told of no result:\n{worker.last_words()}")
        time.sleep(_LOOK_EVERY_S)
