"""Resident memory of every role while `up` runs one long job and all of them work."""

from __future__ import annotations

import json
import statistics
import sys
import time
import uuid
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.bench import API, Bench
from benchmarks.contest import Announce
from benchmarks.load import JsonLoad
from benchmarks.observer import Unfinished
from benchmarks.processes import Started, resident_bytes, started
from benchmarks.report import percent, table
from stream_infer.cli.client import GatewayClient
from stream_infer.jobs.status import State
from stream_infer.local.free_ports import find_free

_EVERY_S = 0.5
_READY_S = 90.0
_SLOWEST = 300.0
# Lines that end before the first sample: by then the sink, which takes longest to it, has filled its buffers and put
# them into the store a few times, and every role has what it takes at full speed.
_WARM_UP = 1_000_000
_MIB = 1 << 20
_SIZE = 100


@dataclass(frozen=True, slots=True)
class Residence:
    """Samples of one role with its children: seconds since the job was warm, bytes."""

    samples: list[tuple[float, int]]

    @property
    def quarters(self) -> tuple[float, float]:
        """The medians of the first and of the last quarter of the time."""
        end = self.samples[-1][0]
        first = [size for at, size in self.samples if at <= end / 4]
        last = [size for at, size in self.samples if at >= end * 3 / 4]
        return statistics.median(first), statistics.median(last)

    @property
    def growth(self) -> float:
        first, last = self.quarters
        return last / first - 1


@dataclass(frozen=True, slots=True)
class MemoryResult:
    items: int
    seconds: float
    roles: dict[str, Residence]

    @property
    def growth(self) -> float:
        """Of the role that grew most."""
        return round(max(role.growth for role in self.roles.values()), 4)

    def text(self) -> str:
        rows = []
        for name, role in self.roles.items():
            first, last = role.quarters
            peak = max(size for _, size in role.samples)
            rows.append([name, f"{first / _MIB:.1f}", f"{last / _MIB:.1f}", percent(role.growth), f"{peak / _MIB:.1f}"])
        head = f"a job of {self.items:,} lines, {self.seconds:.0f} s of it"
        return table([head, "first quarter MiB", "last quarter MiB", "growth", "peak MiB"], rows)


def measure(bench: Bench, items: int, announce: Announce) -> MemoryResult:
    announce(f"resident memory, a job of {items:,} lines through all roles")
    [port] = find_free(1)
    folder = bench.folder / "jobs"
    folder.mkdir(exist_ok=True)
    changes: dict[str, Any] = {
        "gateway": {"listen": f"127.0.0.1:{port}"},
        "fetch": {"allowed_directories": [str(folder)]},
    }
    with bench.lane(all_topics=True, changes=changes) as lane:
        ready = lane.folder / "ready.json"
        words = ["-m", "stream_infer", "up", "-f", str(lane.config), "--ready-file", str(ready)]
        with started([sys.executable, *words], lane.folder / "up.log") as up:
            where = await_ready(up, ready)
            with closing(_Client(where["gateway"])) as client:
                roles = {name: pid for name, pid in where["pids"].items() if name != "kafka"}
                samples = client.run(write_lines(folder, items), roles, items)
    residences = {name: Residence(points) for name, points in samples.items()}
    seconds = max(role.samples[-1][0] for role in residences.values())
    return MemoryResult(items, seconds, residences)


class _Client:
    """Runs jobs through the gateway, and looks at processes meanwhile."""

    def __init__(self, url: str) -> None:
        self._client = GatewayClient(url)

    def run(self, file: Path, roles: Mapping[str, int], items: int) -> dict[str, list[tuple[float, int]]]:
        """Samples of `roles`, process ids by name, while all of them work: from when the job is warm
        until the intake has read all of it. Behind that the others have the machine for themselves. Raises Unfinished.
        """
        samples: dict[str, list[tuple[float, int]]] = {name: [] for name in roles}
        job_id = self._client.submit(API, {"jsonl": {"uri": file.as_uri()}}, uuid.uuid4().hex).job_id
        submitted, warm = time.monotonic(), None
        while True:
            job = self._client.job(job_id)
            if warm is None and job.counts.succeeded >= _WARM_UP:
                warm = time.monotonic()
            if warm is not None and job.counts.enqueued < items:
                for name, pid in roles.items():
                    samples[name].append((time.monotonic() - warm, resident_bytes(pid)))
            if job.state == State.SUCCEEDED:
                if not all(samples.values()):
                    raise Unfinished(f"{items:,} lines are too few: the first {_WARM_UP:,} are a warm-up")
                return samples
            if State(job.state).is_final or time.monotonic() - submitted > 120 + items / _SLOWEST:
                raise Unfinished(f"the job is {job.state} with {job.counts}")
            time.sleep(_EVERY_S)

    def close(self) -> None:
        self._client.close()


def await_ready(up: Started, file: Path) -> dict[str, Any]:
    deadline = time.monotonic() + _READY_S
    while not file.exists():
        if not up.is_running() or time.monotonic() > deadline:
            raise Unfinished(f"up is not ready:\n{up.last_words()}")
        time.sleep(0.1)
    return dict(json.loads(file.read_text()))


def write_lines(folder: Path, items: int) -> Path:
    load = JsonLoad(items, _SIZE)
    file = folder / f"{items}.jsonl"
    with file.open("wb") as lines:
        lines.writelines(load.value(number) + b"\n" for number in range(items))
    return file
