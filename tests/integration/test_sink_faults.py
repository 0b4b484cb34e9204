"""A sink whose store is ill: it waits, holds a bounded part, goes on by itself, and nothing is lost or doubled."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog

from connectors.formats import jsonl
from connectors.s3 import S3Access
from connectors.stores import DirectoryStore, S3Store
from stream_infer.jobs.events import Hindered
from stream_infer.settings import Settings
from stream_infer.sink.role import run
from tests.support.s3_faults import refusing_s3
from tests.support.s3_fixture import S3Server
from tests.support.settings import settings_for
from tests.support.sink_harness import Harness, expected, finalize, until
from tests.support.toxiproxy import Bandwidth, Latency, LimitData, Proxy, ResetPeer, Timeout, Toxiproxy

ROOT = Path(__file__).parents[2]
ONE_SERVER = pytest.mark.parametrize("s3_server", ["versitygw"], indirect=True)  # moto accepts every secret
FLUSH_BYTES = 100_000
SESSION_S = 6


@pytest.fixture
def settings(bootstrap_servers: str, topic_prefix: str, tmp_path: Path) -> Settings:
    kafka = {"bootstrap_servers": bootstrap_servers, "topic_prefix": topic_prefix, "session_timeout": SESSION_S}
    sink = {"flush_bytes": FLUSH_BYTES, "flush_age": 1.0, "eof_linger": 0.2}
    return settings_for(bootstrap_servers, topic_prefix, tmp_path, kafka=kafka, sink=sink, api={"partitions": 1})


@pytest.fixture
def harness(settings: Settings, s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Harness]:
    """Reads and writes past every proxy."""
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    store = S3Store(s3.bucket, "results", S3Access(endpoint_url=s3.endpoint_url))
    yield Harness(settings, store)
    store.close()


def store_at(s3: S3Server, endpoint_url: str) -> S3Store:
    """As a sink has it, but sooner tired of waiting."""
    return S3Store(s3.bucket, "results", S3Access(endpoint_url, connect_timeout_s=1, read_timeout_s=2, attempts=2))


@pytest.fixture
def proxy(toxiproxy: Toxiproxy, s3: S3Server) -> Proxy:
    return toxiproxy.proxy("s3", s3.endpoint_url.removeprefix("http://"))


def write(harness: Harness, start: int, end: int) -> None:
    """Results of a job and of none, and dead letters; all `n` from `start` to `end`."""
    harness.transact(*(harness.result(n) for n in range(start, end)))
    harness.transact(*(harness.result(n, None) for n in range(start, end)))


@contextmanager
def refused() -> Iterator[list[Any]]:
    """Waits at the end of the block until the sink has told that the store is ill; gives the lines that say so."""
    told: list[Any] = []
    with structlog.testing.capture_logs() as logs:
        yield told
        until(lambda: any(line["event"] == "store_unavailable" for line in logs), "the log to tell")
        told += [line for line in logs if line["event"] == "store_unavailable"]


def check_exactly_once(harness: Harness, s3: S3Server, count: int) -> None:
    """Finalizes the job, and finds each record in one object that counts, and nothing else at all."""
    finalize(harness)
    named = {found.key for found in harness.manifest()}
    assert harness.job_ids() == expected(count, "j")
    assert harness.sunk() == count
    assert harness.keys() == named | {"echo/j/manifest.json", "echo/j/_SUCCESS"}
    assert harness.stream_ids() == expected(count, "free")
    until(lambda: harness.keys("stream/_pending/") == set(), "the notes to be gone")
    client = s3.client()
    assert client.list_multipart_uploads(Bucket=s3.bucket).get("Uploads", []) == []
    client.close()


@ONE_SERVER
def test_a_store_that_is_slow_resets_and_is_cut_off_gets_everything_once(
    harness: Harness, s3: S3Server, proxy: Proxy
) -> None:
    with harness.sink(store_at(s3, f"http://{proxy.listen}")):
        with proxy.under(Latency(0.2), Bandwidth(100, "upstream")):
            write(harness, 0, 200)
            until(lambda: harness.sunk() == 200, "all to be sunk, slowly")
        with proxy.under(LimitData(3000, "upstream")), refused():  # in the middle of an object
            write(harness, 200, 300)
        with proxy.under(ResetPeer()), refused():
            write(harness, 300, 400)
        with proxy.cut(), refused():
            write(harness, 400, 500)
        harness.until_drained()
        check_exactly_once(harness, s3, 500)


@ONE_SERVER
def test_what_s3_answers_is_told_and_waited_out(harness: Harness, s3: S3Server) -> None:
    client = s3.client()
    told = []
    with refusing_s3(s3.endpoint_url) as server, harness.sink(store_at(s3, server.endpoint_url)):
        client.delete_bucket(Bucket=s3.bucket)
        with refused() as logs:
            write(harness, 0, 50)
        client.create_bucket(Bucket=s3.bucket)
        told.append(logs[0]["error"])
        until(lambda: harness.sunk() == 50, "the bucket's own return to be enough")
        for status, code in ((503, "SlowDown"), (403, "InvalidAccessKeyId")):
            with server.refusing(status, code, "PUT"), refused() as logs:
                write(harness, 50 * len(told), 50 * len(told) + 50)
            told.append(logs[0]["error"])
        harness.until_drained()
        check_exactly_once(harness, s3, 150)
    client.close()
    for said, means in zip(told, ("create the bucket", "SlowDown", "AWS_SECRET_ACCESS_KEY"), strict=True):
        assert f"s3://{s3.bucket}/results/" in said
        assert means in said
    assert {event.job_id for event in harness.events(Hindered)} == {"j"}


@ONE_SERVER
def test_wrong_credentials_at_the_start_are_told_and_waited_out(
    harness: Harness, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(harness, 0, 50)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-the-secret")
    wrong = store_at(s3, s3.endpoint_url)
    ready = []
    stop = threading.Event()
    thread = threading.Thread(target=run, args=(harness.settings, wrong, jsonl, stop, lambda: ready.append(1)))
    with refused() as told:
        thread.start()
    stop.set()
    thread.join()
    wrong.close()
    assert ready == []
    assert f"s3://{s3.bucket}/" in told[0]["error"]
    assert "AWS_SECRET_ACCESS_KEY" in told[0]["error"]

    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3.secret_key)
    with harness.sink(store_at(s3, s3.endpoint_url)):
        harness.until_drained()
        check_exactly_once(harness, s3, 50)


@contextmanager
def sink_process(
    settings: Settings, s3: S3Server, endpoint_url: str, folder: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """A sink as the command starts it, once it serves. Killed with -9 when the block ends."""
    file, ready = folder / "sink.json", folder / "sink.ready"
    ready.unlink(missing_ok=True)
    given = settings.model_copy(update={"store": f"s3://{s3.bucket}/results"})
    file.write_text(json.dumps({"settings": given.model_dump(mode="json")}))
    environment = {**os.environ, **s3.environment(), "AWS_ENDPOINT_URL_S3": endpoint_url}
    with (folder / "sink.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.sink_process", str(file)],
            cwd=ROOT,
            stdout=log,
            stderr=log,
            env=environment,
        )
    try:
        until(lambda: ready.exists() or process.poll() is not None, "the sink to serve")
        assert process.poll() is None, (folder / "sink.log").read_text()
        yield process
    finally:
        process.kill()
        process.wait()


@ONE_SERVER
def test_a_sink_before_a_black_hole_holds_little_stays_in_its_group_and_ends_when_asked(
    harness: Harness, s3: S3Server, proxy: Proxy, tmp_path: Path
) -> None:
    def said() -> str:
        return (tmp_path / "sink.log").read_text()

    with (
        sink_process(harness.settings, s3, f"http://{proxy.listen}", tmp_path) as process,
        proxy.under(Timeout(0, "upstream"), Timeout(0)),
    ):
        for start in range(0, 2000, 500):
            write(harness, start, start + 500)
        until(lambda: "paused" in said(), "the consumer to be paused")
        time.sleep(SESSION_S + 1)  # who did not poll or beat would be out
        assert harness.lag() > 4000
        assert said().count("assigned ") == 1
        assert "revoked" not in said()
        process.send_signal(signal.SIGTERM)
        asked = time.monotonic()
        process.wait(60)
        took = time.monotonic() - asked
    assert process.returncode == 0, said()
    # 13 s where the machine does nothing else; a supervisor kills after 20.
    assert took < 30, said()
    held = re.search(r"paused\W.*held_bytes=(\d+)", said())
    assert held is not None
    most_of_a_poll = 500 * 400
    assert int(held[1]) < 4 * FLUSH_BYTES + most_of_a_poll
    with harness.sink():
        harness.until_drained()
        check_exactly_once(harness, s3, 2000)


@ONE_SERVER
def test_a_sink_killed_again_and_again_in_its_uploads_leaves_no_orphan(
    harness: Harness, s3: S3Server, proxy: Proxy, tmp_path: Path
) -> None:
    write(harness, 0, 400)
    with proxy.under(Bandwidth(30, "upstream")):
        for kill in range(2):
            with sink_process(harness.settings, s3, f"http://{proxy.listen}", tmp_path):
                time.sleep(0.4 + 0.4 * kill)  # somewhere in its uploads
    with harness.sink():
        harness.until_drained()
        check_exactly_once(harness, s3, 400)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", place], check=False, capture_output=True)
    if mounted.returncode != 0:
        pytest.skip(f"a tmpfs cannot be mounted here: {mounted.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_disk_that_is_full_or_read_only_is_waited_for(settings: Settings, small_disk: Path) -> None:
    harness = Harness(settings, DirectoryStore(small_disk / "store"))
    ballast = small_disk / "ballast"
    with harness.sink():
        with structlog.testing.capture_logs() as logs:
            ballast.write_bytes(b"x" * (1024 * 1024 - 8 * 4096))
            write(harness, 0, 500)
            until(lambda: any("free some space" in line.get("error", "") for line in logs), "the log to tell")
            ballast.unlink()
            harness.until_drained()
            subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
            write(harness, 500, 600)
            until(lambda: any("Read-only" in line.get("error", "") for line in logs), "the log to tell")
            subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
            harness.until_drained()
        finalize(harness)
    assert harness.job_ids() == expected(600, "j")
    assert harness.stream_ids() == expected(600, "free")
    assert harness.keys() == {found.key for found in harness.manifest()} | {"echo/j/manifest.json", "echo/j/_SUCCESS"}
    assert list((small_disk / "store/.uncommitted").iterdir()) == []
