"""An intake whose source is ill: what may pass is waited for and told, what cannot fails the job; no item twice."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.policy import FetchPolicy
from connectors.s3 import S3Access
from connectors.s3_clients import S3Clients
from connectors.sources import JsonlSource, file_at
from stream_infer.intake.run import run
from stream_infer.jobs.events import Event, Exhausted, Hindered, decode_event
from stream_infer.jobs.spec import Job
from stream_infer.kafka.admin import apply
from stream_infer.ports import Source, SourceItem
from stream_infer.records import Message, Payload
from stream_infer.settings import Settings
from stream_infer.topics import Topics
from tests.support.intake_harness import (
    JOB,
    events_until_exhausted,
    ids,
    items,
    partition_of_job,
    published,
    read_until,
    submit,
)
from tests.support.memory_store import MemoryStore
from tests.support.roles import running
from tests.support.s3_faults import refusing_s3
from tests.support.s3_fixture import S3Server
from tests.support.settings import settings_for
from tests.support.toxiproxy import Bandwidth, LimitData, Proxy, Timeout, Toxiproxy

ONE_SERVER = pytest.mark.parametrize("s3_server", ["versitygw"], indirect=True)
LINES = 3000
OTHER = Job(job_id="job-2", api="echo", submitted_at=time.time(), submission="s.jsonl")


@pytest.fixture
def settings(bootstrap_servers: str, topic_prefix: str, tmp_path: Path) -> Settings:
    settings = settings_for(bootstrap_servers, topic_prefix, tmp_path, intake={"chunk_items": 100})
    apply(settings)
    return settings


@pytest.fixture
def s3_lines(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """The server, with an object of two windows, lines.jsonl."""
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    client = s3.client()
    client.put_object(Bucket=s3.bucket, Key="lines.jsonl", Body=b"".join(line(n) for n in range(LINES)))
    client.close()
    return s3


def line(number: int) -> bytes:
    return b'{"n": %d, "pad": "%s"}\n' % (number, b"x" * 2000)


@pytest.fixture
def proxy(toxiproxy: Toxiproxy, s3: S3Server) -> Proxy:
    return toxiproxy.proxy("s3", s3.endpoint_url.removeprefix("http://"))


def source_at(s3: S3Server, endpoint_url: str) -> Source:
    """As an intake has it, but sooner tired of waiting."""
    access = S3Access(endpoint_url, connect_timeout_s=1, read_timeout_s=2, attempts=2)
    policy = FetchPolicy(allowed_s3_prefixes=(f"s3://{s3.bucket}/",))
    return JsonlSource(file_at(f"s3://{s3.bucket}/lines.jsonl", policy, S3Clients(access)))


def intake(settings: Settings, open_source: Callable[[Job], Source]) -> Any:
    return running(lambda stop, ready: run(settings, MemoryStore(), open_source, stop=stop, on_ready=ready))


def until_said(settings: Settings, kind: type[Event]) -> list[Any]:
    def found(messages: list[Message]) -> list[Event]:
        return [event for m in messages if isinstance(event := decode_event(m.value or b""), kind)]

    topic = Topics(settings.kafka.topic_prefix).progress
    return found(read_until(settings, topic, lambda got: bool(found(got))))


@ONE_SERVER
def test_a_source_that_is_away_breaks_off_and_is_slow_is_published_once(
    settings: Settings, s3_lines: S3Server, proxy: Proxy
) -> None:
    with intake(settings, lambda _: source_at(s3_lines, f"http://{proxy.listen}")):
        with proxy.cut():
            submit(settings)
            [away, *_] = until_said(settings, Hindered)
        assert "s3://" in away.reason
        assert "lines.jsonl" in away.reason
        with proxy.under(LimitData(5_000_000), Bandwidth(8000)):  # it breaks off in the second window
            events = events_until_exhausted(settings)
        found = items(settings, LINES)

    assert ids(found) == list(range(LINES))
    assert {item.value for item in found} == {line(n).strip() for n in range(LINES)}
    assert [event.error for event in events if isinstance(event, Exhausted)] == [None]


@ONE_SERVER
@pytest.mark.parametrize("fault", ["gone", "replaced", "forbidden"])
def test_a_source_that_will_not_come_back_fails_its_job_and_keeps_what_was_read(
    settings: Settings, s3_lines: S3Server, fault: str
) -> None:
    client = s3_lines.client()
    with refusing_s3(s3_lines.endpoint_url) as server:
        partition = partition_of_job(settings, source_at(s3_lines, server.endpoint_url))
        [job] = partition.runs()
        assert published(partition, job, 500) == 500
        if fault == "gone":
            client.delete_object(Bucket=s3_lines.bucket, Key="lines.jsonl")
        elif fault == "replaced":
            client.put_object(Bucket=s3_lines.bucket, Key="lines.jsonl", Body=line(0) * LINES)
        with server.refusing(503, "SlowDown", "GET"):  # a fault that may pass, first
            while job.not_before == 0:
                partition.publish(job, LINES)
        with server.refusing(403, "AccessDenied", *(("GET", "HEAD") if fault == "forbidden" else ())):
            while partition.all_runs():
                partition.publish(job, LINES)
        partition.close()
    client.close()

    [error] = [event.error for event in events_until_exhausted(settings) if isinstance(event, Exhausted)]
    means = {"gone": "no such object", "replaced": "was replaced", "forbidden": "may not do that"}
    assert f"s3://{s3_lines.bucket}/lines.jsonl" in error
    assert means[fault] in error


@pytest.mark.parametrize(("after", "means"), [(None, "No such file"), (b"{}\n", "is shorter now")])
def test_a_local_source_that_changed_before_a_restart_fails_its_job(
    settings: Settings, tmp_path: Path, after: bytes | None, means: str
) -> None:
    file = tmp_path / "lines.jsonl"
    file.write_bytes(b"".join(line(n) for n in range(20)))
    source = JsonlSource(file_at(str(file), FetchPolicy(allowed_directories=(tmp_path,))))
    before = partition_of_job(settings, source)
    assert published(before, before.runs()[0], 15) == 15
    file.unlink()
    if after is not None:
        file.write_bytes(after)

    restarted = partition_of_job(settings, source)
    before.close()
    [job] = restarted.runs()
    while restarted.all_runs():
        restarted.publish(job, 15)
    restarted.close()

    [error] = [event.error for event in events_until_exhausted(settings) if isinstance(event, Exhausted)]
    assert str(file) in error
    assert means in error
    assert ids(items(settings, 15)) == list(range(15))


@ONE_SERVER
def test_a_source_that_hangs_holds_up_neither_other_jobs_nor_the_end(
    settings: Settings, s3_lines: S3Server, proxy: Proxy, tmp_path: Path
) -> None:
    file = tmp_path / "other.jsonl"
    file.write_bytes(b"".join(line(n) for n in range(50)))
    quick = JsonlSource(file_at(str(file), FetchPolicy(allowed_directories=(tmp_path,))))
    access = S3Access(f"http://{proxy.listen}")  # whose own patience is minutes
    policy = FetchPolicy(allowed_s3_prefixes=(f"s3://{s3_lines.bucket}/",))
    hanging = JsonlSource(file_at(f"s3://{s3_lines.bucket}/lines.jsonl", policy, S3Clients(access)))

    with proxy.under(Timeout(0, "upstream"), Timeout(0)):
        with intake(settings, lambda job: hanging if job.job_id == JOB.job_id else quick):
            submit(settings)
            submit(settings, job=OTHER)
            found = items(settings, 50)
            ending = time.monotonic()
        assert time.monotonic() - ending < 30

    assert {dict(item.headers)["si-job-id"] for item in found} == {b"job-2"}


class Hanging:
    """A source that says nothing, as a store behind a broken network."""

    def __init__(self, release: threading.Event) -> None:
        self._release = release

    def read(self, _after: str | None) -> Iterator[SourceItem]:
        self._release.wait(60)
        yield from ()


class Ten:
    def read(self, after: str | None) -> Iterator[SourceItem]:
        for number in range(int(after or 0), 10):
            yield SourceItem(Payload(str(number).encode()), f"ten#{number}", str(number + 1))


def test_sources_that_hang_hold_up_their_own_jobs_alone_however_many_they_are(settings: Settings) -> None:
    release = threading.Event()
    jobs = [JOB.model_copy(update={"job_id": f"hanging-{n}"}) for n in range(20)]
    with intake(settings, lambda job: Ten() if job.job_id == JOB.job_id else Hanging(release)):
        for job in jobs:
            submit(settings, job=job)
        time.sleep(1.0)
        began = time.monotonic()
        submit(settings)
        assert ids(items(settings, 10)) == list(range(10))
        assert time.monotonic() - began < 30.0
        release.set()
