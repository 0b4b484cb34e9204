"""A genuine single-node Apache Kafka on this machine, for `up`, the demo and the tests."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from stream_infer.errors import ServiceUnavailable
from stream_infer.local.broker_files import HOST, PORTS_FILE, BrokerPorts, log4j2_properties, server_properties
from stream_infer.local.broker_probe import lists_a_broker
from stream_infer.local.class_archive import ClassArchive
from stream_infer.local.data_lock import DataLock
from stream_infer.local.free_ports import find_free, is_free
from stream_infer.local.java import find_java
from stream_infer.local.kafka_jars import default_cache_dir, provide_kafka_jars
from stream_infer.local.leashed import LeashedProcess

_JVM = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto")
_PROBE_EVERY_S = 0.05
_STOP_GRACE_S = 15.0
_FORMAT_TIMEOUT_S = 60.0
_TAIL_LINES = 15


@dataclass(frozen=True, slots=True)
class BrokerConfig:
    """Where and how the broker runs. Ports left out are found free, and kept with the data."""

    data_dir: Path
    port: int | None = None
    controller_port: int | None = None
    heap: str = "512m"
    """Java's -Xmx."""
    overrides: Mapping[str, str] = field(default_factory=dict)
    """Lines for server.properties that win over ours."""
    cache_dir: Path = field(default_factory=default_cache_dir)
    """Where Kafka's jars are kept between runs, for all of a user's brokers."""
    cluster_id: str | None = None
    """The same for all nodes of a cluster; left out, the node is a cluster of its own."""


