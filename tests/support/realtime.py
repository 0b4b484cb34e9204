"""Realtime replicas: one in a thread of the test's own process, or as an operator starts it."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3
import yaml

from stream_infer.cli.composition import fetcher_of
from stream_infer.engine.configured import predictor_spec
from stream_infer.realtime.run import run
from stream_infer.settings import Settings
from tests.support.roles import give_up, running
from tests.support.settings import predictor

ROOT = Path(__file__).parents[2]
PREDICT = "/v1/apis/echo/predict"


def realtime_settings(folder: Path, target: str, config: dict[str, Any] | None = None, **api: Any) -> Settings:
    """One API named `echo`, on any free port; `realtime` in `api` adds to what is quick in a test."""
    realtime = {"listen": "127.0.0.1:0", "drain_delay": 0.0, **api.pop("realtime", {})}
    return Settings.model_validate(
        {
            "store": f"file://{folder / 'store'}",
            "state_dir": str(folder / "state"),
            "fetch": {"allowed_directories": [str(folder)]},
            "apis": [{"name": "echo", "predictor": predictor(target, **(config or {})), "realtime": realtime, **api}],
        }
    )


class Client:
    """Many requests at a time against one replica."""

    def __init__(self, url: str, stop: Callable[[], None] = lambda: None) -> None:
        self.url = url
        self.stop = stop
        self._pool = urllib3.PoolManager(retries=False, timeout=30, maxsize=32)
        self._threads = ThreadPoolExecutor(32)

    def ask(self, item: bytes, path: str = PREDICT, method: str = "POST", **headers: str) -> Any:
        sent = {"content-type": "application/json"} | {name.replace("_", "-"): text for name, text in headers.items()}
        return self._pool.request(method, self.url + path, body=item, headers=sent)

    def begin(self, item: bytes, **headers: str) -> Future[Any]:
        return self._threads.submit(lambda: self.ask(item, **headers))

    def get(self, path: str) -> Any:
        return self._pool.request("GET", self.url + path)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._pool.clear()


@contextmanager
def replica(settings: Settings) -> Iterator[Client]:
    """A replica of the only API, once it serves. `stop` asks it to end."""
    [api] = settings.apis
    urls: list[str] = []
    stops: list[threading.Event] = []

    def serve(stop: threading.Event, ready: Callable[[], None]) -> None:
        stops.append(stop)
        run(
            settings,
            api,
            fetcher_of(settings),
            predictor_spec(api.predictor),
            stop=stop,
            on_ready=ready,
            on_unavailable=give_up,
            on_listening=urls.append,
        )

    with running(serve):
        client = Client(urls[0], stops[0].set)
        try:
            yield client
        finally:
            client.close()


@dataclass(frozen=True, slots=True)
class ReplicaProcess:
    process: subprocess.Popen[bytes]
    url: str
    log: Path


@contextmanager
def replica_process(settings: Settings, folder: Path, port: int) -> Iterator[ReplicaProcess]:
    """`stream-infer realtime` on `port`, once it serves; killed with -9 when the block ends."""
    config, log = folder / f"realtime-{port}.yaml", folder / f"realtime-{port}.log"
    given = settings.model_dump(mode="json", exclude_unset=True)
    given["apis"][0]["realtime"]["listen"] = f"127.0.0.1:{port}"
    config.write_text(yaml.safe_dump(given))
    ready, says_ready = os.pipe()
    command = [sys.executable, "-m", "stream_infer", "realtime", "-f", str(config), "--ready-fd", str(says_ready)]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, cwd=ROOT, pass_fds=[says_ready])
    os.close(says_ready)
    try:
        with os.fdopen(ready, "rb") as told:
            assert told.read(1), log.read_text(errors="replace")
        yield ReplicaProcess(process, f"http://127.0.0.1:{port}", log)
    finally:
        process.kill()
        process.wait()
