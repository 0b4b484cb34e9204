"""A real toxiproxy: between a client and its server it is slow, cuts, resets, or swallows everything.

As a fixture (`toxiproxy`), or from a plain script: `with Toxiproxy.start(folder) as toxiproxy: …`.
"""

import http.client
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias

import pytest

from stream_infer.errors import ServiceUnavailable
from stream_infer.local.free_ports import find_free
from stream_infer.local.kafka_jars import default_cache_dir
from stream_infer.local.leashed import LeashedProcess
from tests.support.services import missing

ROOT = Path(__file__).parents[2]
READY_WITHIN_S = 10.0
_ANSWER_WITHIN_S = 10.0

Stream: TypeAlias = Literal["upstream", "downstream"]
"""Which way a toxic works: `upstream` is from the client to the server, `downstream` what comes back."""


@dataclass(frozen=True, slots=True)
class Latency:
    """Each piece of data is held back for `seconds`, give or take `jitter` seconds."""

    seconds: float
    jitter: float = 0.0
    stream: Stream = "downstream"

    def attributes(self) -> dict[str, int]:
        return {"latency": _ms(self.seconds), "jitter": _ms(self.jitter)}


@dataclass(frozen=True, slots=True)
class Bandwidth:
    """At most `kib_per_s` KiB go through in a second."""

    kib_per_s: int
    stream: Stream = "downstream"

    def attributes(self) -> dict[str, int]:
        return {"rate": self.kib_per_s}


@dataclass(frozen=True, slots=True)
class SlowClose:
    """The end of a connection is told `seconds` late."""

    seconds: float
    stream: Stream = "downstream"

    def attributes(self) -> dict[str, int]:
        return {"delay": _ms(self.seconds)}


@dataclass(frozen=True, slots=True)
class Timeout:
    """Nothing goes through, and the connection is closed after `seconds`; 0: never, a black hole."""

    seconds: float = 0.0
    stream: Stream = "downstream"

    def attributes(self) -> dict[str, int]:
        return {"timeout": _ms(self.seconds)}


@dataclass(frozen=True, slots=True)
class ResetPeer:
    """The connection is reset (RST) after `seconds`; 0: at once."""

    seconds: float = 0.0
    stream: Stream = "downstream"

    def attributes(self) -> dict[str, int]:
        return {"timeout": _ms(self.seconds)}


@dataclass(frozen=True, slots=True)
class LimitData:
    """The connection is closed after `bytes` bytes."""

    bytes: int
    stream: Stream = "downstream"

    def attributes(self) -> dict[str, int]:
        return {"bytes": self.bytes}


Toxic: TypeAlias = Latency | Bandwidth | SlowClose | Timeout | ResetPeer | LimitData

_TYPES: dict[type[Toxic], str] = {
    Latency: "latency",
    Bandwidth: "bandwidth",
    SlowClose: "slow_close",
    Timeout: "timeout",
    ResetPeer: "reset_peer",
    LimitData: "limit_data",
}


@dataclass(frozen=True, slots=True)
class Proxy:
    """Clients connect to `listen`, and reach `upstream`; both are `host:port`. Safe to share between threads."""

    api: "Toxiproxy"
    name: str
    listen: str
    upstream: str

    def add(self, toxic: Toxic, *, toxicity: float = 1.0) -> str:
        """Works on open connections too, on the share `toxicity` of all. Returns the name to remove it by."""
        given = {
            "type": _TYPES[type(toxic)],
            "stream": toxic.stream,
            "toxicity": toxicity,
            "attributes": toxic.attributes(),
        }
        name: str = self.api.call("POST", f"/proxies/{self.name}/toxics", given)["name"]
        return name

    def remove(self, toxic_name: str) -> None:
        """Data that a `Timeout` has swallowed does not come back."""
        self.api.call("DELETE", f"/proxies/{self.name}/toxics/{toxic_name}")

    def disable(self) -> None:
        """Closes all connections and refuses new ones."""
        self.api.call("POST", f"/proxies/{self.name}", {"enabled": False})

    def enable(self) -> None:
        self.api.call("POST", f"/proxies/{self.name}", {"enabled": True})

    def delete(self) -> None:
        self.api.call("DELETE", f"/proxies/{self.name}")

    @contextmanager
    def under(self, *toxics: Toxic) -> Iterator[None]:
        """With `toxics`, until the block ends."""
        names = [self.add(toxic) for toxic in toxics]
        try:
            yield
        finally:
            for name in names:
                self.remove(name)

    @contextmanager
    def cut(self) -> Iterator[None]:
        """Nobody can connect, until the block ends."""
        self.disable()
        try:
            yield
        finally:
            self.enable()


