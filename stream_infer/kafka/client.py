"""What every client has in common: where the brokers are, how to speak to them, and where their words go."""

from __future__ import annotations

import logging
from typing import Any, TypeAlias

from stream_infer.kafka.security import librdkafka_security
from stream_infer.settings import KafkaSettings

ClientConfig: TypeAlias = dict[str, Any]

_LOG = logging.getLogger("stream_infer.kafka")


def client_config(kafka: KafkaSettings, client_id: str) -> ClientConfig:
    """The settings that consumers, producers and admin clients share."""
    return {
        "bootstrap.servers": kafka.bootstrap,
        "client.id": client_id,
        "reconnect.backoff.max.ms": 1000,
        # Measured (librdkafka 2.16, its issue 5511): after a broker's restart a producer that has re-bootstrapped hangs
        # for ever in send_offsets_to_transaction, whatever its timeout.
        "metadata.recovery.strategy": "none",
        "log.connection.close": False,
        "logger": _LOG,
        **librdkafka_security(kafka.security),
    }
