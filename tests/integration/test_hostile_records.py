"""Whatever strangers write to any topic: each hostile item is a dead letter, and every role does its work."""

import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from connectors.formats import jsonl
from stream_infer.cli.composition import fetcher_of, poster_of, source_opener
from stream_infer.headers import read_item
from stream_infer.intake.run import run as run_intake
from stream_infer.jobs.counts import Counts
from stream_infer.jobs.events import Counted, Submitted, decode_event, encode_event
from stream_infer.jobs.manifest import Kind, ManifestRecord, encode_manifest
from stream_infer.jobs.spec import Job, encode_job
from stream_infer.jobs.status import JobStatus, Phase, State, encode_status
from stream_infer.kafka.admin import group_lag
from stream_infer.records import REFERENCE, Headers, OutgoingRecord
from stream_infer.sink.role import run as run_sink
from stream_infer.topics import group_specs
from stream_infer.tracker import run as run_tracker
from stream_infer.worker.run import run as run_worker
from tests.support.gateway import GatewayHarness, HttpClient
from tests.support.hostile import FRAGMENTS
from tests.support.raw_kafka import produce_with_header
from tests.support.roles import give_up, running
from tests.support.settings import settings_for

SEED = 4711
ITEMS = 40
WAIT_S = 60.0
SAID = {
    "at": 5, "cursor": "1:1", "enqueued": 3, "exhausted": True, "generation": 1, "is_open": True, "job_id": "",
    "line": "x", "offset": 5, "partition": 0, "role": "worker", "submitted_at": 5, "topic": "t", "who": "w",
    "api": "echo",
}  # fmt: skip

NOT_JSON = [
    b"", b"{broken", b"\xff\xfe", b"\x00", b"NaN", b"-Infinity", b"1e400", b"9" * 5000, b"[" * 100_000,
    b'{"a":' * 50_000,
    b'"\\ud800"', b'"' + b"x" * 500_000, b"\xef\xbb\xbf", b"nul", b"{'a':1}", b"[1,]",
]  # fmt: skip
BAD_HEADERS: list[Headers] = [
    *(
        ((name, value),)
        for name in ("si-attempt", "SI-Generation")
        for value in (b"-1", b"0", b"9" * 19, b"two", b"\xff")
    ),
    *(
        ((name, value),)
        for name in ("si-deadline", "si-not-before")
        for value in (b"nan", b"-5", b"1e5", b"9" * 13, b"")
    ),
    *(((name, b"\xff\xfe"),) for name in ("si-job-id", "si-item-id", "si-custom-id", "si-source", "si-control")),
    *(((name, b"\x80"),) for name in ("content-type", "ce_id", "ce_datacontenttype", "si-retry-since")),
    (("si-deadline", b"1"),),
    (("si-not-before", b"9" * 12),),
    (("si-control", b""),),
    (("si-control", b"on_job_start"),),
    (("content-type", b"application/json" + b";" * 5000),),
    (("content-type", b"text/plain; charset=undefined"),),
    (("content-type", b"text/plain; charset=a\x00b"),),
    (("content-type", b"text/plain; charset=punycode"),),
]
BAD_PLACES = [
    b"", b"[]", b"{}", b"[" * 100_000, b'{"uri":5}', b'{"uri":"file:///etc/passwd"}', b'{"uri":"file:///%00"}',
    b'{"uri":"s3://nobodys/key"}', b'{"uri":"http://["}', b'{"uri":"http://127.0.0.1:1/x"}', b'{"uri":"gopher://x"}',
    b'{"uri":"' + b"x" * 100_000 + b'"}', b'{"uri":"s3://b/../.."}',
]  # fmt: skip
MANY_HEADERS: Headers = tuple((f"h{n}", bytes(n % 9)) for n in range(1000))
LARGE_HEADER: Headers = (("h", bytes(900_000)),)
ODD_IDS: list[Headers] = [
    (("si-job-id", b"../.."), ("si-item-id", b"/")),
    (("si-job-id", b"nobody"), ("si-item-id", b"nobody-" + b"9" * 5000), ("si-generation", b"9" * 18)),
    (("si-item-id", b"x" * 100_000), ("si-custom-id", b"\x1b[31m")),
    (("si-origin", b"t/-1/x"), ("traceparent", b"\xff"), ("si-worker", b"\xff")),
]


