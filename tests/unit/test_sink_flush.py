"""The plan of a flush: objects, their order, and what the transaction says of them."""

import hashlib
from typing import Any

import pytest

from connectors.formats import jsonl
from stream_infer.dead_letters import dead_letter
from stream_infer.errors import Stage
from stream_infer.headers import item_headers
from stream_infer.jobs.counts import Counts
from stream_infer.jobs.events import Counted, Hindered, decode_event
from stream_infer.jobs.manifest import Kind, decode_manifest
from stream_infer.jobs.status import HinderedRole
from stream_infer.kafka.partitioner import partition_of
from stream_infer.records import Failure, Headers, Message
from stream_infer.sink.buffers import Closed
from stream_infer.sink.flush import FlushPlan, Outlet, Stored, commit_records, hindrance_records, plan_flush
from stream_infer.sink.names import Destination
from stream_infer.sink.packed_lines import Line, PackedLines
from stream_infer.sink.records import read_line
from stream_infer.topics import Topics
from tests.support.items import item_at

RESULTS = Outlet("echo", Kind.RESULTS)
PARTITION = ("p.echo.results", 1)
STREAM = Destination(None, hour="dt=2025-01-31/hour=23")


def line(offset: int, ordinal: int | None = None, data: bytes = b"{}\n") -> Line:
    return Line(offset, ordinal, data)


def plan_of(lines: dict[Destination, list[Line]], max_bytes: int = 1000) -> FlushPlan:
    packed = {whose: PackedLines(some) for whose, some in lines.items()}
    return plan_flush(RESULTS, PARTITION, Closed(packed, 99, 0), "a" * 12, max_bytes)


def message(headers: Headers = (), **fields: Any) -> Message:
    return Message("p.echo.results", 1, 5, b"k", b'{"a":1}', headers, 1738367999999)._replace(**fields)


def test_lines_stand_in_the_order_of_their_ordinals_and_those_without_come_last() -> None:
    [planned] = plan_of({Destination("j"): [line(3, None), line(4, 2), line(5, 0), line(2, None), line(6, 1)]}).objects

    assert [found.offset for found in planned.lines] == [5, 6, 4, 2, 3]


def test_jobs_and_generations_have_objects_of_their_own() -> None:
    plan = plan_of({Destination("j", 1): [line(0)], Destination("j", 2): [line(1)], Destination("k"): [line(2)]})

    assert len({planned.key for planned in plan.objects}) == 3


def test_an_object_is_split_before_it_grows_too_large_and_the_names_differ() -> None:
    lines = [line(offset, ordinal, b"x" * 400) for offset, ordinal in [(9, 0), (1, 1), (5, 2)]]
    plan = plan_of({Destination("j"): lines}, max_bytes=1000)

    assert [[found.ordinal for found in planned.lines] for planned in plan.objects] == [[0, 1], [2]]
    assert len({planned.key for planned in plan.objects}) == 2


def test_objects_of_no_job_are_noted_before_they_are_put() -> None:
    plan = plan_of({STREAM: [line(4)], Destination("j"): [line(3)]})

    assert plan.pending is not None
    assert [key.startswith("stream/dt=2025-01-31/hour=23/echo-results-p00001") for key in plan.pending.objects] == [
        True
    ]
    assert plan_of({Destination("j"): [line(3)]}).pending is None


def test_the_transaction_says_what_was_stored_and_counts_it_by_job_and_generation() -> None:
    topics = Topics("p")
    plan = plan_of({Destination("j", 2): [line(7, 1), line(8, 0)], Destination("k"): [line(9)], STREAM: [line(10)]})
    stored = {planned.key: Stored.of(planned.body()) for planned in plan.objects}

    records = commit_records(plan, stored, topics, job_partitions=4, at=12.0)

    manifests = [decode_manifest(record.value or b"") for record in records if record.topic == topics.manifests]
    [of_j] = [found for found in manifests if found.job_id == "j"]
    assert (of_j.generation, of_j.count, of_j.bytes) == (2, 2, 6)
    assert (of_j.first_offset, of_j.last_offset, of_j.first_ordinal, of_j.last_ordinal) == (7, 8, 0, 1)
    assert of_j.sha256 == hashlib.sha256(b"{}\n{}\n").hexdigest()
    counted = {decode_event(record.value or b"") for record in records if record.topic == topics.progress}
    assert counted == {
        Counted(job_id="j", at=12.0, generation=2, delta=Counts(sunk=2)),
        Counted(job_id="k", at=12.0, generation=1, delta=Counts(sunk=1)),
    }
    assert all(record.partition == partition_of((record.key or b"").decode()[0], 4) for record in records)


@pytest.mark.parametrize("given", [None, "", "../../etc"], ids=["none", "empty", "hostile"])
def test_a_record_without_a_usable_job_id_goes_to_its_hour(given: str | None) -> None:
    destination, _ = read_line(message(item_headers(job_id=given, generation=2)), Kind.RESULTS, jsonl)

    assert destination == STREAM


def test_a_record_that_carries_a_job_goes_there_known_or_not() -> None:
    destination, found = read_line(message(item_headers(job_id="j", item_id="j-12", generation=3)), Kind.RESULTS, jsonl)

    assert (destination, found.ordinal, found.offset) == (Destination("j", 3), 12, 5)
    assert found.data.endswith(b"\n")


def test_a_dead_letter_carries_its_items_job_and_place() -> None:
    item = item_at(headers=item_headers(job_id="j", item_id="j-3", generation=2))
    letter = dead_letter(
        item, Failure(Stage.DECODE, "ValueError", "no"), "d", predictor="P", worker="w", api_version="1"
    )

    destination, found = read_line(message(letter.headers), Kind.ERRORS, jsonl)

    assert (destination, found.ordinal) == (Destination("j", 2), 3)
    assert b'"message":"no"' in found.data


def test_each_job_in_a_flush_that_waits_for_the_store_is_told_why_once() -> None:
    lines = {Destination("k", 2): [line(0)], Destination("j"): [line(offset) for offset in range(1, 900)]}
    records = hindrance_records(plan_of({**lines, STREAM: [line(900)]}), "away", Topics("p"), 4, at=12.0)

    assert [decode_event(record.value or b"") for record in records] == [
        Hindered(job_id="j", at=12.0, generation=1, role=HinderedRole.SINK, reason="away"),
        Hindered(job_id="k", at=12.0, generation=2, role=HinderedRole.SINK, reason="away"),
    ]
    assert [record.partition for record in records] == [partition_of("j", 4), partition_of("k", 4)]
