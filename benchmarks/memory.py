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
from stream_infer.clients import calls
from stream_infer.clients.gateway import Gateway
from stream_infer.jobs.status import State
from stream_infer.local.free_ports import find_free

_EVERY_S = 0.5
_READY_S = 90.0
_SLOWEST = 300.0
# Lines that end before memory is compared: by then the sink, which takes longest to it, has filled its buffers and put
# them into the store a few times, and every role has what it takes at full speed.
_WARM_UP = 1_000_000
_MIB = 1 << 20
_SIZE = 100


@dataclass(frozen=True, slots=True)
class Residence:
    """Samples of one role with its children: seconds since the job was submitted, bytes.

    `steady`: from when the job is warm until the intake has read all of it: then the others get its share of the cores.
    """

    samples: list[tuple[float, int]]
    steady: tuple[float, float]

    @property
    def quarters(self) -> tuple[float, float]:
        """The medians of the first and of the last quarter of the steady time."""
        begin, end = self.steady
        quarter = (end - begin) / 4
        first = [size for at, size in self.samples if begin <= at <= begin + quarter]
        last = [size for at, size in self.samples if end - quarter <= at <= end]
        return statistics.median(first), statistics.median(last)

    @property
    def peak(self) -> int:
        return max(size for _, size in self.samples)

    @property
    def growth(self) -> float:
        first, last = self.quarters
        return last / first - 1


@dataclass(frozen=True, slots=True)
class MemoryResult:
    items: int
    roles: dict[str, Residence]

    @property
    def growth(self) -> float:
        """Of the role that grew most."""
        return round(max(role.growth for role in self.roles.values()), 4)

    def text(self) -> str:
        rows = []
        for name, role in self.roles.items():
            first, last = role.quarters
            sizes = [f"{size / _MIB:.1f}" for size in (first, last, role.peak)]
            rows.append([name, *sizes[:2], percent(role.growth), sizes[2]])
        begin, end = next(iter(self.roles.values())).steady
        head = f"a job of {self.items:,} lines, {end - begin:.0f} s of it"
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
                return MemoryResult(items, client.run(write_lines(folder, items), roles, items))


class _Client:
    """Runs jobs through the gateway, and looks at processes meanwhile."""

    def __init__(self, url: str) -> None:
        self._client = Gateway(url)

    def run(self, file: Path, roles: Mapping[str, int], items: int) -> dict[str, Residence]:
        """Of `roles`, process ids by name, until the job has ended. Raises Unfinished."""
        samples: dict[str, list[tuple[float, int]]] = {name: [] for name in roles}
        job_id = self._client.ask(calls.submit(API, {"jsonl": {"uri": file.as_uri()}}, uuid.uuid4().hex)).job_id
        submitted, warm, read = time.monotonic(), None, None
        while True:
            now = time.monotonic() - submitted
            for name, pid in roles.items():
                samples[name].append((now, resident_bytes(pid)))
            job = self._client.ask(calls.job(job_id))
            if warm is None and job.counts.succeeded >= min(_WARM_UP, items // 3):
                warm = now
            if read is None and job.counts.enqueued == items:
                read = now
            if job.state == State.SUCCEEDED:
                # Of a small job all is read before it is warm.
                steady = (warm, read) if warm is not None and read is not None and read > warm else (0.0, now)
                return {name: Residence(points, steady) for name, points in samples.items()}
            if State(job.state).is_final or now > 120 + items / _SLOWEST:
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