class Roles(GatewayHarness):
    """All roles in threads: one that dies fails the test when its block ends."""

    def __init__(self, bootstrap_servers: str, prefix: str, folder: Path) -> None:
        parts = {"intake": {"chunk_items": 7}, "sink": {"flush_age": 1.0, "eof_linger": 0.1}}
        super().__init__(settings_for(bootstrap_servers, prefix, folder, **parts))
        self.names = self.topics.api("echo")
        self.sent: dict[bytes, OutgoingRecord] = {}
        self.results = 0
        self._chance = random.Random(SEED)

    def start(self, opened: ExitStack) -> HttpClient:
        settings, store, api = self.settings, self.store, self.settings.apis[0]
        source, fetcher = source_opener(settings, store), fetcher_of(settings)
        for run in (
            lambda stop, ready: run_tracker(settings, stop, ready),
            lambda stop, ready: run_intake(settings, store, source, stop=stop, on_ready=ready),
            lambda stop, ready: run_sink(settings, store, jsonl, stop, ready),
            lambda stop, ready: run_worker(
                settings, api, fetcher, store, stop=stop, on_ready=ready, on_unavailable=give_up
            ),
        ):
            opened.enter_context(running(run))
        return opened.enter_context(self.gateway(poster=poster_of(settings)))

    def flood(self, job_id: str) -> None:
        """A few hundred records on all topics, the same at each run; `job_id` is whom they speak of, too."""
        records = [*self._items(), *self._outputs(), *self._state(job_id)]
        self._chance.shuffle(records)
        self.send(*records)

    def _items(self) -> list[OutgoingRecord]:
        bad = [
            *((value, ()) for value in (*NOT_JSON, None, *(self._chance.randbytes(50) for _ in range(10)))),
            *((b'{"n":\xff}', headers) for headers in (*BAD_HEADERS, *ODD_IDS, MANY_HEADERS, LARGE_HEADER)),
            *((value, (("content-type", REFERENCE.encode()),)) for value in BAD_PLACES),
        ]
        topics = [self.names.items, self.names.retry(1), self.names.retry(2)]
        made = []
        for topic in topics:
            for value, headers in bad:
                key = f"hostile-{len(self.sent)}".encode()
                self.sent[key] = OutgoingRecord(topic, key, value, headers)
                made.append(self.sent[key])
        return made

    def unnamed(self) -> None:
        """A header whose name is no text, on every topic but the tracker's: its client goes no further there."""
        key = f"hostile-{len(self.sent)}".encode()
        self.sent[key] = OutgoingRecord(self.names.items, key, b"{}")
        self.results += 1
        topics = self.topics
        for topic in (self.names.items, self.names.results, topics.jobs, topics.status, topics.manifests, topics.logs):
            produce_with_header(self.settings.kafka.bootstrap, topic, key, b"{}", b"bad\xff")

    def _outputs(self) -> list[OutgoingRecord]:
        values = [*NOT_JSON, None, b'{"n":\n1}', b"[" * 900 + b"]" * 900]
        results = [OutgoingRecord(self.names.results, b"\xff", value) for value in values]
        results += [OutgoingRecord(self.names.results, None, b"1", headers) for headers in (*BAD_HEADERS, *ODD_IDS)]
        self.results += len(results)
        marks = ("__connect.errors.", "kafka_dlt-", "kafka_dlt-original-", "__dlq.errors.")
        fields = ("topic", "partition", "offset", "stage", "exception.message", "exception-fqcn", "group")
        said = (b"", b"\xff" * 4, b"\x80" + bytes(7), b"9" * 19, b"9" * 5000, b"../..", b"\x00")
        letters = []
        for mark in marks:
            for value in said:
                headers = tuple((mark + field, value) for field in fields)
                letters.append(OutgoingRecord(self.names.dlq, b"foreign", b"{}", headers))
        for place in (*BAD_PLACES, b'{"uri":"file:///x/_payloads/dead-letters/%00","content_type":"x"}'):
            headers = (("__connect.errors.topic", b"t"), ("content-type", REFERENCE.encode()))
            letters.append(OutgoingRecord(self.names.dlq, b"foreign", place, headers))
        return results + letters

    def _state(self, job_id: str) -> list[OutgoingRecord]:
        """Garbage, and what is right but for one value, in the name of the job and in others."""
        topics, made = self.topics, []
        every = (topics.jobs, topics.status, topics.checkpoints, topics.progress, topics.manifests, topics.replays)
        for topic in (*every, topics.webhooks, topics.logs):
            keys = [job_id, f"{job_id}/x", f"job:{job_id}", "t-0-5", "../..", "\x00", "job:"]
            for value in self._chance.sample(FRAGMENTS, 15):
                made.append(OutgoingRecord(topic, self._chance.choice(keys).encode(), value))
                said = {**SAID, "job_id": job_id, self._chance.choice(sorted(SAID)): "@@@"}
                spoilt = json.dumps(said).encode().replace(b'"@@@"', value)
                made.append(OutgoingRecord(topic, b"\xff\xfe" if topic == topics.jobs else b"stranger", spoilt))
            made.append(OutgoingRecord(topic, b"\xff\xfe\x00", self._chance.randbytes(100)))
        return made + self._events(job_id) + self._forged(job_id)

    def _events(self, job_id: str) -> list[OutgoingRecord]:
        """Counts of the job, each with a value that is none."""
        counted = Counted(job_id=job_id, at=time.time(), delta=Counts(enqueued=1))
        texts = []
        for name in ("succeeded", "at", "delta"):
            said = json.loads(encode_event(counted))
            inside = said["delta"] if name == "succeeded" else said
            inside[name] = "@@@"
            texts += [json.dumps(said).encode().replace(b'"@@@"', bad) for bad in FRAGMENTS]
        return [
            OutgoingRecord(self.topics.progress, job_id.encode(), text) for text in texts if decode_event(text) is None
        ]

    def _forged(self, job_id: str) -> list[OutgoingRecord]:
        """Right in all their values, and wrong in what they ask for."""
        topics = self.topics
        hook = JobStatus(job_id="gone", api="gone", state=State.FINALIZING, phase=Phase.HOOK, has_hook=True)
        row = encode_status(JobStatus(job_id=job_id, api="echo", state=State.FINALIZING, phase=Phase.ASSEMBLE))
        job = encode_job(Job(job_id=job_id, api="echo", submitted_at=1.0, submission="../../etc/passwd"))
        outside = ManifestRecord(
            job_id=job_id, api="echo", generation=1, kind=Kind.RESULTS, key="../../etc/passwd", topic="t", partition=0,
            first_offset=0, last_offset=9, count=3, bytes=9, sha256="0",
        )  # fmt: skip
        submitted = encode_event(Submitted(job_id="once", at=1.0, api="echo", timeout_s=1e308))
        return [
            OutgoingRecord(topics.status, b"gone", encode_status(hook)),
            *(OutgoingRecord(topics.status, b"other", value) for value in (row, row.replace(b'"echo"', b'"../.."'))),
            OutgoingRecord(topics.jobs, b"other", job),
            OutgoingRecord(topics.jobs, b"..", job.replace(job_id.encode(), b"..")),
            OutgoingRecord(topics.manifests, f"{job_id}/../../etc/passwd".encode(), encode_manifest(outside)),
            OutgoingRecord(topics.progress, b"once", submitted),
            OutgoingRecord(topics.progress, b"..", submitted.replace(b"once", b"..")),
        ]

    def lag(self) -> dict[str, int]:
        """But for the tracker's: behind the last event of each partition it leaves the marker of a transaction."""
        found = {
            f"{group.name} {topic}": sum(group_lag(self.settings, group.name, [topic]).values())
            for group in group_specs(self.settings)
            for topic in group.topics
        }
        tracker = f"{self.topics.tracker_group} {self.topics.progress}"
        return found | {tracker: max(0, found[tracker] - self.settings.jobs.partitions)}

    def result_lines(self) -> Counter[str]:
        """By item id, those that lie in the store."""
        keys = [found.key for found in self.store.list("") if "/results/" in found.key or "-results-" in found.key]
        lines = [json.loads(line) for key in keys for line in self.store.get(key).splitlines()]
        return Counter(line["item_id"] for line in lines)


