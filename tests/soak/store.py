"""A real S3 server behind toxiproxy, its data on a small tmpfs where one can be mounted, so that a disk can be full."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from stream_infer.errors import ServiceUnavailable
from stream_infer.local.free_ports import find_free
from stream_infer.local.kafka_jars import default_cache_dir
from stream_infer.local.leashed import LeashedProcess
from tests.support.s3_fixture import S3Server
from tests.support.toxiproxy import Proxy, Toxiproxy

BUCKET = "soak"
READY_WITHIN_S = 30.0
DISK = "256m"
_BALLAST = ".ballast"


class StoreServer:
    """versitygw. `behind` is where the roles find it, `direct` where the checks do."""

    def __init__(self, folder: Path, toxiproxy: Toxiproxy) -> None:
        [port] = find_free(1)
        self.direct = S3Server(f"http://127.0.0.1:{port}", "soak-access-key", "soak-secret-key", BUCKET)
        self.proxy: Proxy = toxiproxy.proxy("s3", f"127.0.0.1:{port}")
        self.behind = replace(self.direct, endpoint_url=f"http://{self.proxy.listen}")
        self.data = folder / "s3"
        self.data.mkdir()
        self.is_small = _mount(self.data)
        self._command = [str(_binary()), "--port", f"127.0.0.1:{port}", "posix", str(self.data)]
        self._log = folder / "versitygw.log"
        self._process: LeashedProcess | None = None

    def start(self) -> None:
        keys = {"ROOT_ACCESS_KEY": self.direct.access_key, "ROOT_SECRET_KEY": self.direct.secret_key}
        env = {**os.environ, **keys}
        self._process = LeashedProcess.start(self._command, output=self._log, env=env, grace_s=2)
        deadline = time.monotonic() + READY_WITHIN_S
        client = self.direct.client()
        try:
            while not _answers(client):
                if time.monotonic() > deadline:
                    raise ServiceUnavailable(f"versitygw does not answer; {self._log} may say why")
                time.sleep(0.1)
        finally:
            client.close()

    def create_bucket(self) -> None:
        client = self.direct.client()
        client.create_bucket(Bucket=BUCKET)
        client.close()

    def kill(self) -> None:
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.stop()

    def fill(self) -> None:
        """Leaves no byte on its disk."""
        ballast = os.open(self.data / _BALLAST, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            for size in (1 << 20, 1 << 12):
                with suppress(OSError):
                    while os.write(ballast, bytes(size)) == size:
                        pass
        finally:
            os.close(ballast)

    def empty(self) -> None:
        (self.data / _BALLAST).unlink(missing_ok=True)

    def close(self) -> None:
        if self._process is not None:
            self._process.stop()
        if self.is_small:
            subprocess.run(["umount", str(self.data)], check=False, capture_output=True)
            self.is_small = False


@contextmanager
def store_in(folder: Path, toxiproxy: Toxiproxy) -> Iterator[StoreServer]:
    """A running store with the bucket. Raises ServiceUnavailable."""
    server = StoreServer(folder, toxiproxy)
    try:
        server.start()
        server.create_bucket()
        yield server
    finally:
        server.close()


def _mount(folder: Path) -> bool:
    """False where this process may not mount; then no disk is ever full."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(folder)]
    try:
        return subprocess.run(command, check=False, capture_output=True).returncode == 0
    except OSError:
        return False


def _binary() -> Path:
    binary = default_cache_dir() / "bin" / "versitygw"
    if not binary.exists() and shutil.which("make"):
        subprocess.run(["make", "-s", "versitygw"], cwd=Path(__file__).parents[2], check=False)
    if not binary.exists():
        raise ServiceUnavailable(f"versitygw is not in {binary.parent} and could not be built: make versitygw")
    return binary


def _answers(client: Any) -> bool:
    try:
        client.list_buckets()
    except (BotoCoreError, ClientError):
        return False
    return True
