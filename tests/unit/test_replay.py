"""From dead letters back to items, and which of them are meant. No broker."""

import json
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_infer.cli.dlq_export import INDEX, file_name, write_folder
from stream_infer.cli.dlq_replay import told
from stream_infer.dead_letters import ErrorHeader, dead_letter, read_dead_letter
from stream_infer.errors import Stage, UsageError
from stream_infer.gateway.dead_letters.bodies import RefusedReplay, ReplayBody, dead_letter_detail
from stream_infer.gateway.dead_letters.chunks import CHUNK_BYTES, Revived, in_chunks, with_last
from stream_infer.gateway.dead_letters.log import nearest
from stream_infer.gateway.dead_letters.originals import (
    Irrecoverable,
    again,
    original_of,
    stored_payload,
    without_errors,
)
from stream_infer.gateway.dead_letters.search import Filter, Scan, parse_ref
from stream_infer.headers import Header, item_headers, read_item
from stream_infer.jobs.log_lines import LogLine
from stream_infer.jobs.replays import (
    Replayed,
    ReplayMark,
    Replays,
    mark_record,
    replayed_record,
    replays_partition,
    still_failed,
)
from stream_infer.records import REFERENCE, Failure, Message, OutgoingRecord, Position
from stream_infer.topics import Topics
from stream_infer.worker.delivery import Delivery, DeliveryPolicy
from stream_infer.worker.payloads import OnItsWay, Payloads
from tests.support.hand_worked_pool import HandWorkedPool
from tests.support.memory_store import MemoryStore

JOB = item_headers(job_id="j", item_id="j-7", source="s3://b/k", generation=1, custom_id="mine")
BOOM = Failure(Stage.PREDICT, "builtins.ValueError", "negative", "Traceback")


def at(record: OutgoingRecord, offset: int = 5, timestamp_ms: int = 0) -> Message:
    return Message(record.topic, 0, offset, record.key, record.value, record.headers, timestamp_ms)


def letter_of(headers: Any = JOB, value: bytes | None = b"{}", failure: Failure = BOOM, **where: Any) -> Any:
    item = read_item(Message("p.a.items", 1, 9, b"key", value, headers, 0))
    return read_dead_letter(
        at(dead_letter(item, failure, "p.a.dlq", predictor="P", worker="w", api_version="v"), **where)
    )


def replayed(letter: Any, store: MemoryStore, generation: int | None = 2, most: int = 10_000) -> OutgoingRecord:
    return again(letter, original_of(letter, store), "p.a.items", generation, most)


def test_a_replayed_item_is_the_one_that_failed_in_its_jobs_next_generation() -> None:
    spent = (
        ("si-failed-at", b"1.000"),
        ("si-attempt", b"3"),
        ("si-not-before", b"1.0"),
        ("si-retry-since", b"1.0"),
        ("si-deadline", b"2.0"),
    )
    origin = (("SI-Origin", b"p.a.items/0/1"),)

    record = replayed(letter_of((*JOB, ("own", b"\x00\xff"), *spent, *origin)), MemoryStore())

    assert (record.topic, record.key, record.value) == ("p.a.items", b"key", b"{}")
    kept = tuple(pair for pair in JOB if pair[0] != Header.GENERATION)
    assert record.headers == (*kept, ("own", b"\x00\xff"), (Header.GENERATION.value, b"2"))
    item = read_item(at(record))
    assert (item.item_id, item.generation, item.attempt, item.deadline, item.origin) == ("j-7", 2, 1, None, None)


def test_an_item_of_no_job_keeps_the_name_that_it_got_when_it_was_first_read() -> None:
    record = replayed(letter_of(()), MemoryStore(), generation=None)

    assert record.headers == ((Header.ITEM_ID.value, b"p.a.items-1-9"),)


@pytest.mark.parametrize("name", ["__connect.errors.topic", "kafka_dlt-original-offset", "__dlq.errors.group"])
def test_a_dead_letter_of_others_goes_back_without_their_headers_and_to_no_job(name: str) -> None:
    foreign = Message("p.a.dlq", 0, 5, b"k", b"v", (("own", b"1"), (name, b"x"), ("si-job-id", b"j")), 0)

    record = replayed(read_dead_letter(foreign), MemoryStore(), generation=None)

    assert record.headers == (("own", b"1"), (Header.ITEM_ID.value, b"p.a.dlq-0-5"))


