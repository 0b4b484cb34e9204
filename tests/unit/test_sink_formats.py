"""Results of another format on their way into the store, and back from there."""

import json
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from connectors.formats import jsonl, object_formats
from stream_infer.errors import NoLinks, ServiceUnavailable, StreamInferError
from stream_infer.gateway.links import links_of
from stream_infer.headers import item_headers, item_id_of, result_headers
from stream_infer.http.problems import Problem
from stream_infer.jobs.manifest import Kind, ManifestRecord
from stream_infer.jobs.merge import merge_objects
from stream_infer.jobs.status import JobStatus
from stream_infer.jobs.stored_results import StoredResults
from stream_infer.records import JSON, REFERENCE, Item, Message
from stream_infer.sink.agreeing import agreeing
from stream_infer.sink.assembly import job_manifest, orphans
from stream_infer.sink.buffers import Closed
from stream_infer.sink.flush import FlushPlan, Outlet, Stored, manifest_record, plan_flush
from stream_infer.sink.names import Destination, read_name
from stream_infer.sink.packed_lines import Line, PackedLines
from stream_infer.sink.records import read_line
from stream_infer.sink.upload import Upload
from tests.support.memory_store import MemoryStore

FORMATS = object_formats()
RESULTS = Outlet("echo", Kind.RESULTS)
PARTITION = ("p.echo.results", 1)


