"""`stream-infer up` as a user starts it, with an API that echoes."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import yaml

from stream_infer.local.free_ports import find_free
from tests.support.settings import predictor

ROOT = Path(__file__).parents[2]
READY_S = 120.0
END_S = 60.0


class UpProcess:
    """A running `up`. Its output is in `log`, what it has started in `descendants`."""

    def __init__(self, folder: Path, config: Path, environment: Mapping[str, str] | None = None) -> None:
        self.log = folder / "up.log"
        self._ready_file = folder / "ready.json"
        self._ready_file.unlink(missing_ok=True)
        command = [sys.executable, "-m", "stream_infer", "up", "-f", str(config)]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, "--ready-file", str(self._ready_file)],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})},
                start_new_session=True,
            )

    def wait_until_ready(self) -> dict[str, Any]:
        wait_for(self._ready_file.exists, READY_S, self.text, lambda: self.process.poll() is None)
        return dict(json.loads(self._ready_file.read_text()))

    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def descendants(self) -> list[int]:
        return [child.pid for child in psutil.Process(self.process.pid).children(recursive=True)]

    def interrupt(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(END_S)


@contextmanager
def up_in(
    folder: Path, config: Path | None = None, environment: Mapping[str, str] | None = None
) -> Iterator[UpProcess]:
    """`up` in `folder`, with the configuration that is there or a new one; killed at the end if it still runs."""
    up = UpProcess(folder, config or write_config(folder), environment)
    try:
        yield up
    finally:
        up.process.kill()  # its leashes end the rest
        up.process.wait()


def write_config(folder: Path, **changes: Any) -> Path:
    """A configuration with the API `echo` and a gateway port of its own."""
    [port] = find_free(1)
    config = {
        "state_dir": str(folder / "state"),
        "store": f"file://{folder / 'store'}",
        "gateway": {"listen": f"127.0.0.1:{port}"},
        "jobs": {"partitions": 2},
        "apis": [{"name": "echo", "predictor": predictor("behaving.py:Echo"), "partitions": 2}],
        **changes,
    }
    file = folder / "stream-infer.yaml"
    file.write_text(yaml.safe_dump(config))
    return file


def wait_for(condition: Any, within_s: float, text: Any, may_go_on: Any = lambda: True) -> Any:
    """What `condition()` returns once that is true; fails with `text()` after `within_s` seconds."""
    deadline = time.monotonic() + within_s
    while not (found := condition()):
        assert may_go_on(), text()
        assert time.monotonic() < deadline, f"not within {within_s} s:\n{text()}"
        time.sleep(0.05)
    return found
