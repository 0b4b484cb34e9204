"""`stream-infer worker API` beside no `up`: the definition is on `{p}.apis`, the code in the store."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from stream_infer.local.leashed import LeashedProcess
from tests.support.gateway import GatewayHarness, HttpClient
from tests.support.projects import archive, deployment_form
from tests.support.settings import settings_for
from tests.support.up_process import ROOT, wait_for

MODEL = """
class Shouter:
    def __init__(self, config): ...

    def predict(self, items):
        return [str(item) + {mark!r} for item in items]
"""
SHOUTER = {"name": "shouter", "predictor": {"type": "native", "target": "model.py:Shouter"}, "partitions": 2}


@pytest.fixture
def harness(bootstrap_servers: str, topic_prefix: str, tmp_path: Path) -> GatewayHarness:
    settings = settings_for(
        bootstrap_servers, topic_prefix, tmp_path, gateway={"listen": "127.0.0.1:0", "deploy_without_key": True}
    )
    return GatewayHarness(settings, "shouter")


@pytest.fixture
def client(harness: GatewayHarness) -> Iterator[HttpClient]:
    with harness.gateway() as client:
        yield client


def put(client: HttpClient, source: str) -> None:
    body, kind = deployment_form(SHOUTER, archive({"model.py": source.encode()}))
    client("PUT", "/v1/apis/shouter", raw=body, status=202, content_type=kind)


@pytest.mark.timeout(300)
def test_a_worker_serves_what_was_deployed_follows_it_and_ends_with_it(
    harness: GatewayHarness, client: HttpClient, tmp_path: Path
) -> None:
    log, config = tmp_path / "worker.log", tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(harness.settings.model_dump(mode="json", exclude_unset=True)))

    def said() -> str:
        return log.read_text(errors="replace")

    def until(state: str) -> Any:
        def reached() -> Any:
            found = client("GET", "/v1/apis/shouter", status=200)
            return found if found["state"] == state else None

        return wait_for(reached, 60.0, said)

    def outputs(count: int) -> list[str]:
        """Of items without a job."""
        lines = b"".join(b'"%d"\n' % number for number in range(count))
        client("POST", "/v1/apis/shouter/items", raw=lines, status=202, content_type="application/x-ndjson")
        topic = harness.topics.api("shouter").results
        before.append(before[-1] + count)
        values = wait_for(
            lambda: found if len(found := [one.value for one in harness.read(topic)]) == before[-1] else None,
            60.0,
            said,
        )
        return sorted((value or b"").decode() for value in values)

    before = [0]
    put(client, MODEL.format(mark="!"))
    command = [sys.executable, "-m", "stream_infer", "worker", "shouter", "-f", str(config)]
    worker = LeashedProcess.start(command, output=log, env={**os.environ, "PYTHONPATH": str(ROOT)})
    try:
        until("live")
        assert outputs(3) == ['"0!"', '"1!"', '"2!"']

        put(client, MODEL.format(mark="?"))
        until("live")
        assert outputs(3) == ['"0!"', '"0?"', '"1!"', '"1?"', '"2!"', '"2?"']

        put(client, "class Shouter(:\n")
        assert "SyntaxError" in until("failed")["message"]
        put(client, MODEL.format(mark="?"))
        until("live")

        client("DELETE", "/v1/apis/shouter", status=204)
        wait_for(lambda: "has no API 'shouter'" in said(), 60.0, said)
    finally:
        worker.stop()
