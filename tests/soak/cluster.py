"""A genuine Kafka of one or three brokers behind toxiproxy, on top of `stream_infer.local.broker`.

Roles reach each broker by way of its proxy; brokers and checks reach one another directly. Each node is broker and
controller at once, so that a killed broker may be the active controller too.
"""

import os
import signal
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from confluent_kafka import ElectionType, KafkaException
from confluent_kafka.admin import AdminClient

from stream_infer.errors import ServiceUnavailable
from stream_infer.local.broker import BrokerConfig, LocalBroker
from stream_infer.local.broker_files import HOST
from stream_infer.local.free_ports import find_free
from tests.support.toxiproxy import Proxy, Toxiproxy

T = TypeVar("T")
START_WITHIN_S = 90.0
WHOLE_WITHIN_S = 60.0


class Node:
    """One broker and the proxy before it."""

    def __init__(self, number: int, config: BrokerConfig, proxy: Proxy) -> None:
        self.number = number
        self.direct = f"{HOST}:{config.port}"
        self.proxy = proxy
        self._config = config
        self._broker = LocalBroker(config)

    @property
    def pid(self) -> int:
        return self._broker.pid

    def start(self) -> None:
        """Its port may be somebody's outgoing connection for a moment: asked again."""
        deadline = time.monotonic() + START_WITHIN_S
        while True:
            try:
                self._broker.start(START_WITHIN_S)
                return
            except ServiceUnavailable:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)

    def stop(self) -> None:
        self._broker.stop()

    def kill(self) -> None:
        os.kill(self._broker.pid, signal.SIGKILL)
        self._broker.stop()


class Cluster:
    def __init__(self, nodes: list[Node]) -> None:
        self.nodes = nodes

    @property
    def proxied(self) -> str:
        """Where the roles find it."""
        return ",".join(node.proxy.listen for node in self.nodes)

    @property
    def direct(self) -> str:
        """Where the checks find it, whatever the network does."""
        return ",".join(node.direct for node in self.nodes)

    def start(self) -> None:
        in_parallel(Node.start, self.nodes)

    def stop(self) -> None:
        in_parallel(Node.stop, self.nodes)

    def wait_until_whole(self) -> bool:
        """Every replica is in sync again; False where that takes more than a minute."""
        deadline = time.monotonic() + WHOLE_WITHIN_S
        while time.monotonic() < deadline:
            parts = self._partitions()
            if parts and all(set(isrs) == set(replicas) and leader >= 0 for leader, replicas, isrs in parts.values()):
                return True
            time.sleep(0.3)
        return False

    def elect_preferred(self) -> int:
        """Gives each partition's leadership to its first replica; how many partitions it moved."""
        moved = sum(leader != replicas[0] for leader, replicas, _ in self._partitions().values())
        admin = self._admin()  # has to live as long as what is asked of it
        admin.elect_leaders(ElectionType.PREFERRED).result(30)
        return moved

    def _admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.direct, "log_level": 0})

    def _partitions(self) -> dict[tuple[str, int], tuple[int, list[int], list[int]]]:
        """Leader, replicas and those in sync."""
        try:
            topics = self._admin().list_topics(timeout=5).topics
        except KafkaException:
            return {}
        return {
            (str(topic.topic), number): (found.leader, found.replicas, found.isrs)
            for topic in topics.values()
            for number, found in topic.partitions.items()
        }


@contextmanager
def cluster_in(folder: Path, count: int, toxiproxy: Toxiproxy) -> Iterator[Cluster]:
    """A running cluster of `count` brokers with its data in `folder`. Raises ServiceUnavailable."""
    ports = find_free(3 * count)
    direct, behind, controllers = ports[:count], ports[count : 2 * count], ports[2 * count :]
    voters = ",".join(f"{number}@{HOST}:{port}" for number, port in enumerate(controllers, 1))
    cluster_id = "K" + urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")[1:]
    nodes = []
    for index in range(count):
        number = index + 1
        proxy = toxiproxy.proxy(f"kafka-{number}", f"{HOST}:{behind[index]}")
        config = BrokerConfig(
            folder / f"kafka-{number}",
            port=direct[index],
            controller_port=controllers[index],
            heap="256m" if count > 1 else "384m",
            overrides=_overrides(number, count, voters, direct[index], behind[index], controllers[index], proxy),
            cluster_id=cluster_id,
        )
        nodes.append(Node(number, config, proxy))
    cluster = Cluster(nodes)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def _overrides(
    number: int, count: int, voters: str, direct: int, behind: int, controller: int, proxy: Proxy
) -> dict[str, str]:
    copies, in_sync = str(count), str(max(1, count - 1))
    return {
        "node.id": str(number),
        "controller.quorum.voters": voters,
        "listeners": f"DIRECT://{HOST}:{direct},PROXIED://{HOST}:{behind},CONTROLLER://{HOST}:{controller}",
        "advertised.listeners": f"DIRECT://{HOST}:{direct},PROXIED://{proxy.listen}",
        "listener.security.protocol.map": "DIRECT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "DIRECT",
        "default.replication.factor": copies,
        "min.insync.replicas": in_sync,
        "offsets.topic.replication.factor": copies,
        "transaction.state.log.replication.factor": copies,
        "transaction.state.log.min.isr": in_sync,
        "share.coordinator.state.topic.replication.factor": copies,
        "share.coordinator.state.topic.min.isr": in_sync,
        # Who leads after a fault is what the fault makes of it, until a leader change is the fault.
        "auto.leader.rebalance.enable": "false",
    }


def in_parallel(call: Callable[[T], object], things: list[T]) -> None:
    """Calls for each at the same time; raises the first error once all have ended."""
    with ThreadPoolExecutor(max(1, len(things))) as pool:
        for future in [pool.submit(call, thing) for thing in things]:
            future.result()