class AtOnce:
    """A pool that does what it is asked for."""

    def submit(self, call: Any, *args: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(call(*args))
        except ServiceUnavailable as error:
            future.set_exception(error)
        return future


def message(n: int, value: bytes, format_: str | None, content_type: str = JSON, job: str | None = "j") -> Message:
    item_id = f"free-{n}" if job is None else item_id_of(job, n)
    item = Item(Message("t", 1, n, None, b"", (), 0), item_id, job_id=job, custom_id=f"c{n}")
    headers = result_headers(item, content_type, result_format=format_)
    return Message(*PARTITION, n, None, value, headers, 1738367999999)


def plan_of(*messages: Message, max_bytes: int = 1_000_000) -> FlushPlan:
    lines: dict[Destination, PackedLines] = {}
    for one in messages:
        destination, line = read_line(one, Kind.RESULTS, jsonl)
        lines.setdefault(destination, PackedLines()).append(line)
    return plan_flush(RESULTS, PARTITION, Closed(lines, 99, 0), "a" * 12, max_bytes, FORMATS)


def put(plan: FlushPlan, store: MemoryStore) -> Upload:
    upload = Upload(plan, store, AtOnce())  # type: ignore[arg-type]
    for _ in range(3):
        upload.advance(0.0)
    assert upload.is_done
    return upload


def records(plan: FlushPlan, upload: Upload) -> list[ManifestRecord]:
    return [manifest_record(plan, planned, upload.stored[planned.key]) for planned in plan.objects]


@pytest.mark.parametrize("name", [*FORMATS, None])
def test_a_job_has_objects_of_its_format_and_they_are_read_in_the_order_of_the_items(name: str | None) -> None:
    store = MemoryStore()
    first = plan_of(*[message(n, b'{"n": %d}' % n, name) for n in range(0, 40, 2)], max_bytes=500)
    second = plan_of(*[message(n, b'{"n": %d}' % n, name) for n in range(1, 40, 2)])
    found = [record for plan in (first, second) for record in records(plan, put(plan, store))]

    suffix = ".jsonl" if name is None else FORMATS[name].suffix
    assert len(found) > 2
    assert all(record.key.endswith("a" * 12 + suffix) for record in found)
    assert all(read_name(record.key) is not None for record in found), "an orphan of any format is found"
    lines = merge_objects(found, StoredResults(store, FORMATS).lines)
    assert [json.loads(line)["output"]["n"] for line in lines] == list(range(40))


def test_an_orphan_of_any_format_is_one_and_an_items_object_never() -> None:
    name = "echo/j/results/results-p00001-o00000000000000000000-g1-aaaaaaaaaaaa"
    keys = [f"{name}{suffix}" for suffix in (".jsonl", ".jsonl.gz", ".parquet", ".items.jsonl")]

    assert orphans([*keys, "echo/j/items/cat-1.json"], [], 1) == keys


def test_an_unknown_format_is_lines_of_json() -> None:
    [planned] = plan_of(message(0, b"1", "of-the-future")).objects

    assert planned.key.endswith(".jsonl")


def test_results_of_no_job_have_the_apis_format_but_for_objects_of_their_own() -> None:
    plan = plan_of(message(0, b"1", "jsonl.gz", job=None), message(1, b"2", "per-item", job=None))

    assert sorted(planned.key.rpartition("-")[2][12:] for planned in plan.objects) == [".jsonl", ".jsonl.gz"]
    assert plan.items == ()
    assert plan.pending is not None
    assert set(plan.pending.objects) == {planned.key for planned in plan.objects}


def test_dead_letters_are_lines_whatever_the_format_of_results() -> None:
    headers = (*item_headers(job_id="j", item_id="j-1"), ("si-result-format", b"parquet"))
    destination, _ = read_line(Message("p.echo.dlq", 1, 5, b"k", b"1", headers, 0), Kind.ERRORS, jsonl)

    assert destination.format is None


def test_each_item_has_an_object_and_the_manifest_names_their_list_alone() -> None:
    store = MemoryStore()
    plan = plan_of(*[message(n, b"\x89PNG%d" % n, "per-item", "image/png") for n in range(150)])
    upload = put(plan, store)

    assert len(plan.items) == 3, "some at a time"
    assert len(plan.objects) == len(records(plan, upload)) == 1
    assert {key for key in store.objects if "/items/" in key} == {f"echo/j/items/c{n}-{n}.png" for n in range(150)}
    assert store.get("echo/j/items/c7-7.png") == b"\x89PNG7"


def test_what_was_put_is_taken_back_but_for_objects_of_items() -> None:
    """Whoever has the partition next puts them under the same names, and may have committed them by now."""
    store = MemoryStore()
    upload = put(plan_of(*[message(n, b"%d" % n, "per-item") for n in range(3)]), store)
    upload.take_back()

    assert sorted(store.objects) == [f"echo/j/items/c{n}-{n}.json" for n in range(3)]


def test_a_flush_that_is_made_again_leaves_the_same_objects_of_items() -> None:
    store = MemoryStore()
    made = [message(n, b"%d" % n, "per-item") for n in range(3)]
    put(plan_of(*made), store)
    before = {key: data for key, data in store.objects.items() if "/items/" in key}
    put(plan_of(made[0]), store)
    put(plan_of(*made[1:]), store)

    assert {key: data for key, data in store.objects.items() if "/items/" in key} == before


@pytest.mark.parametrize(
    ("uri", "held"),
    [
        ("memory:///_payloads/results/p.echo.items-0-5", b"large"),
        ("memory:///_payloads/results/p.echo.items-0-6", None),
        ("memory:///_payloads/results/p.other.items-0-5", None),
        ("memory:///secret", None),
        ("https://elsewhere/_payloads/results/p.echo.items-0-5", None),
    ],
)
def test_what_came_by_reference_is_copied_if_the_apis_own_worker_has_stored_it(uri: str, held: bytes | None) -> None:
    store = MemoryStore()
    store.objects |= {
        "_payloads/results/p.echo.items-0-5": b"large",
        "_payloads/results/p.other.items-0-5": b"another's",
        "secret": b"nobody's",
    }
    reference = json.dumps({"uri": uri, "content_type": "image/png"}).encode()
    put(plan_of(message(0, reference, "per-item", REFERENCE)), store)

    assert store.get("echo/j/items/c0-0.png") == (held or reference)


class Linking(MemoryStore):
    def link(self, key: str, seconds: int) -> str:
        return f"https://store/{key}?for={seconds}"


def lines_of(plans: list[FlushPlan], store: MemoryStore) -> list[dict[str, Any]]:
    found = [record for plan in plans for record in records(plan, put(plan, store))]
    return [json.loads(line) for line in links_of(found, StoredResults(store, FORMATS), 60, 1_700_000_000.0)]


def test_there_is_a_link_for_each_object_in_the_order_of_the_items() -> None:
    plans = [plan_of(message(5, b"1", "parquet")), plan_of(message(2, b"1", "parquet"), message(3, b"1", "parquet"))]
    found = lines_of(plans, Linking())

    assert [line["items"] for line in found] == [2, 1]
    assert found[0]["url"] == f"https://store/{found[0]['object']}?for=60"
    assert found[0]["expires_at"] == "2023-11-14T22:14:20+00:00"


def test_there_is_a_link_for_each_item_that_has_an_object_in_their_order() -> None:
    plans = [plan_of(*[message(n, b"1", "per-item") for n in some]) for some in ((0, 3), (1, 2))]
    found = lines_of(plans, Linking())

    assert [line["object"] for line in found] == [f"echo/j/items/c{n}-{n}.json" for n in range(4)]
    assert [line["custom_id"] for line in found] == ["c0", "c1", "c2", "c3"]
    assert found[0]["url"].startswith("https://store/echo/j/items/c0-0.json")


def test_a_store_without_links_says_so_before_the_answer_begins() -> None:
    with pytest.raises(Problem, match="has no links") as problem:
        links_of([], StoredResults(MemoryStore(), FORMATS), 60, 0.0)

    assert problem.value.status == 409
    assert NoLinks.exit_code == 2


def record(key: str) -> ManifestRecord:
    return ManifestRecord(
        job_id="j", api="echo", generation=1, kind=Kind.RESULTS, key=key, topic="t", partition=0, first_offset=0,
        last_offset=0, count=1, bytes=1, sha256="",
    )  # fmt: skip


def read(store: MemoryStore, key: str, formats: Any = FORMATS) -> Iterator[bytes]:
    return StoredResults(store, formats).lines(record(key))


def test_what_cannot_be_read_is_said_with_its_place() -> None:
    store = MemoryStore()
    store.objects |= {
        "echo/j/results/a.jsonl.gz": b"no gzip",
        "echo/j/results/b.items.jsonl": b'{"object": "items/x"}\n',
    }

    with pytest.raises(ServiceUnavailable, match=r"gone.jsonl is committed and is not there"):
        list(read(store, "echo/j/results/gone.jsonl"))
    with pytest.raises(ServiceUnavailable, match=r"echo/j/items/x is committed and is not there"):
        list(read(store, "echo/j/results/b.items.jsonl"))
    with pytest.raises(StreamInferError, match=r"a.jsonl.gz cannot be read: it is not what gzip makes"):
        list(read(store, "echo/j/results/a.jsonl.gz"))
    with pytest.raises(StreamInferError, match=r"install stream-infer\[parquet\]"):
        list(read(store, "echo/j/results/c.parquet", {}))


def test_a_line_of_a_stranger_does_not_stop_a_flush() -> None:
    """Results are written by workers; whoever else writes there, a sink flushes what it can."""
    for name in FORMATS:
        plan = plan_of(message(0, b"\xff\xfe{", name), message(1, b"", name), message(2, b"null", name, "x/y; z=\x00"))
        put(plan, MemoryStore())


def test_a_line_keeps_its_offset_and_ordinal() -> None:
    _, line = read_line(message(7, b"1", "parquet"), Kind.RESULTS, jsonl)

    assert isinstance(line, Line)
    assert (line.offset, line.ordinal) == (7, 7)


def agreed(store: MemoryStore, records_: list[ManifestRecord]) -> list[ManifestRecord]:
    return agreeing(store, records_, FORMATS, lambda _seconds=0.0: None)


def test_objects_that_disagree_are_put_anew_under_their_keys_when_the_job_ends() -> None:
    store = MemoryStore()
    plans = [plan_of(message(n, value, "parquet")) for n, value in enumerate((b'{"a": 1}', b'{"a": [1]}', b'{"b": 1}'))]
    committed = [record for plan in plans for record in records(plan, put(plan, store))]
    assert [record.shape for record in committed] == ['{"a":"s"}', '{"a":["s"]}', '{"b":"s"}']

    left = agreed(store, committed)
    assert [record.key for record in left] == [record.key for record in committed]
    assert [record.sha256 for record in left] == [Stored.of(store.get(record.key)).sha256 for record in left]
    assert [record.shape for record in left] == [None] * 3
    lines = merge_objects(committed, StoredResults(store, FORMATS).lines)
    assert [json.loads(line)["output"] for line in lines] == [{"a": 1}, {"a": [1]}, {"b": 1}]

    before = dict(store.objects)
    assert agreed(store, committed) == left, "a step may be taken again"
    assert store.objects == before


def test_links_tell_the_sizes_of_objects_that_were_put_anew() -> None:
    store = Linking()
    plans = [plan_of(message(n, value, "parquet")) for n, value in enumerate((b'{"a": 1}', b'{"a": [1]}'))]
    committed = [record for plan in plans for record in records(plan, put(plan, store))]

    def told() -> list[int]:
        return [json.loads(line)["bytes"] for line in links_of(committed, StoredResults(store, FORMATS), 60, 0.0)]

    def lying() -> list[int]:
        return [len(store.get(record.key)) for record in committed]

    assert told() == lying()

    status = JobStatus(job_id="j", api="echo")
    manifest = job_manifest(status, agreed(store, committed))
    assert told() != lying()
    store.put("echo/j/manifest.json", manifest.model_dump_json().encode())
    assert told() == lying()


def test_objects_that_agree_stay_as_they_are() -> None:
    store = MemoryStore()
    plans = [plan_of(message(n, value, "parquet")) for n, value in enumerate((b'{"a": 1}', b'{"a": "x"}', b"null"))]
    committed = [record for plan in plans for record in records(plan, put(plan, store))]
    before = dict(store.objects)

    assert agreed(store, committed) == committed
    assert store.objects == before
    assert agreed(store, []) == []
