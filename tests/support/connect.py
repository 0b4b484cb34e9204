"""A Kafka Connect worker with what connectors/kafka_connect shows, but for the folder of the jars as it is."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from stream_infer.local.leashed import LeashedProcess
from tests.support import connect_jars
from tests.support.kafka_tools import FILE_SINK, java_command
from tests.support.ports import free_neighbours
from tests.support.services import missing

SHOWN = Path(__file__).parents[2] / "connectors" / "kafka_connect"
_LOGGING = """\
rootLogger.level = info
rootLogger.appenderRef.console.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d %p %c %m%n
"""


class Worker:
    """What it prints is in `log`."""

    def __init__(self, process: LeashedProcess, log: Path) -> None:
        self.process = process
        self.log = log

    def runs(self) -> bool:
        """False also where a task of it has given up."""
        return self.process.poll() is None and "Task is being killed" not in self.text()

    def text(self) -> str:
        """What it has to complain of, and its last words."""
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join([*(line for line in lines if " ERROR " in line or "Caused by" in line), "...", *lines[-20:]])

    def kill(self) -> None:
        os.kill(self.process.pid, 9)
        self.process.stop()


@contextmanager
def connect_worker(
    folder: Path, connector: str, bootstrap_servers: str, variables: Mapping[str, str]
) -> Iterator[Worker]:
    """One with one connector; skips the test where the jars are not, and fails it in CI."""
    if not connect_jars.are_there(connect_jars.ICEBERG):
        missing("the Iceberg sink of Kafka Connect is not there: `make connect` fetches it")
    plugins = folder / "plugins"
    plugins.mkdir(exist_ok=True)
    connect_jars.lay_out(connect_jars.CONNECT, plugins / "file", FILE_SINK)
    connect_jars.lay_out(connect_jars.ICEBERG, plugins / "iceberg")
    logging, settings, log = folder / "log4j2.properties", folder / "worker.properties", folder / "connect.log"
    logging.write_text(_LOGGING)
    shown = (SHOWN / "worker.properties").read_text()
    settings.write_text(shown.replace("plugin.path=/opt/kafka/plugins", f"plugin.path={plugins}"))
    port = free_neighbours(1)
    environment = {
        **os.environ,
        "KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers,
        "CONNECT_LISTEN": f"http://127.0.0.1:{port}",
        "CONNECT_STATE": str(folder),
        **variables,
    }
    command = [*java_command("connect-standalone.sh", logging=logging), str(settings), str(SHOWN / connector)]
    process = LeashedProcess.start(command, output=log, env=environment)
    try:
        yield Worker(process, log)
    finally:
        process.stop()
