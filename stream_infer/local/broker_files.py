"""The files that a single-node KRaft broker starts from, as text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

HOST = "127.0.0.1"  # not "localhost": clients would try ::1 first
PORTS_FILE = "ports.json"  # in the data directory


@dataclass(frozen=True, slots=True)
class BrokerPorts:
    """The two TCP ports of the node."""

    clients: int
    controller: int


def server_properties(ports: BrokerPorts, log_dir: Path, overrides: Mapping[str, str]) -> str:
    """Kafka's server.properties: one node, quick to start, slow to forget. `overrides` win."""
    settings = {
        "process.roles": "broker,controller",
        "node.id": "1",
        # A static voter: its port may change between starts, that of a dynamic one is in the data.
        "controller.quorum.voters": f"1@{HOST}:{ports.controller}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://{HOST}:{ports.clients},CONTROLLER://{HOST}:{ports.controller}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{ports.clients}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        # A broker that was killed may register again only when its last session has ended. Measured with 3 s instead of
        # 9 s: on a machine at load 27 it fenced itself, and clients that saw no broker at all stayed cut off for good.
        "broker.session.timeout.ms": "9000",
        "broker.heartbeat.interval.ms": "500",
        "log.dirs": str(log_dir),
        "auto.create.topics.enable": "false",
        "default.replication.factor": "1",
        "min.insync.replicas": "1",
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "5",
        "offsets.retention.minutes": str(30 * 24 * 60),
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "5",
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "share.coordinator.state.topic.num.partitions": "5",
        "group.initial.rebalance.delay.ms": "0",
        "log.segment.bytes": str(128 * 2**20),
        "log.retention.hours": str(7 * 24),
    }
    return "".join(f"{key}={value}\n" for key, value in {**settings, **overrides}.items())


def log4j2_properties(log_file: Path) -> str:
    """A log4j2 configuration: INFO into `log_file`, at most 4 files of 10 MB."""
    return f"""\
status=error
appender.file.type=RollingFile
appender.file.name=file
appender.file.fileName={log_file}
appender.file.filePattern={log_file}.%i
appender.file.layout.type=PatternLayout
appender.file.layout.pattern=[%d] %p %m (%c)%n
appender.file.policies.type=SizeBasedTriggeringPolicy
appender.file.policies.size=10MB
appender.file.strategy.type=DefaultRolloverStrategy
appender.file.strategy.max=3
rootLogger.level=INFO
rootLogger.appenderRef.file.ref=file
"""
