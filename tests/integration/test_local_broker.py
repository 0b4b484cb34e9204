"""The local Kafka is a real one, keeps its data, and leaves nothing behind."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from stream_infer.errors import ServiceUnavailable
from stream_infer.local import kafka_jars
from stream_infer.local.broker import BrokerConfig, LocalBroker
from tests.support.processes import survivors

OWNER = """
import sys, time
from pathlib import Path
from stream_infer.local.broker import BrokerConfig, LocalBroker
broker = LocalBroker(BrokerConfig(Path(sys.argv[1])))
broker.start()
print(broker.pid, flush=True)
time.sleep(120)
"""


def write_in_a_transaction(bootstrap_servers: str, topic: str, value: bytes) -> None:
    producer = Producer({"bootstrap.servers": bootstrap_servers, "transactional.id": f"{topic}-writer"})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(topic, value)
    producer.commit_transaction(30)


def read_all(bootstrap_servers: str, topic: str, count: int) -> list[bytes]:
    settings = {"bootstrap.servers": bootstrap_servers, "group.id": topic, "auto.offset.reset": "earliest"}
    consumer = Consumer({**settings, "isolation.level": "read_committed"})
    consumer.subscribe([topic])
    values: list[bytes] = []
    for _ in range(60):
        values += [message.value() for message in consumer.consume(count, 0.5) if message.error() is None]
        if len(values) >= count:
            break
    consumer.close()
    return values


def create_topic(bootstrap_servers: str, topic: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})
    for created in admin.create_topics([NewTopic(topic, 2, 1)]).values():
        created.result(30)


def test_a_topic_can_be_created_and_written_in_a_transaction_at_once(kafka: LocalBroker, topic_prefix: str):
    create_topic(kafka.bootstrap_servers, topic_prefix)
    write_in_a_transaction(kafka.bootstrap_servers, topic_prefix, b"item")

    assert read_all(kafka.bootstrap_servers, topic_prefix, 1) == [b"item"]
    assert "Kafka Server started" in kafka.log_file.read_text()


def test_data_and_port_survive_a_restart_in_order_and_a_kill(tmp_path: Path):
    broker = LocalBroker(BrokerConfig(tmp_path))
    with broker:
        first_address = broker.bootstrap_servers
        create_topic(first_address, "kept")
        write_in_a_transaction(first_address, "kept", b"before the stop")
    assert not broker.alive()

    broker.start()
    assert broker.bootstrap_servers == first_address
    write_in_a_transaction(first_address, "kept", b"before the kill")
    os.kill(broker.pid, signal.SIGKILL)
    assert survivors([broker.pid], within_s=30) == []
    broker.stop()

    with broker:
        assert broker.bootstrap_servers == first_address
        values = read_all(first_address, "kept", 2)
    assert sorted(values) == [b"before the kill", b"before the stop"]


def test_killing_the_owner_leaves_no_java_and_its_successor_waits_for_that(tmp_path: Path):
    command = [sys.executable, "-c", OWNER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        java = int(owner.stdout.readline())
        assert "java" in psutil.Process(java).name()

        with pytest.raises(ServiceUnavailable, match=f"in use by process {owner.pid}"):
            LocalBroker(BrokerConfig(tmp_path)).start()

        owner.kill()
        owner.wait()
    with LocalBroker(BrokerConfig(tmp_path)) as successor:
        assert survivors([java], within_s=0.1) == []
        assert successor.alive()


def test_a_port_that_is_taken_is_named(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(ServiceUnavailable, match=rf"127\.0\.0\.1:{port}: something else does"):
            LocalBroker(BrokerConfig(tmp_path, port=port)).start()


def test_a_java_that_dies_at_its_start_shows_the_end_of_its_log(tmp_path: Path):
    broker = LocalBroker(BrokerConfig(tmp_path, overrides={"num.io.threads": "-1"}))

    with pytest.raises(ServiceUnavailable, match=r"(?s)num\.io\.threads"):
        broker.start()
    assert not broker.alive()


def test_without_network_and_cache_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        proxy = f"http://127.0.0.1:{closed.getsockname()[1]}"
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, proxy)
    monkeypatch.setattr(kafka_jars, "_ATTEMPTS", 1)

    with pytest.raises(ServiceUnavailable, match=r"cannot be had from Maven Central.*Check the network"):
        LocalBroker(BrokerConfig(tmp_path / "data", cache_dir=tmp_path / "cache")).start()