def delivered(headers: Any, value: bytes, key: bytes, store: MemoryStore) -> Any:
    """The dead letter as the worker itself writes it, of at most 20,000 bytes."""
    topics = Topics("p").api("a")
    pool: Any = HandWorkedPool()
    policy = DeliveryPolicy(topics, "p.progress", "w", "v", 20_000, 20_000)
    delivery = Delivery(policy, Payloads(store, pool), lambda: "P")
    item = read_item(Message("p.a.items", 0, 0, key, value, headers, 0))
    record = delivery._dead_letter(item, BOOM, 12.0)
    with suppress(OnItsWay):
        delivery._fitting(record, item)
    pool.work()
    delivery.payloads.advance(0.0)
    return read_dead_letter(at(delivery._fitting(record, item)))


def test_a_payload_that_was_too_big_comes_back_from_the_store_or_goes_by_reference() -> None:
    store, value = MemoryStore(), b'"' + b"x" * 30_000 + b'"'
    letter = delivered(JOB, value, b"k", store)
    assert stored_payload(letter) is not None

    whole = replayed(letter, store, most=100_000)
    by_reference = replayed(letter, store, most=20_000)

    assert whole.value == value
    assert read_item(at(whole)).content_type == "application/json"
    item = read_item(at(by_reference))
    assert (item.content_type, item.item_id) == (REFERENCE, "j-7")
    assert json.loads(by_reference.value or b"")["content_type"] == "application/json"
    assert store.get("_payloads/dead-letters/p.a.items-0-0") == value


def test_key_and_headers_that_were_cut_come_back_whole() -> None:
    store, key = MemoryStore(), b"k" * 40_000
    headers = (*JOB, ("own", b"h" * 5000))
    letter = delivered(headers, b"\xff\x00", key, store)
    assert len(letter.item.message.key) == 1024

    record = replayed(letter, store, most=20_000)

    assert (record.key, record.value) == (key, b"\xff\x00")
    assert dict(record.headers)["own"] == b"h" * 5000
    assert read_item(at(record)).generation == 2


def test_an_item_that_is_a_reference_itself_goes_back_as_it_was() -> None:
    value = b'{"uri": "s3://b/k", "content_type": "image/png"}'
    letter = letter_of(item_headers(content_type=REFERENCE), value)

    record = replayed(letter, MemoryStore())

    assert (stored_payload(letter), record.value) == (None, value)
    assert read_item(at(record)).content_type == REFERENCE


def test_what_the_store_has_lost_and_what_lies_elsewhere_cannot_run_again() -> None:
    store = MemoryStore()
    letter = delivered(JOB, b"x" * 30_000, b"k", store)
    store.objects.clear()
    with pytest.raises(Irrecoverable, match="gone from the store"):
        original_of(letter, store)
    for uri in ("file:///etc/passwd", "memory:///secret", "memory:///_payloads/dead-letters/../../secret"):
        value = json.dumps({"uri": uri, "content_type": "application/json"}).encode()
        forged = letter.item.message._replace(value=value)
        store.objects = {"secret": b"s", "../../secret": b"s"}
        with pytest.raises(Irrecoverable):
            original_of(read_dead_letter(forged), store)


names = st.one_of(st.sampled_from([*Header, *ErrorHeader, "Kafka_DLT-x", "__dlq.errors.x"]), st.text(max_size=8))
any_headers = st.lists(st.tuples(names, st.one_of(st.none(), st.binary(max_size=12))), max_size=8).map(tuple)


@given(any_headers, st.one_of(st.none(), st.binary(max_size=30)))
def test_any_dead_letter_can_run_again_or_says_why_not(headers: Any, value: bytes | None) -> None:
    letter = read_dead_letter(Message("p.a.dlq", 0, 1, None, value, headers, 0))
    try:
        record = replayed(letter, MemoryStore())
    except Irrecoverable:
        return
    item = read_item(at(record))
    assert item.attempt == 1
    assert without_errors(record.headers) == record.headers
    assert item.job_id == letter.job_id


