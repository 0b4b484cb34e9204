"""Files sent to a gateway: whole or not at all, within limits, a few at a time."""

import hashlib
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import urllib3

from connectors.policy import FetchPolicy
from connectors.sources import JsonlSource, file_at
from stream_infer.gateway import receiving
from stream_infer.http import bodies
from stream_infer.uploads import UPLOADS, upload_of
from tests.support.gateway import GatewayHarness, HttpClient
from tests.support.settings import settings_for

OCTETS = "application/octet-stream"


@pytest.fixture(scope="module")
def harness(bootstrap_servers: str, tmp_path_factory: pytest.TempPathFactory) -> GatewayHarness:
    folder = tmp_path_factory.mktemp("uploads")
    limits = {"upload_bytes": 100_000, "uploads": 2}
    return GatewayHarness(settings_for(bootstrap_servers, f"t-uploads-{time.time_ns()}", folder, limits=limits))


@pytest.fixture(scope="module")
def client(harness: GatewayHarness) -> Iterator[HttpClient]:
    with harness.gateway() as client:
        yield client


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiving, "PART_BYTES", 1000)


def stored(harness: GatewayHarness) -> list[str]:
    return [found.key for found in harness.store.list(UPLOADS)]


def begin(client: HttpClient, length: int, body: bytes) -> socket.socket:
    """An upload of which only `body` is sent so far."""
    place = urlsplit(client.url)
    connection = socket.create_connection((place.hostname or "", place.port or 0), timeout=20)
    head = f"POST /v1/uploads HTTP/1.1\r\nHost: localhost\r\nContent-Type: {OCTETS}\r\nContent-Length: {length}\r\n\r\n"
    connection.sendall(head.encode() + body)
    return connection


def eventually(condition: Any) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("size", [1, 999, 1000, 1001, 12_345, 100_000])
def test_a_file_that_was_sent_is_what_a_source_reads(client: HttpClient, harness: GatewayHarness, size: int) -> None:
    data = b"7" * (size - 1) + b"\n"
    data = b"7" if size == 1 else data
    sent = client("POST", "/v1/uploads?name=my%20items.jsonl", raw=data, status=201, content_type=OCTETS)

    assert (sent["bytes"], sent["sha256"]) == (size, hashlib.sha256(data).hexdigest())
    assert sent["uri"] == f"upload:{sent['upload_id']}/my_items.jsonl"
    [item] = JsonlSource(file_at(sent["uri"], FetchPolicy(), store=harness.store)).read(None)
    assert item.payload.data == data.strip()


def test_a_job_of_an_upload_is_taken_and_one_of_none_is_not(client: HttpClient) -> None:
    sent = client("POST", "/v1/uploads?name=x.csv", raw=b"a,b\n1,2\n", status=201, content_type="text/csv")
    job = client("POST", "/v1/apis/echo/jobs", {"csv": {"uri": sent["uri"]}}, status=202)
    assert job["source"]["csv"]["uri"] == sent["uri"]

    gone = sent["uri"].replace(sent["upload_id"][-16:], "0" * 16)
    problem = client("POST", "/v1/apis/echo/jobs", {"csv": {"uri": gone}}, status=422)
    assert "Send the file again" in problem["detail"]


def test_a_removed_upload_is_gone_with_all_its_parts(client: HttpClient, harness: GatewayHarness) -> None:
    sent = client("POST", "/v1/uploads", raw=b"1\n" * 2000, status=201, content_type=OCTETS)
    upload = upload_of(sent["uri"])
    assert upload is not None
    assert len(list(harness.store.list(upload.folder))) == 5

    answer = urllib3.request("DELETE", f"{client.url}/v1/uploads/{upload.id}")

    assert answer.status == 204
    assert list(harness.store.list(upload.folder)) == []
    client("POST", "/v1/apis/echo/jobs", {"jsonl": {"uri": sent["uri"]}}, status=422)
    client("DELETE", "/v1/uploads/..%2Fother", status=404)


def test_what_is_too_large_empty_or_of_a_strange_type_is_refused_and_leaves_nothing(
    client: HttpClient, harness: GatewayHarness
) -> None:
    before = stored(harness)
    problem = client("POST", "/v1/uploads", raw=b"1" * 100_001, status=413, content_type=OCTETS)
    assert "limits.upload_bytes is 100000" in problem["detail"]
    chunked = urllib3.request(  # its length is not said before
        "POST", f"{client.url}/v1/uploads", body=(b"1" * 5000 for _ in range(30)), headers={"content-type": OCTETS}
    )
    assert chunked.status == 413
    assert "empty" in client("POST", "/v1/uploads", raw=b"", status=422, content_type=OCTETS)["detail"]
    client("POST", "/v1/uploads", raw=b"1", status=415, content_type="text/plain")
    client("POST", "/v1/uploads?nam=x", raw=b"1", status=400, content_type=OCTETS)
    assert stored(harness) == before


def test_a_few_at_a_time_and_what_breaks_off_leaves_nothing(client: HttpClient, harness: GatewayHarness) -> None:
    before = stored(harness)
    open_ones = [begin(client, 50_000, b"1" * 5000) for _ in range(2)]
    eventually(lambda: len(stored(harness)) == len(before) + 10)

    problem = client("POST", "/v1/uploads", raw=b"1", status=503, content_type=OCTETS)
    assert "limits.uploads" in problem["detail"]
    assert client.headers["Retry-After"] == "5"

    for connection in open_ones:
        connection.close()
    eventually(lambda: stored(harness) == before)
    client("POST", "/v1/uploads", raw=b"1", status=201, content_type=OCTETS)


def test_a_client_that_falls_silent_is_told_and_leaves_nothing(
    client: HttpClient, harness: GatewayHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "SILENCE_S", 0.3)
    before = stored(harness)
    with begin(client, 50_000, b"1" * 5000) as connection:
        head, _, rest = connection.recv(65536).partition(b"\r\n\r\n")
        rest = rest or connection.recv(65536)

    assert head.startswith(b"HTTP/1.1 408")
    assert "Nothing came for" in json.loads(rest)["detail"]
    eventually(lambda: stored(harness) == before)


def test_parts_on_disk_are_below_the_store_of_the_settings(client: HttpClient, harness: GatewayHarness) -> None:
    sent = client("POST", "/v1/uploads", raw=b"1\n", status=201, content_type=OCTETS)
    folder = Path(urlsplit(harness.settings.store).path) / UPLOADS / sent["upload_id"]
    assert sorted(path.name for path in folder.iterdir()) == ["000000", "upload.json"]
