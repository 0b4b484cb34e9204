"""Kafka's own tools, as its users have them: kcat, and the console tools of Apache Kafka."""

import shutil
import subprocess
from pathlib import Path

from stream_infer.local.java import find_java
from stream_infer.local.kafka_jars import default_cache_dir, provide_kafka_jars
from tests.support import connect_jars
from tests.support.services import missing

_TIMEOUT_S = 60.0
# What the scripts of Kafka's bin/ start.
CLASSES = {
    "kafka-console-producer.sh": "org.apache.kafka.tools.ConsoleProducer",
    "kafka-console-consumer.sh": "org.apache.kafka.tools.consumer.ConsoleConsumer",
    "kafka-consumer-groups.sh": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    "kafka-get-offsets.sh": "org.apache.kafka.tools.GetOffsetShell",
    "kafka-topics.sh": "org.apache.kafka.tools.TopicCommand",
    "connect-standalone.sh": "org.apache.kafka.connect.cli.ConnectStandalone",
}
# Kafka's scripts leave it out: who wants it has it on plugin.path.
FILE_SINK = "connect-file-"
_JVM = ("-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")


def java_command(script: str, *, logging: Path | None = None) -> list[str]:
    """What the script would start; skips the test where the jars are not, and fails it in CI."""
    if not connect_jars.are_there(connect_jars.CONNECT):
        missing("Kafka's console tools and Connect are not there: `make connect` fetches them")
    libs = (provide_kafka_jars(default_cache_dir()), connect_jars.folder(connect_jars.CONNECT))
    settings = () if logging is None else (f"-Dlog4j2.configurationFile={logging}",)
    jars = [str(jar) for folder in libs for jar in sorted(folder.glob("*.jar")) if not jar.name.startswith(FILE_SINK)]
    return [str(find_java()), *_JVM, *settings, "-cp", ":".join(jars), CLASSES[script]]


def console_tool(script: str, *arguments: str, stdin: str | None = None) -> str:
    """What it prints on stdout; fails where it fails."""
    return _said([*java_command(script), *arguments], stdin)


def kcat(*arguments: str, stdin: str | None = None) -> str:
    """What it prints on stdout; skips the test where it is not installed, and fails it in CI."""
    if shutil.which("kcat") is None:
        missing("kcat is not installed: apt-get install kcat")
    return _said(["kcat", *arguments], stdin)


def _said(command: list[str], stdin: str | None) -> str:
    done = subprocess.run(
        command,
        input=stdin,
        text=True,
        errors="replace",
        capture_output=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, f"{command}:\n{done.stdout}\n{done.stderr}"
    return done.stdout
