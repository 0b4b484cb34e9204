"""A gateway that is asked to end does so, whatever its threads wait for."""

import http.client
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from stream_infer.kafka.admin import apply
from tests.support.gateway_process import gateway_process
from tests.support.settings import settings_for

ACCESS = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s", "AWS_REGION": "us-east-1"}


@pytest.fixture
def black_hole() -> Iterator[socket.socket]:
    """A server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(20)
        yield listening


def test_a_put_into_a_black_hole_does_not_hold_up_the_end_of_the_gateway(
    bootstrap_servers: str, topic_prefix: str, tmp_path: Path, black_hole: socket.socket
) -> None:
    settings = settings_for(bootstrap_servers, topic_prefix, tmp_path, store="s3://bucket/results")
    apply(settings)
    endpoint = "http://{}:{}".format(*black_hole.getsockname())
    with gateway_process(settings, tmp_path, {**ACCESS, "AWS_ENDPOINT_URL_S3": endpoint}) as gateway:
        with closing(http.client.HTTPConnection(urlsplit(gateway.url).netloc, timeout=20)) as connection:
            body = b'{"item_list": {"items": [1]}}'
            connection.request("POST", "/v1/apis/echo/jobs", body, {"content-type": "application/json"})
            swallowed, _ = black_hole.accept()
            with swallowed:
                gateway.process.send_signal(signal.SIGTERM)
                asked = time.monotonic()
                gateway.process.wait(30)
                took = time.monotonic() - asked

        assert gateway.process.returncode == 0, gateway.said()
        assert took < 25, gateway.said()  # boto3 would wait for 30 s, five times
