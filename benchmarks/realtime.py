"""One replica beside LitServe and mosec on the same model, and beside a direct call. No Kafka.

Closed-loop clients: each connection asks again as soon as it has its answer. All of them are one process (see
`realtime_client.py`), whose share of a core stands beside each result. The peers run with micro-batches as ours are,
and without: the better of the two counts.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import yaml

from benchmarks.contest import Announce
from benchmarks.contestants import PEERS_PYTHON
from benchmarks.processes import ROOT, Started, started
from benchmarks.realtime_model import BATCH, MODELS, body_of, environment, target_of
from benchmarks.report import Summary, median_and_spread, table
from stream_infer.local.free_ports import find_free

SECONDS = 4.0
CONNECTIONS = (1, 8, 64)
OURS, DIRECT = "stream-infer", "direct call"
_WARM_UP_S = 1.0
_READY_S = 60.0
_PEERS = Path(__file__).parent / "peers"
_COLUMNS = ("requests/s", "p50 ms", "p99 ms", "CPU us/request", "clients' CPU", "errors", "lacks")
# A worker that dies: mosec's server/runtime managers and LitServe's monitor end the server, unless there are others.
_MICRO_BATCHES = "a bad item fails its whole micro-batch; a model that crashes ends the server"
_ONE_AT_A_TIME = "micro-batches; a model that crashes ends the server"


@dataclass(frozen=True, slots=True)
class Server:
    """`command` and `environment` of a port and a model; `path` is asked. `lacks`: of what the replica does."""

    name: str
    path: str
    command: Callable[[int, str, Path], list[str]]
    environment: Callable[[int, str], Mapping[str, str]]
    lacks: str = ""

    @property
    def family(self) -> str:
        """Without how it is set up."""
        return self.name.partition(",")[0]


@dataclass(frozen=True, slots=True)
class Load:
    """What closed-loop clients have found. Milliseconds; `cpu` is the clients' share of a core, `cost` the server's CPU
    for a request, of all its processes together, in microseconds."""

    rate: float
    p50: float
    p99: float
    worst: float
    cpu: float
    other: int
    cost: float = 0.0


@dataclass(slots=True)
class RealtimeResult:
    """By model, connections (0: the direct call) and contestant, one entry a round."""

    loads: dict[str, dict[int, dict[str, list[Load]]]] = field(default_factory=dict)

    def add(self, model: str, connections: int, name: str, load: Load) -> None:
        self.loads.setdefault(model, {}).setdefault(connections, {}).setdefault(name, []).append(load)

    def best(self, model: str, connections: int, family: str, of: Callable[[Load], float]) -> float | None:
        """The median of a family's better way to be set up; `of` is better the larger it is."""
        found = [
            statistics.median(map(of, loads))
            for name, loads in self.loads.get(model, {}).get(connections, {}).items()
            if name.partition(",")[0] == family
        ]
        return max(found, default=None)

    def overhead_p99(self, model: str) -> float | None:
        """Milliseconds of a request that come on top of a direct call's p99, at one connection."""
        ours = self.best(model, 1, OURS, lambda load: -load.p99)
        direct = self.best(model, 0, DIRECT, lambda load: -load.p99)
        return None if ours is None or direct is None else round(direct - ours, 3)  # both are negative

    def summarise(self, summary: Summary) -> None:
        """Overheads in milliseconds, and the worst of all models and loads: above 1 we are ahead everywhere."""
        summary.realtime_overhead_p99_ms = self.overhead_p99("null")
        for model in self.loads:
            summary.realtime[f"overhead_p99_ms_{model}"] = self.overhead_p99(model)
        for family in ("LitServe", "mosec"):
            rates, tails = [], []
            for model, by_connections in self.loads.items():
                for connections in by_connections:
                    if connections:
                        rates.append(self._by(model, connections, family, lambda load: load.rate))
                        tails.append(self._by(model, connections, family, lambda load: 1 / load.p99))
            summary.realtime[f"rate_vs_{family.lower()}"] = _least(rates)
            summary.realtime[f"p99_vs_{family.lower()}"] = _least(tails)

    def _by(self, model: str, connections: int, family: str, of: Callable[[Load], float]) -> float | None:
        ours, theirs = self.best(model, connections, OURS, of), self.best(model, connections, family, of)
        return None if ours is None or theirs is None else ours / theirs

    def text(self) -> str:
        tables = [
            table(
                [f"{model} model, {_shown(connections)}", *_COLUMNS],
                [_row(name, loads) for name, loads in by_name.items()],
            )
            for model, by_connections in self.loads.items()
            for connections, by_name in by_connections.items()
        ]
        overheads = ", ".join(f"{model} {self.overhead_p99(model)} ms" for model in self.loads)
        return "\n\n".join([*tables, f"p99 at one connection beyond a direct call's: {overheads}"])