@pytest.fixture
def roles(bootstrap_servers: str, topic_prefix: str, tmp_path: Path) -> Roles:
    return Roles(bootstrap_servers, topic_prefix, tmp_path)


def until(look: Callable[[], Any], is_so: Callable[[Any], bool]) -> Any:
    deadline = time.monotonic() + WAIT_S
    while not is_so(seen := look()):
        assert time.monotonic() < deadline, str(seen)[:2000]
        time.sleep(0.1)
    return seen


def submitted(client: HttpClient) -> str:
    spec = {"item_list": {"items": [{"n": n} for n in range(ITEMS)]}}
    return str(client("POST", "/v1/apis/echo/jobs", spec, status=202)["job_id"])


def ended(client: HttpClient, job_id: str) -> Any:
    return until(lambda: client("GET", f"/v1/jobs/{job_id}", status=200), lambda job: job["is_final"])


def paths(client: HttpClient, job_id: str) -> Iterator[str]:
    yield from ("/healthz", "/readyz", "/openapi.json", "/v1/jobs?limit=100", "/v1/apis", "/v1/apis/echo")
    yield from (f"/v1/jobs/{job_id}{part}" for part in ("", "/results", "/failures", "/logs", "/dlq", "/dlq/export"))
    yield from (f"/v1/apis/echo/dlq{part}" for part in ("?limit=1000", "/export", "/export?payload=base64"))
    letters = client("GET", "/v1/apis/echo/dlq?limit=1000", status=200)["dead_letters"]
    for letter in random.Random(SEED).sample(letters, 8):  # the export shows each of them
        yield f"/v1/apis/echo/dlq/{letter['ref']}"


def test_a_hostile_item_is_a_dead_letter_and_nobody_else_is_any_worse_for_what_lies_on_the_topics(roles: Roles) -> None:
    roles.flood("nobody")
    with ExitStack() as opened:
        client = roles.start(opened)
        first = submitted(client)
        roles.flood(first)
        roles.unnamed()
        second = submitted(client)
        for job_id in (first, second):
            job = ended(client, job_id)
            assert job["state"] == "succeeded", job
            assert job["counts"] == {
                **job["counts"],
                "enqueued": ITEMS,
                "succeeded": ITEMS,
                "rejected": 0,
                "skipped": 0,
            }
            assert len(client("GET", f"/v1/jobs/{job_id}/results", status=200).splitlines()) == ITEMS

        until(roles.lag, lambda lag: not any(lag.values()))
        letters = Counter(message.key for message in roles.read(roles.names.dlq) if message.key != b"foreign")
        assert letters == dict.fromkeys(roles.sent, 1)
        answered = Counter(read_item(message).item_id for message in roles.read(roles.names.results))
        assert sum(answered.values()) == 2 * ITEMS + roles.results
        assert sum(roles.result_lines().values()) == 2 * ITEMS + roles.results
        for path in paths(client, first):
            client("GET", path, status=200)
