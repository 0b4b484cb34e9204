"""KEY.out on a real broker and real S3 servers: whole objects, in the order of their items, whatever is in between."""

import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from connectors.formats import jsonl
from connectors.s3 import S3Access
from connectors.stores import S3Store
from stream_infer.headers import item_headers, item_id_of
from stream_infer.jobs.assembling import Assemble
from stream_infer.jobs.counts import Counts
from stream_infer.jobs.events import Finalized
from stream_infer.jobs.manifest import JobManifest
from stream_infer.jobs.status import Cause
from stream_infer.ports import Store
from stream_infer.records import OutgoingRecord
from stream_infer.sink.role import run
from tests.support.roles import running
from tests.support.s3_fixture import S3Server
from tests.support.settings import settings_for
from tests.support.sink_harness import Harness, until

CSV = "text/csv"


class Assembling:
    """A sink in one part of a bucket, and a place of the job's owner in another."""

    def __init__(self, bootstrap_servers: str, topic_prefix: str, tmp_path: Path, s3: S3Server) -> None:
        self.output = f"s3://{s3.bucket}/out/here"
        sink = {
            "flush_bytes": 200_000,
            "flush_age": 1.0,
            "eof_linger": 0.2,
            "allowed_outputs": [f"s3://{s3.bucket}/out"],
        }
        settings = settings_for(bootstrap_servers, topic_prefix, tmp_path, sink=sink, api={"partitions": 2})
        self.harness = Harness(settings, self.open(f"s3://{s3.bucket}/store", s3))
        self._s3 = s3

    @staticmethod
    def open(place: str, s3: S3Server) -> Store:
        bucket, _, prefix = place.removeprefix("s3://").partition("/")
        return S3Store(bucket, prefix, S3Access(endpoint_url=s3.endpoint_url))

    def results(self, *answers: bytes, of: str, first: int) -> list[OutgoingRecord]:
        made = []
        for at, answer in enumerate(answers):
            source = f"s3://in/data/{of}#line={at + 1}"
            headers = item_headers(content_type=CSV, job_id="j", item_id=item_id_of("j", first + at), source=source)
            made.append(OutgoingRecord(self.harness.names.results, str(at).encode(), answer, headers))
        return made

    def finalized(self, records: list[OutgoingRecord], **fields: object) -> Finalized:
        harness = self.harness
        harness.transact(*records)
        with running(self._run):
            harness.until_drained()
            assemble = Assemble(separator="line", output=self.output, base="s3://in/data/")
            before = len(harness.events(Finalized))
            harness.status(**{"counts": Counts(sunk=harness.sunk()), "assemble": assemble, **fields})
            until(lambda: len(harness.events(Finalized)) > before, "finalized")
            harness.until_drained()
        return harness.events(Finalized)[-1]

    def _run(self, stop: threading.Event, ready: Callable[[], None]) -> None:
        harness = self.harness
        run(harness.settings, harness.store, jsonl, stop, ready, open_output=lambda place: self.open(place, self._s3))

    def objects(self) -> dict[str, bytes]:
        store = self.open(self.output, self._s3)
        return {found.key: store.get(found.key) for found in store.list("")}

    def manifest(self) -> JobManifest:
        return JobManifest.model_validate_json(self.harness.store.get("echo/j/manifest.json"))


@pytest.fixture
def assembling(
    bootstrap_servers: str, topic_prefix: str, tmp_path: Path, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> Assembling:
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    return Assembling(bootstrap_servers, topic_prefix, tmp_path, s3)


def test_each_input_object_gets_its_answers_in_order_and_doing_it_again_changes_nothing(assembling: Assembling) -> None:
    # Given answers of three objects, over two partitions and many result objects, of one larger than a part of S3
    large = [b"%05d," % n + b"x" * 90_000 for n in range(200)]
    records = [
        *assembling.results(b"1,2", b"3", of="a.csv", first=0),
        *assembling.results(*large, of="deep/large.csv", first=2),
        *assembling.results(b"last", of="z.csv", first=202),
    ]

    # When the job is finalized
    event = assembling.finalized(list(reversed(records)))

    # Then each has its object, and the manifest says how many there are
    objects = assembling.objects()
    assert objects.keys() == {"a.csv.out", "deep/large.csv.out", "z.csv.out"}
    assert objects["a.csv.out"] == b"1,2\n3\n"
    assert objects["deep/large.csv.out"] == b"".join(line + b"\n" for line in large)
    assert event.error is None
    manifest = assembling.manifest()
    assert (manifest.assembled.output, manifest.assembled.objects, manifest.assembled.left_out) == (
        assembling.output,
        3,
        0,
    )
    assert assembling.harness.store.exists("echo/j/_SUCCESS")

    # and so it is after another finalization
    assembling.finalized([], generation=1, deadline=5.0)
    assert assembling.objects() == objects


def test_an_object_with_a_dead_letter_and_one_that_a_stop_has_cut_are_left_out(assembling: Assembling) -> None:
    harness = assembling.harness
    failed = harness.error(1)
    headers = (*failed.headers, ("si-source", b"s3://in/data/bad.csv#line=2"))
    records = [
        *assembling.results(b"1", of="bad.csv", first=0),
        failed._replace(headers=headers),
        *assembling.results(b"4", b"5", of="good.csv", first=2),
        *assembling.results(b"6", of="cut.csv", first=4),
    ]

    assembling.finalized(records, cause=Cause.STOP)

    assert assembling.objects() == {"good.csv.out": b"4\n5\n"}
    assert not harness.store.exists("echo/j/_SUCCESS")
    lines = [json.loads(line) for key in harness.keys("echo/j/errors/") for line in harness.store.get(key).splitlines()]
    assert [line["item_id"] for line in lines] == ["j-1"]
