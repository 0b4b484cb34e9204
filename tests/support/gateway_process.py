"""A gateway as an operator starts it, in a process of its own that may be killed."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from stream_infer.local.free_ports import find_free
from stream_infer.settings import Settings

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class GatewayProcess:
    process: subprocess.Popen[bytes]
    url: str
    log: Path

    def said(self) -> str:
        return self.log.read_text(errors="replace")


@contextmanager
def gateway_process(settings: Settings, folder: Path, env: Mapping[str, str] | None = None) -> Iterator[GatewayProcess]:
    """`stream-infer gateway` on a port of its own, once it serves; killed with -9 when the block ends.

    Its configuration and its log lie in `folder`.
    """
    [port] = find_free(1)
    config, log = folder / f"gateway-{port}.yaml", folder / f"gateway-{port}.log"
    given = settings.model_dump(mode="json", exclude_unset=True)
    config.write_text(yaml.safe_dump(given | {"gateway": {"listen": f"127.0.0.1:{port}"}}))
    ready, says_ready = os.pipe()
    command = [sys.executable, "-m", "stream_infer", "gateway", "-f", str(config), "--ready-fd", str(says_ready)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, cwd=ROOT, env={**os.environ, **(env or {})}, pass_fds=[says_ready]
        )
    gateway = GatewayProcess(process, f"http://127.0.0.1:{port}", log)
    os.close(says_ready)
    try:
        with os.fdopen(ready, "rb") as told:
            assert told.read(1), gateway.said()
        yield gateway
    finally:
        process.kill()
        process.wait()
