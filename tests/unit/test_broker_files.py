from pathlib import Path

from stream_infer.local.broker_files import BrokerPorts, log4j2_properties, server_properties


def _parsed(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines())


def test_one_node_needs_no_replicas_and_creates_no_topic_by_accident():
    settings = _parsed(server_properties(BrokerPorts(9092, 9093), Path("/data"), {}))

    assert {value for key, value in settings.items() if key.endswith("replication.factor")} == {"1"}
    assert {value for key, value in settings.items() if key.endswith("min.isr")} == {"1"}
    assert settings["auto.create.topics.enable"] == "false"
    assert settings["advertised.listeners"] == "PLAINTEXT://127.0.0.1:9092"


def test_the_callers_overrides_win():
    settings = _parsed(server_properties(BrokerPorts(1, 2), Path("/data"), {"min.insync.replicas": "9", "x.y": "z"}))

    assert settings["min.insync.replicas"] == "9"
    assert settings["x.y"] == "z"


def test_the_log_goes_to_the_given_file():
    assert _parsed(log4j2_properties(Path("/data/broker.log")))["appender.file.fileName"] == "/data/broker.log"
