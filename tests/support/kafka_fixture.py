"""A real Kafka for the whole session."""

import uuid
from collections.abc import Iterator

import pytest

from stream_infer.errors import ServiceUnavailable
from stream_infer.local.broker import BrokerConfig, LocalBroker
from tests.support.services import missing


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalBroker]:
    """The session's one broker; all tests share it, so name topics with `topic_prefix`."""
    # Nobody restarts it, and a machine that stands still for some seconds is no reason to fence it (seen in CI).
    patient = {"broker.session.timeout.ms": "60000"}
    broker = LocalBroker(BrokerConfig(tmp_path_factory.mktemp("kafka"), overrides=patient))
    try:
        broker.start()
    except ServiceUnavailable as error:
        missing(str(error))
    yield broker
    broker.stop()


@pytest.fixture(scope="session")
def bootstrap_servers(kafka: LocalBroker) -> str:
    """`host:port` of the session's broker."""
    return kafka.bootstrap_servers


@pytest.fixture
def topic_prefix() -> str:
    """A prefix for topics, groups and transactional ids that no other test uses."""
    return f"t-{uuid.uuid4().hex[:10]}"
