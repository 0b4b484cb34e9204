"""Several gateways and the ids that their clients chose: who is killed, and who shares a slot, holds up nobody."""

import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import count, islice
from pathlib import Path

import pytest
from confluent_kafka import Producer

from stream_infer.gateway.claims import SLOTS
from stream_infer.gateway.submission import job_id_of
from stream_infer.http.callers import ANONYMOUS
from tests.support.gateway import GatewayHarness, HttpClient
from tests.support.settings import settings_for

SOURCE = {"item_list": {"items": [1]}}


@pytest.fixture
def harness(bootstrap_servers: str, topic_prefix: str, tmp_path: Path) -> GatewayHarness:
    return GatewayHarness(settings_for(bootstrap_servers, topic_prefix, tmp_path))


@contextmanager
def killed_inside_a_write(harness: GatewayHarness, transactional_id: str) -> Iterator[None]:
    """A gateway that is gone, so that nothing is heard of it, with what it had begun in the topic."""
    servers = {"bootstrap.servers": harness.settings.kafka.bootstrap}
    dead = Producer(servers | {"transactional.id": transactional_id, "transaction.timeout.ms": 60_000})
    dead.init_transactions(20)
    dead.begin_transaction()
    dead.produce(harness.topics.jobs, b"{}", b"half")
    assert dead.flush(20) == 0
    yield


def test_a_gateway_that_starts_ends_what_one_that_was_killed_had_claimed(harness: GatewayHarness) -> None:
    with killed_inside_a_write(harness, f"{harness.settings.kafka.topic_prefix}.gateway.claim.{SLOTS - 1}"):
        began = time.monotonic()
        with harness.gateway() as client:
            assert client("GET", "/v1/jobs", status=200)["jobs"] == []
            assert time.monotonic() - began < 40  # the transaction would be open for a minute


def test_submissions_that_share_a_slot_all_come_true_whichever_gateways_they_come_to(harness: GatewayHarness) -> None:
    gateways, each = 3, 4

    def is_in_the_slot(key: str) -> bool:
        return zlib.crc32(job_id_of(ANONYMOUS, key).encode()) % SLOTS == 0

    keys = list(islice(filter(is_in_the_slot, map(str, count())), gateways * each))
    with ExitStack() as stack:
        clients = [stack.enter_context(harness.gateway()) for _ in range(gateways)]
        pool = stack.enter_context(ThreadPoolExecutor(len(keys)))

        def submit(client: HttpClient, key: str) -> str:
            one = HttpClient(client.url)
            job = one("POST", "/v1/apis/echo/jobs", SOURCE, status=202, Idempotency_Key=key)
            one.close()
            return str(job["job_id"])

        ids = list(pool.map(submit, clients * each, keys))

        assert ids == [job_id_of(ANONYMOUS, key) for key in keys]
        assert [len(harness.events(job_id)) for job_id in ids] == [1] * len(ids)
