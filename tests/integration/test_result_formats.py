"""Each format on a real broker and real S3: what a sink has committed is all there, once, and others read it."""

import json
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest

from connectors.formats import jsonl, object_formats
from connectors.s3 import S3Access
from connectors.stores import DirectoryStore, S3Store
from stream_infer.gateway.links import links_of
from stream_infer.gateway.results import read_manifest
from stream_infer.headers import item_headers, item_id_of, result_headers
from stream_infer.jobs.manifest import JobManifest
from stream_infer.jobs.merge import merge_objects
from stream_infer.jobs.stored_results import StoredResults
from stream_infer.records import JSON, Item, OutgoingRecord
from stream_infer.settings import Settings
from stream_infer.sink.role import run
from tests.support.items import item_at
from tests.support.roles import running
from tests.support.s3_fixture import S3Server
from tests.support.settings import settings_for
from tests.support.sink_harness import Harness, finalize, held_at, until

FORMATS = object_formats()


@pytest.fixture
def settings(bootstrap_servers: str, topic_prefix: str, tmp_path: Path) -> Settings:
    sink = {"flush_bytes": 4_000, "flush_age": 1.0, "eof_linger": 0.2}
    return settings_for(bootstrap_servers, topic_prefix, tmp_path, sink=sink, api={"partitions": 2})


def result(harness: Harness, n: int, format_: str, value: bytes | None = None, kind: str = JSON) -> OutgoingRecord:
    item: Item = item_at(headers=item_headers(job_id="j", item_id=item_id_of("j", n), source=f"s3://b/in/p{n % 7}.jpg"))
    headers = result_headers(item, kind, result_format=format_)
    value = value or json.dumps({"label": f"l{n % 3}", "score": n / 2, "n": n}).encode()
    return OutgoingRecord(harness.names.results, str(n).encode(), value, headers)


def serving(harness: Harness) -> Any:
    return running(lambda stop, ready: run(harness.settings, harness.store, jsonl, stop, ready, formats=FORMATS))


def in_order(harness: Harness) -> list[dict[str, Any]]:
    lines = merge_objects(read_manifest(harness.settings, "j"), StoredResults(harness.store, FORMATS).lines)
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_what_a_sink_has_committed_is_read_in_the_order_of_the_items(
    settings: Settings, s3: S3Server, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    # Given results of one job on two partitions, as far as possible from their order
    for key, value in s3.environment().items():
        monkeypatch.setenv(key, value)
    store = S3Store(s3.bucket, "prefix", S3Access(s3.endpoint_url))
    harness = Harness(settings, store)
    harness.transact(*(result(harness, n, name) for n in range(199, 99, -1)))
    with serving(harness):
        harness.until_drained()
        harness.transact(*(result(harness, n, name) for n in range(100)))
        harness.transact(result(harness, 200, name, b"\x89PNG", "image/png"))
        until(lambda: harness.sunk() == 201, "all results sunk")

        # Then they are all there once, in their order, and the manifest's objects are those that lie there
        found = in_order(harness)
        assert [line["item_id"] for line in found] == [f"j-{n}" for n in range(201)]
        assert [line["output"]["n"] for line in found[:200]] == list(range(200))
        assert found[200]["output"] == {"base64": "iVBORw==", "content_type": "image/png"}
        finalize(harness)
    manifest = JobManifest.model_validate_json(store.get("echo/j/manifest.json"))
    assert {one.key for one in manifest.objects} == harness.keys("echo/j/results/")
    assert sum(one.count for one in manifest.objects) == 201
    items = harness.keys("echo/j/items/")
    assert len(items) == (201 if name == "per-item" else 0)

    # And anybody reads them by their links
    links = links_of(read_manifest(settings, "j"), StoredResults(store, FORMATS), 60, 0.0)
    first = json.loads(next(iter(links)))
    with urllib.request.urlopen(first["url"]) as answer:
        data = answer.read()
    assert data == store.get(first["object"])
    store.close()


def test_duckdb_and_pandas_read_what_a_sink_has_written(settings: Settings, tmp_path: Path) -> None:
    harness = Harness(settings, DirectoryStore(tmp_path / "store"))
    harness.transact(*(result(harness, n, "parquet") for n in range(200)))
    harness.transact(result(harness, 200, "parquet", b'{"label": "other", "boxes": [[1, 2.5]]}'))
    with serving(harness):
        until(lambda: harness.sunk() == 201, "all results sunk")
    folder = tmp_path / "store/echo/j/results"

    assert len(list(folder.glob("*.parquet"))) > 4
    table = f"read_parquet('{folder}/*.parquet', union_by_name=true)"
    assert duckdb.sql(f"select count(*), sum(output.score), max(output.n) from {table}").fetchall() == [
        (201, 9950.0, 199)
    ]
    rows = duckdb.sql(f"select item_id, output.label from {table} order by ordinal limit 2").fetchall()
    assert rows == [("j-0", "l0"), ("j-1", "l1")]
    frame = pd.concat([pd.read_parquet(file) for file in folder.glob("*.parquet")])
    assert Counter(frame["source"])["s3://b/in/p0.jpg"] == 29
    assert sorted(frame["ordinal"]) == list(range(201))


def test_a_sink_killed_before_it_has_committed_leaves_each_item_one_object(settings: Settings, tmp_path: Path) -> None:
    # Given a sink that has put objects of items, and is killed before their list is committed
    harness = Harness(settings, DirectoryStore(tmp_path / "store"))
    harness.transact(*(result(harness, n, "per-item") for n in range(100)))
    with held_at(harness, "echo/j/results/", tmp_path):
        until(lambda: len(harness.keys("echo/j/items/")) > 0, "objects of items")
    uncommitted = harness.keys("echo/j/results/")
    assert uncommitted and not harness.manifest()

    # When another one takes over
    with serving(harness):
        until(lambda: harness.sunk() == 100, "all results sunk")
        finalize(harness)

    # Then each item has its object, and no list but the committed ones is left
    assert harness.keys("echo/j/items/") == {f"echo/j/items/p{n % 7}-{n}.json" for n in range(100)}
    assert {found.key for found in harness.manifest()} == harness.keys("echo/j/results/")
    assert uncommitted.isdisjoint(harness.keys("echo/j/results/"))
    assert [line["output"]["n"] for line in in_order(harness)] == list(range(100))
