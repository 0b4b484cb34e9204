"""What every client has in common: where the brokers are, how to speak to them, and where their words go."""

from __future__ import annotations

import logging
from typing import Any, TypeAlias

from stream_infer.settings import KafkaSettings

ClientConfig: TypeAlias = dict[str, Any]

_LOG = logging.getLogger("stream_infer.kafka")


def client_config(kafka: KafkaSettings, client_id: str) -> ClientConfig:
    """The settings that consumers, producers and admin clients share."""
    config: ClientConfig = {
        "bootstrap.servers": kafka.bootstrap,
        "client.id": client_id,
        "security.protocol": kafka.security.protocol,
        "reconnect.backoff.max.ms": 1000,
        # Measured (librdkafka 2.16, its issue 5511): after a broker's restart a producer that has re-bootstrapped hangs
        # for ever in send_offsets_to_transaction, whatever its timeout.
        "metadata.recovery.strategy": "none",
        "log.connection.close": False,
        "logger": _LOG,
    }
    security = kafka.security
    if security.sasl_mechanism is not None:
        config["sasl.mechanism"] = security.sasl_mechanism
        config["sasl.username"] = security.username or ""
        config["sasl.password"] = security.password or ""
    if security.ca_file is not None:
        config["ssl.ca.location"] = str(security.ca_file)
    return config