class Toxiproxy:
    """A toxiproxy server that ends with its owner, and its HTTP API. Safe to share between threads."""

    def __init__(self, process: LeashedProcess, port: int) -> None:
        self._process = process
        self._port = port

    @classmethod
    def start(cls, folder: Path) -> Self:
        """Its log goes to `folder`/toxiproxy.log. Raises ServiceUnavailable (not built, or it does not answer)."""
        binary = find_binary()
        [port] = find_free(1)
        log = folder / "toxiproxy.log"
        process = LeashedProcess.start([str(binary), "-host", "127.0.0.1", "-port", str(port)], output=log, grace_s=2)
        server = cls(process, port)
        deadline = time.monotonic() + READY_WITHIN_S
        while True:
            try:
                server.call("GET", "/version")
                return server
            except OSError as error:
                if process.poll() is not None or time.monotonic() > deadline:
                    server.stop()
                    said = log.read_text(errors="replace")[-2000:]
                    raise ServiceUnavailable(f"toxiproxy does not answer: {error}\n{said}") from None
                time.sleep(0.02)

    def proxy(self, name: str, upstream: str, listen: str | None = None) -> Proxy:
        """A new proxy to `upstream`, on `listen` or a free port of its own; both are `host:port`."""
        if listen is None:
            listen = "127.0.0.1:0"
        made = self.call("POST", "/proxies", {"name": name, "listen": listen, "upstream": upstream, "enabled": True})
        return Proxy(self, name, made["listen"], upstream)

    def reset(self) -> None:
        """Enables all proxies and removes all toxics."""
        self.call("POST", "/reset")

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """The decoded answer, None for an empty one. Raises OSError, or RuntimeError with what the server refused."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_ANSWER_WITHIN_S)
        try:
            sent = None if body is None else json.dumps(body)
            connection.request(method, path, sent, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            data = answer.read()
        finally:
            connection.close()
        if answer.status >= 300:
            raise RuntimeError(f"toxiproxy: {method} {path}: {answer.status} {data.decode(errors='replace')}")
        return json.loads(data) if data else None

    def stop(self) -> None:
        self._process.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def find_binary() -> Path:
    """Builds it where that can be done. Raises ServiceUnavailable."""
    binary = default_cache_dir() / "bin" / "toxiproxy-server"
    if not binary.exists() and shutil.which("go") and shutil.which("make"):
        subprocess.run(["make", "-s", "toxiproxy"], cwd=ROOT, check=False)
    if not binary.exists():
        raise ServiceUnavailable(
            f"toxiproxy-server is not in {binary.parent} and could not be built: Go is needed (make toxiproxy)"
        )
    return binary


@pytest.fixture(scope="session")
def toxiproxy_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Toxiproxy]:
    """The session's one toxiproxy; its proxies are the tests' own."""
    try:
        server = Toxiproxy.start(tmp_path_factory.mktemp("toxiproxy"))
    except ServiceUnavailable as error:
        missing(str(error))
    with server:
        yield server


@pytest.fixture
def toxiproxy(toxiproxy_server: Toxiproxy) -> Iterator[Toxiproxy]:
    """Without a proxy of any other test."""
    yield toxiproxy_server
    for name in toxiproxy_server.call("GET", "/proxies"):
        toxiproxy_server.call("DELETE", f"/proxies/{name}")


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