def measure(folder: Path, seconds: float, rounds: int, announce: Announce, only: Sequence[str] = ()) -> RealtimeResult:
    """Needs no broker. A peer that is not installed is left out."""
    result = RealtimeResult()
    for model in MODELS:
        (body := folder / f"{model}.json").write_bytes(body_of(model))
        for number in range(rounds):
            announce(f"realtime, {model} model, round {number + 1}")
            result.add(model, 0, DIRECT, _direct(model, seconds))
            servers = [one for one in SERVERS if not only or any(part in one.name.lower() for part in only)]
            for server in servers if number % 2 == 0 else servers[::-1]:
                if server.family != OURS and not PEERS_PYTHON.exists():
                    continue
                with _serving(server, model, folder) as (port, process):
                    for connections in CONNECTIONS:
                        load = _load(server, port, process, body, connections, seconds)
                        announce(f"  {server.name}, {connections}: {load.rate:,.0f}/s, p99 {load.p99:.2f} ms")
                        result.add(model, connections, server.name, load)
    return result


@contextmanager
def _serving(server: Server, model: str, folder: Path) -> Iterator[tuple[int, Started]]:
    """On that port, once it answers."""
    [port] = find_free(1)
    log = folder / f"{server.name}-{port}.log"
    told = {**environment(), **server.environment(port, model)}
    with started(server.command(port, model, folder), log, told) as process:
        deadline = time.monotonic() + _READY_S
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}{server.path}", body_of(model), {"content-type": "application/json"}
        )
        while True:
            try:
                urllib.request.urlopen(request, timeout=5).read()
                break
            except (OSError, urllib.error.HTTPError) as error:
                if time.monotonic() > deadline or not process.is_running():
                    raise RuntimeError(f"{server.name} does not answer ({error}):\n{process.last_words()}") from error
                time.sleep(0.1)
        yield port, process


def _load(server: Server, port: int, process: Started, body: Path, connections: int, seconds: float) -> Load:
    words = ["127.0.0.1", str(port), server.path, "application/json", str(body), str(connections)]
    _found(["benchmarks.realtime_client", *words, str(_WARM_UP_S)], _WARM_UP_S)
    before = process.cpu_seconds()
    load = _found(["benchmarks.realtime_client", *words, str(seconds)], seconds)
    answered = max(1.0, load.rate * seconds + load.other)
    return replace(load, cost=1e6 * (process.cpu_seconds() - before) / answered)


def _direct(model: str, seconds: float) -> Load:
    return _found(["benchmarks.realtime_direct", model, str(seconds)], seconds)


def _found(words: Sequence[str], seconds: float) -> Load:
    command = [sys.executable, "-m", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=seconds + 60, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return Load(**json.loads(done.stdout.splitlines()[-1]))


def _ours(port: int, model: str, folder: Path) -> list[str]:
    api = {
        "name": "bench",
        "predictor": {"type": "native", "target": target_of(model)},
        "batching": {"max_batch_size": BATCH},  # it waits for none while the model is idle
        "realtime": {"listen": f"127.0.0.1:{port}", "drain_delay": 0},
    }
    config = folder / f"stream-infer-{port}.yaml"
    config.write_text(yaml.safe_dump({"store": f"file://{folder}/store", "state_dir": str(folder), "apis": [api]}))
    return [sys.executable, "-m", "stream_infer", "-f", str(config), "realtime", "bench"]


def _litserve(batch: int) -> Server:
    return Server(
        f"LitServe, {_set_up(batch)}",
        "/predict",
        lambda port, model, _: [str(PEERS_PYTHON), str(_PEERS / "litserve_app.py"), model, str(port), str(batch)],
        lambda _port, _model: {},
        _lacks(batch),
    )


def _mosec(batch: int) -> Server:
    return Server(
        f"mosec, {_set_up(batch)}",
        "/inference",
        lambda port, _model, _: [
            str(PEERS_PYTHON), str(_PEERS / "mosec_app.py"), "--address", "127.0.0.1", "--port", str(port),
            "--log-level", "error",
        ],
        lambda _port, model: {"BENCH_MODEL": model, "BENCH_BATCH": str(batch)},
        _lacks(batch),
    )  # fmt: skip


def _set_up(batch: int) -> str:
    return "micro-batches" if batch > 1 else "one at a time"


def _lacks(batch: int) -> str:
    return _MICRO_BATCHES if batch > 1 else _ONE_AT_A_TIME


SERVERS = (
    Server(OURS, "/v1/apis/bench/predict", _ours, lambda _port, _model: {}),
    _mosec(BATCH),
    _mosec(1),
    _litserve(BATCH),
    _litserve(1),
)


def _row(name: str, loads: Sequence[Load]) -> list[str]:
    return [
        name,
        median_and_spread([load.rate for load in loads]),
        median_and_spread([load.p50 for load in loads], 3),
        median_and_spread([load.p99 for load in loads], 3),
        median_and_spread([load.cost for load in loads if load.cost], 1),
        f"{100 * statistics.median(load.cpu for load in loads):.0f}%",
        str(sum(load.other for load in loads)),
        next((server.lacks for server in SERVERS if server.name == name), ""),
    ]


def _shown(connections: int) -> str:
    return "no server" if not connections else f"{connections} connection{'' if connections == 1 else 's'}"


def _least(ratios: Sequence[float | None]) -> float | None:
    present = [ratio for ratio in ratios if ratio is not None]
    return round(min(present), 3) if present else None