class LocalBroker:
    """One Kafka node with its data in one directory. Use it from one thread, or as a context manager.

    It ends with the process that started it, however that one ends. Its log is `{data_dir}/broker.log`.
    """

    def __init__(self, config: BrokerConfig, announce: Callable[[str], None] = lambda _: None) -> None:
        self._config = config
        self._announce = announce
        self._data = config.data_dir.absolute()
        self._lock: DataLock | None = None
        self._process: LeashedProcess | None = None
        self._archive: ClassArchive | None = None
        self._ports: BrokerPorts | None = None

    @property
    def bootstrap_servers(self) -> str:
        """`host:port` for clients. Known once `start` has returned."""
        if self._ports is None:
            raise RuntimeError("the broker has not been started")
        return f"{HOST}:{self._ports.clients}"

    @property
    def pid(self) -> int:
        """The pid of Java, for tests that kill it."""
        if self._process is None:
            raise RuntimeError("the broker has not been started")
        return self._process.pid

    @property
    def log_file(self) -> Path:
        return self._data / "broker.log"

    def start(self, timeout_s: float = 60.0) -> None:
        """Start Kafka and block until it can serve clients, at most `timeout_s` seconds after Java's launch.

        The first start of a machine downloads Kafka, the first of a data directory formats it.

        Raises ServiceUnavailable, with what to do, when Java or Kafka cannot be had, the directory has
        another owner, a port is taken, or Java dies or does not answer in time. Nothing is left running.
        """
        if self._process is not None:
            raise RuntimeError("the broker has been started already")
        java = find_java()
        jars = provide_kafka_jars(self._config.cache_dir, self._announce)
        self._data.mkdir(parents=True, exist_ok=True)
        self._lock = DataLock.take(self._data, _STOP_GRACE_S + 5.0)
        try:
            self._ports = self._choose_ports()
            self._write_files(self._ports)
            self._format(java, jars)
            self._launch(java, jars, self._lock)
            self._wait_until_ready(self._ports, time.monotonic() + timeout_s)
        except BaseException:
            self.stop()
            raise

    def alive(self) -> bool:
        """Whether Java runs. Never blocks."""
        return self._process is not None and self._process.poll() is None

    def stop(self, timeout_s: float = _STOP_GRACE_S) -> None:
        """Shut Kafka down in order, at most `timeout_s` seconds, then kill it. Its data stays. Idempotent."""
        if self._process is not None:
            status = self._process.stop(timeout_s)
            self._process = None
            if self._archive is not None:
                self._archive.keep(status)
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    @property
    def _properties_file(self) -> Path:
        return self._data / "server.properties"

    def _choose_ports(self) -> BrokerPorts:
        file = self._data / PORTS_FILE
        kept = json.loads(file.read_text()) if file.exists() else {}
        wanted = [self._config.port, self._config.controller_port]
        for port in wanted:
            if port is not None and not is_free(port):
                raise ServiceUnavailable(
                    f"Kafka cannot listen on {HOST}:{port}: something else does. Stop it, or choose another port."
                )
        found = find_free(2)
        for index, name in enumerate(("clients", "controller")):
            last = kept.get(name)
            wanted[index] = wanted[index] or (last if last is not None and is_free(last) else found[index])
        chosen = {"clients": wanted[0], "controller": wanted[1]}
        file.write_text(json.dumps(chosen))
        return BrokerPorts(clients=int(wanted[0] or 0), controller=int(wanted[1] or 0))

    def _write_files(self, ports: BrokerPorts) -> None:
        text = server_properties(ports, self._data / "kafka", self._config.overrides)
        self._properties_file.write_text(text)
        (self._data / "log4j2.properties").write_text(log4j2_properties(self.log_file))

    def _format(self, java: Path, jars: Path) -> None:
        # Kafka's own mark comes last when it formats, but ours also survives a kill between its two files.
        done = self._data / "formatted"
        if done.exists():
            return
        # The tool takes an id that begins with a dash for an option (one in 64), so the first letter is fixed.
        cluster = self._config.cluster_id or "K" + urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")[1:]
        tool = ["kafka.tools.StorageTool", "format", "--ignore-formatted", "-t", cluster, "-c"]
        command = [str(java), *_JVM, "-cp", f"{jars}/*", *tool, str(self._properties_file)]
        result = subprocess.run(command, capture_output=True, text=True, timeout=_FORMAT_TIMEOUT_S, check=False)
        if result.returncode != 0:
            raise ServiceUnavailable(f"Kafka cannot format {self._data}:\n{result.stdout}{result.stderr}")
        done.touch()

    def _launch(self, java: Path, jars: Path, lock: DataLock) -> None:
        self._archive = ClassArchive.find(java, jars)
        log4j = f"-Dlog4j2.configurationFile={self._data / 'log4j2.properties'}"
        # A killed Java leaves the native libraries that it unpacked behind: in here they are found and overwritten.
        scratch = self._data / "tmp"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        places = [log4j, f"-Djava.io.tmpdir={scratch}"]
        jvm = [f"-Xmx{self._config.heap}", *_JVM, *self._archive.java_options(), *places, "-cp", f"{jars}/*"]
        self._process = LeashedProcess.start(
            [str(java), *jvm, "kafka.Kafka", str(self._properties_file)],
            output=self._data / "java.out",
            grace_s=_STOP_GRACE_S,
            keep_fds=[lock.fd],
        )

    def _wait_until_ready(self, ports: BrokerPorts, deadline: float) -> None:
        assert self._process is not None
        while not lists_a_broker(HOST, ports.clients):
            status = self._process.poll()
            if status is not None:
                raise ServiceUnavailable(f"Kafka ended at its start with status {status}.\n{self._tail()}")
            if time.monotonic() >= deadline:
                raise ServiceUnavailable(f"Kafka did not answer on {HOST}:{ports.clients} in time.\n{self._tail()}")
            time.sleep(_PROBE_EVERY_S)

    def _tail(self) -> str:
        parts = []
        for file in (self._data / "java.out", self.log_file):
            lines = file.read_text(errors="replace").splitlines()[-_TAIL_LINES:] if file.exists() else []
            if lines:
                parts += [f"The end of {file}:", *lines]
        return "\n".join(parts)