def test_which_are_meant_is_said_by_stage_exception_and_message() -> None:
    letter = letter_of()
    for wanted in (
        Filter(), Filter(job_id="j"), Filter(stage="predict"), Filter(exception="ValueError"), Filter(message="egat"),
        Filter(exception="builtins.ValueError", message="negative", stage="predict"),
    ):  # fmt: skip
        assert wanted.takes(letter), wanted
    for other in (
        Filter(job_id="k"), Filter(stage="decode"), Filter(exception="Value"), Filter(exception="KeyError"),
        Filter(message="positive"), Filter(stage="predict", message="positive"),
    ):  # fmt: skip
        assert not other.takes(letter), other


@pytest.mark.parametrize(
    ("ref", "place"), [("0-7", (0, 7)), ("12-0", (12, 0)), ("7", None), ("0--7", None), ("", None)]
)
def test_a_ref_is_partition_and_offset(ref: str, place: tuple[int, int] | None) -> None:
    assert parse_ref(ref) == place


def test_groups_say_how_many_from_when_to_when_and_show_the_newest() -> None:
    scan = Scan()
    for offset, ms, said in ((1, 2000, "b"), (2, 9000, "c"), (3, 1000, "a")):
        scan.count(letter_of(failure=Failure(Stage.DECODE, "E", said), offset=offset, timestamp_ms=ms))
    [group] = scan.groups.values()
    assert (group.stage, group.exception, group.count) == ("decode", "E", 3)
    assert (group.first, group.last, group.example, group.message) == (1.0, 9.0, "0-2", "c")


def test_what_was_replayed_is_known_by_its_place_until_it_is_forgotten() -> None:
    told_of = Replayed(api="a", topic="p.a-b.dlq", partition=2, offset=41, job_id="j", generation=2, at=50.0)
    record = replayed_record(told_of, "p.replays", 4)
    assert record.partition == replays_partition("j", "p.a-b.dlq", 4)
    assert record.key == b"p.a-b.dlq-2-41"
    replays = Replays()
    replays.see(at(record))
    assert replays.has(told_of.position)
    assert not replays.has(Position("p.a-b.dlq", 2, 42))
    replays.see(at(OutgoingRecord("p.replays", record.key, None)))
    assert not replays.has(told_of.position)
    replays.see(at(record), "another job")
    assert not replays.has(told_of.position)


@pytest.mark.parametrize(
    ("first_kept", "is_forgotten"),
    [({("t", 0): 1}, False), ({("t", 1): 9}, False), ({}, False), ({("t", 0): 2}, True)],
)
def test_what_was_replayed_is_remembered_for_as_long_as_its_dead_letter_is_there(
    first_kept: dict[tuple[str, int], int], is_forgotten: bool
) -> None:
    old = Replayed(api="a", topic="t", partition=0, offset=1, at=10.0)
    replays = Replays()
    replays.see(at(replayed_record(old, "r", 1)), None, 50.0, first_kept)
    assert replays.has(old.position) is not is_forgotten
    assert bool(replays.expired) is is_forgotten


def test_an_open_mark_is_never_forgotten_since_its_job_waits_for_the_word_that_this_was_all() -> None:
    replays = Replays()
    mark = ReplayMark(api="a", job_id="j", generation=2, is_open=True, at=10.0)
    replays.see(at(mark_record(mark, "r", 1)), forget_before=50.0)
    assert (replays.marks, replays.expired) == ({"j": mark}, {})


def test_what_is_old_and_gone_is_forgotten_unless_it_was_said_anew() -> None:
    old = Replayed(api="a", topic="t", partition=0, offset=1, at=10.0)
    marks = [ReplayMark(api="a", job_id="j", generation=g, is_open=g == 2, at=at_) for g, at_ in ((2, 10.0), (3, 90.0))]
    replays = Replays()
    for record in (replayed_record(old, "r", 1), *(mark_record(mark, "r", 1) for mark in marks)):
        replays.see(at(record), forget_before=50.0, first_kept={("t", 0): 2})
    assert [(record.key, record.value) for record in replays.expired.values()] == [(b"t-0-1", None)]
    assert replays.marks == {"j": marks[1]}


@pytest.mark.parametrize("value", [b"", b"{}", b"null", b"\xff", b'{"api": 1}'])
@pytest.mark.parametrize("key", [b"t-0-1", b"job:j", b"", b"\xff"])
def test_a_strangers_record_says_nothing(key: bytes, value: bytes) -> None:
    replays = Replays()
    replays.see(Message("r", 0, 0, key, value, (), 0))
    replays.see(Message("r", 0, 1, key, None, (), 0))
    assert replays == Replays()


def test_failures_that_were_replayed_are_left_out() -> None:
    lines = [json.dumps({"dead_letter": {"topic": "t", "partition": 0, "offset": n}}).encode() for n in range(3)]
    lines += [b"no json", b"{}", b"[]"]
    assert list(still_failed(lines, Replays({"t": {(0, 1)}}))) == [lines[0], *lines[2:]]


@given(st.lists(st.integers(), max_size=5))
def test_only_the_last_is_the_last(numbers: list[int]) -> None:
    found = list(with_last(numbers))
    assert [number for number, _ in found] == numbers
    assert [is_last for _, is_last in found] == [False] * (len(numbers) - 1) + [True] * bool(numbers)


@given(st.lists(st.integers(0, CHUNK_BYTES + 1), max_size=20), st.integers(1, 5))
def test_a_transaction_has_as_many_items_as_may_be_and_no_more_bytes_but_for_an_item_alone(
    sizes: list[int], most: int
) -> None:
    letter, record = letter_of(), OutgoingRecord("t", None, None)
    chunks = [[one.size for one in chunk] for chunk in in_chunks((Revived(letter, record, n) for n in sizes), most)]

    assert [size for chunk in chunks for size in chunk] == sizes
    assert all(len(chunk) <= most and (sum(chunk) <= CHUNK_BYTES or len(chunk) == 1) for chunk in chunks)
    for chunk, behind in pairwise(chunks):
        assert len(chunk) == most or sum(chunk) + behind[0] > CHUNK_BYTES


def exported(letter: Any, payload: bytes, content_type: str) -> bytes:
    detail = dead_letter_detail(letter, payload, content_type, is_replayed=False, raw=True)
    return detail.model_dump_json().encode() + b"\n"


def test_a_folder_of_payloads_has_safe_names_and_an_index(tmp_path: Any) -> None:
    hostile = letter_of(item_headers(item_id="../../etc/passwd", source="/etc/../x"))
    count = write_folder([exported(hostile, b"\xff\x00", "image/png"), exported(letter_of(), b"[1]", "../x")], tmp_path)

    assert count == 2
    assert {entry.name for entry in tmp_path.iterdir()} == {"0-5.png", "0-5.bin", INDEX}
    assert (tmp_path / "0-5.png").read_bytes() == b"\xff\x00"
    [first, _] = [json.loads(line) for line in (tmp_path / INDEX).read_text().splitlines()]
    assert (first["file"], first["item_id"], "payload" in first) == ("0-5.png", "../../etc/passwd", False)
    with pytest.raises(UsageError, match="cannot be written"):
        write_folder([], tmp_path / "0-5.png" / "x")


def test_of_a_talkative_job_the_lines_next_to_the_failure_are_shown() -> None:
    lines = [LogLine(at=n / 100, job_id="j", role="worker", who="w", line=str(n)) for n in range(1000)]
    shown = nearest([*lines[500:], *lines[:500]], 4.995, 20)
    assert [line.line for line in shown] == [*map(str, range(500, 510)), *map(str, range(490, 500))], "as they came"
    assert nearest(lines[:3], 5.0, 20) == lines[:3]


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("application/json; charset=utf-8", "0-1.json"),
        ("image/jpeg", "0-1.jpg"),
        ("text/plain", "0-1.txt"),
        ("", "0-1.bin"),
    ],
)
def test_a_payloads_name_ends_as_its_type_does(kind: str, name: str) -> None:
    assert file_name("0-1", kind) == name


def test_a_replay_says_what_became_of_it() -> None:
    body = ReplayBody(
        api_name="a", job_id="j", generation=2, replayed=3, already_replayed=1, of_jobs=2, unknown=["0-9"],
        refused=[RefusedReplay(ref="0-1", reason="its payload is gone")],
    )  # fmt: skip
    text = "\n".join(told(body, "j"))
    for said in (
        "3 dead letters run again in generation 2 of job j",
        "1 had been",
        "2 belong to jobs",
        "0-9",
        "is gone",
    ):
        assert said in text
    assert told(ReplayBody(api_name="a"), "a") == ["a has nothing to replay"]
    assert told(ReplayBody(api_name="a", already_replayed=1), "a")[0] == "nothing is left to replay"
    assert "goes on" in told(ReplayBody(api_name="a", replayed=1, is_complete=False), "a")[-1]
