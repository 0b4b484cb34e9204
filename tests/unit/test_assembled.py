"""KEY.out: which objects of a job's source get one, what stands in it, and what it is called."""

import json
import time
from pathlib import Path

import pytest

from connectors.formats.jsonl import error_line, result_line
from connectors.stores import DirectoryStore
from stream_infer.dead_letters import DeadLetter, Writer
from stream_infer.errors import ServiceUnavailable, Stage
from stream_infer.headers import item_id_of, result_headers
from stream_infer.jobs.assembling import Assemble, allowed_place, base_of, base_of_first, key_of, object_of
from stream_infer.jobs.manifest import Assembled, Kind, ManifestRecord
from stream_infer.jobs.spec import JobSpec
from stream_infer.jobs.status import Cause, JobStatus, Phase, State
from stream_infer.records import REFERENCE, Failure, Item, Message, Position
from stream_infer.settings import Settings
from stream_infer.sink.assembled import Wanted, assemble_objects
from stream_infer.sink.outputs import PATIENCE_S, Outputs
from stream_infer.sink.puts import OutputUnavailable
from tests.support.memory_store import MemoryStore

BASE = "s3://in/data/"
JSON, CSV = "application/json", "text/csv"


def item(ordinal, source):
    return Item(Message("t", 0, ordinal, None, b"", (), 0), item_id_of("j", ordinal), job_id="j", source=source)


def result(ordinal, source, value=b"1", kind=JSON):
    headers = result_headers(item(ordinal, source), kind)
    return result_line(Message("r", 0, ordinal, b"key", value, headers, 0))


def error(ordinal, source):
    at = Position("t", 0, ordinal)
    failure = Failure(Stage.PREDICT, "E", "no")
    return error_line(DeadLetter(item(ordinal, source), failure, at, "w", "v", Stage.PREDICT, Writer.WORKER))


def lines(*answers, of="a.csv", first=0):
    """Consecutive lines of one object, from ordinal `first` on; None is one that failed."""
    places = [(first + at, f"{BASE}{of}#line={at + 1}", answer) for at, answer in enumerate(answers)]
    return [error(o, s) if answer is None else result(o, s, answer, CSV) for o, s, answer in places]


def assembled(outcomes, *, separator="line", is_early=False, base=BASE, referenced=lambda uri: None):
    store = MemoryStore()
    wanted = Wanted("j", Assemble(separator=separator, base=base), is_early, referenced)
    made = assemble_objects(outcomes, wanted, store.put_chunks)
    return store.objects, (made.objects, made.left_out)


def test_the_lines_of_an_object_stand_in_one_object_in_their_order():
    objects, made = assembled([*lines(b"1,2", b"3"), *lines(b"4", of="deep/b.csv", first=2)])

    assert objects == {"a.csv.out": b"1,2\n3\n", "deep/b.csv.out": b"4\n"}
    assert made == (2, 0)


def test_without_a_separator_outputs_follow_each_other_and_with_one_no_line_ends_twice():
    assert assembled(lines(b"1", b"2\n"), separator="none")[0] == {"a.csv.out": b"12\n"}
    assert assembled(lines(b"1", b"2\n"))[0] == {"a.csv.out": b"1\n2\n"}


def test_json_stands_as_the_predictor_wrote_it_and_bytes_as_they_were():
    image = bytes(range(256))
    outcomes = [
        result(
            0, f"{BASE}a.json", b'{"a": 1.50, "b":[1e400,"\xc3\xa4"]}'.replace(b"1e400", b"12345678901234567890123")
        ),
        result(1, f"{BASE}b.png", image, "image/png"),
    ]
    objects, _ = assembled(outcomes, separator="none")

    assert objects["a.json.out"] == '{"a": 1.50, "b":[12345678901234567890123,"ä"]}'.encode()
    assert objects["b.png.out"] == image


def test_an_object_of_which_an_item_failed_has_none_and_the_others_do():
    outcomes = [
        *lines(b"1", None, b"3"),
        *lines(b"4", of="b.csv", first=3),
        error(4, f"{BASE}c.png"),
        *lines(None, of="d.csv", first=5),
    ]

    objects, made = assembled(outcomes)

    assert objects == {"b.csv.out": b"4\n"}
    assert made == (1, 3)


def test_of_a_job_that_ended_early_only_what_is_known_to_be_whole_is_written():
    whole, cut = lines(b"1", b"2"), lines(b"3", of="b.csv", first=2)
    assert assembled([*whole, *cut], is_early=True) == ({"a.csv.out": b"1\n2\n"}, (1, 1))

    behind_a_gap = lines(b"5", b"6", of="c.csv", first=4)
    image = result(6, f"{BASE}d.png")
    assert assembled([*whole, *cut, *behind_a_gap, image], is_early=True) == (
        {"a.csv.out": b"1\n2\n", "d.png.out": b"1\n"},
        (2, 2),
    )

    missing = [
        whole[0],
        lines(b"1", b"2", b"3")[2],
        *lines(b"4", of="b.csv", first=3),
        *lines(b"5", of="c.csv", first=4),
    ]
    assert assembled(missing, is_early=True) == ({"b.csv.out": b"4\n"}, (1, 2))
    assert assembled(missing)[0]["a.csv.out"] == b"1\n3\n"


def test_an_item_that_ended_twice_and_what_has_no_place_in_the_source_count_not():
    stranger = result(7, f"{BASE}a.csv#line=9").replace(b"j-7", b"other")
    outcomes = [*lines(b"1"), *lines(b"1"), stranger, b"no json\n", b"[]\n", result(1, None)]

    assert assembled(outcomes)[0] == {"a.csv.out": b"1\n"}


def test_a_file_that_is_named_twice_is_written_as_often():
    assert assembled([*lines(b"1", b"2"), *lines(b"1", b"2", first=2)]) == ({"a.csv.out": b"1\n2\n"}, (2, 0))


@pytest.mark.parametrize("kind", [JSON, f"{JSON}; charset=utf-8"])
@pytest.mark.parametrize(
    "answer",
    [
        {"base64": "a", "content_type": "x"},
        {"base64": "YQ==", "content_type": CSV},
        {"uri": "s3://store/../x", "content_type": CSV},
    ],
)
def test_an_answer_that_looks_like_what_we_write_of_one_is_still_the_predictors(kind, answer):
    def referenced(uri):
        raise ValueError(f"{uri} is no key")

    outcomes = [result(0, f"{BASE}a", json.dumps(answer).encode(), kind), result(1, f"{BASE}b")]

    assert assembled(outcomes, separator="none", referenced=referenced) == (
        {"a.out": json.dumps(answer).encode(), "b.out": b"1"},
        (2, 0),
    )


def test_what_lies_in_the_store_is_brought_and_its_object_left_out_where_it_is_gone():
    def referenced(uri):
        return {"s3://store/_payloads/results/x": b"large"}[uri] if "store" in uri else None

    def reference(ordinal, uri):
        return result(ordinal, f"{BASE}{ordinal}", json.dumps({"uri": uri, "content_type": CSV}).encode(), REFERENCE)

    outcomes = [
        reference(0, "s3://store/_payloads/results/x"),
        reference(1, "s3://store/gone"),
        reference(2, "s3://mine"),
    ]
    objects, made = assembled(outcomes, separator="none", referenced=referenced)

    assert objects == {"0.out": b"large", "2.out": b'{"uri": "s3://mine", "content_type": "text/csv"}'}
    assert made == (2, 1)


@pytest.mark.parametrize(
    ("source", "base"),
    [
        ({"s3_prefix": {"uri": "s3://b/in/"}}, "s3://b/in/"),
        ({"s3_prefix": {"uri": "s3://b/in/part-"}}, "s3://b/in/"),
        ({"s3_prefix": {"uri": "s3://b"}}, "s3://b/"),
        ({"jsonl": {"uri": "s3://b/in/x.jsonl"}}, "s3://b/in/"),
        ({"directory": {"path": "/data/a b"}}, "file:///data/a%20b/"),
        ({"manifest": {"uri": "s3://b/m.json"}}, None),
    ],
)
def test_what_keys_are_without_follows_from_the_source(source, base):
    assert base_of(JobSpec.model_validate(source)) == base


@pytest.mark.parametrize(
    ("uri", "base", "key"),
    [
        ("s3://b/in/a/1.png", "s3://b/in/", "a/1.png"),
        ("s3://b/in/a%20b", "s3://b/", "in/a%20b"),
        ("s3://b/in/a", "", "in/a"),
        ("s3://other/in/a", "s3://b/", "in/a"),
        ("file:///data/a%20b/c.csv", "file:///data/", "a b/c.csv"),
        ("file:///data/c.csv", "", "data/c.csv"),
    ],
)
def test_a_key_is_what_stands_behind_that(uri, base, key):
    assert key_of(uri, base) == key


def test_a_source_names_its_object_and_the_place_in_it():
    assert object_of("s3://b/a#line=12") == ("s3://b/a", 12)
    assert object_of("s3://b/a#line=x") == ("s3://b/a#line=x", None)
    assert object_of("s3://b/a#1") == ("s3://b/a#1", None)
    assert base_of_first("s3://b/in/a/1.png", "a/1.png") == "s3://b/in/"
    assert base_of_first("s3://b/in/a", "s3://b/in/a") == ""


def test_outputs_may_lie_only_below_what_is_allowed():
    allowed = ["s3://b/out/", "file:///data"]
    assert allowed_place("s3://b/out", allowed) == "s3://b/out/"
    assert allowed_place("s3://b/out/deep/", allowed) == "s3://b/out/"
    assert allowed_place("file:///data/x", allowed) == "file:///data"
    for place in ("s3://b/outside", "s3://b", "file:///database", "s3://b/out/../x", "s3://b/out/."):
        assert allowed_place(place, allowed) is None


STATUS = JobStatus(job_id="j", api="echo", state=State.FINALIZING, phase=Phase.ASSEMBLE)


def stored(store, outcomes):
    """As the sink does it: an object of results, and one of errors."""
    records = []
    for kind in Kind:
        body = b"".join(line for line in outcomes if (b'"error"' in line) == (kind is Kind.ERRORS))
        key = f"echo/j/{kind}/part.jsonl"
        store.put(key, body)
        fields = {
            "generation": 1,
            "topic": "t",
            "partition": 0,
            "first_offset": 0,
            "last_offset": 9,
            "first_ordinal": 0,
        }
        records.append(
            ManifestRecord(job_id="j", api="echo", kind=kind, key=key, count=1, bytes=1, sha256="", **fields)
        )
    return records


def make(store, status, records, open_output=None, allowed=(), away_since=None):
    settings = Settings(sink={"allowed_outputs": list(allowed)})
    outputs = Outputs(settings, store, open_output or pytest.fail)
    return outputs.make(status, records, lambda s=0.0: None, away_since)


def test_a_job_that_wants_nothing_assembled_gets_nothing():
    assert make(MemoryStore(), STATUS, []) == (None, None)


def test_without_a_place_of_its_own_a_jobs_objects_lie_below_its_folder():
    store = MemoryStore()
    records = stored(store, [*lines(b"1", b"2"), *lines(None, of="b.csv", first=2)])
    status = STATUS.model_copy(update={"assemble": Assemble(separator="line", base=BASE)})

    made, fault = make(store, status, records)

    assert fault is None
    assert made == Assembled(output="memory:///echo/j/assembled/", objects=1, left_out=1)
    assert store.objects["echo/j/assembled/a.csv.out"] == b"1\n2\n"
    assert make(store, status, records) == (made, None)


def test_a_place_of_its_owners_is_written_to_and_nothing_else_of_it_is_touched(tmp_path):
    store, place = MemoryStore(), tmp_path.as_uri()
    records = stored(store, lines(b"1"))
    status = STATUS.model_copy(update={"assemble": Assemble(output=f"{place}/deep", base=BASE), "cause": Cause.STOP})
    (tmp_path / "mine").touch()

    made, fault = make(
        store, status, [*records], lambda uri: DirectoryStore(Path(uri.removeprefix("file://"))), [place]
    )

    assert (made.output, fault) == (f"{place}/deep", None)
    assert (tmp_path / "mine").exists()
    _, fault = make(store, status, records, allowed=["file:///other"])
    assert "is not below one of sink.allowed_outputs any more" in fault


def test_a_place_that_is_away_is_tried_again_and_does_not_keep_its_job_from_ending_for_ever():
    class Away(MemoryStore):
        def put(self, key, data, content_type=""):
            raise ServiceUnavailable("there is no such bucket")

    store = MemoryStore()
    records = stored(store, lines(b"1"))
    status = STATUS.model_copy(update={"assemble": Assemble(output="s3://b/out", base=BASE)})

    with pytest.raises(OutputUnavailable, match="there is no such bucket"):
        make(store, status, records, lambda uri: Away(), ["s3://b"])
    long_ago = time.monotonic() - PATIENCE_S
    made, fault = make(store, status, records, lambda uri: Away(), ["s3://b"], long_ago)

    assert made is None
    assert fault == "not all is assembled at s3://b/out, after 900 s of trying: there is no such bucket"


def test_what_the_store_itself_cannot_give_is_no_fault_of_the_place():
    store = MemoryStore()
    records = stored(store, lines(b"1"))
    store.objects.clear()
    status = STATUS.model_copy(update={"assemble": Assemble(output="s3://b/out", base=BASE)})

    with pytest.raises(ServiceUnavailable, match="is committed and is not there"):
        make(store, status, records, lambda uri: MemoryStore(), ["s3://b"])


def test_many_small_objects_and_large_ones_between_them_are_all_there_and_keys_that_lead_out_are_not(tmp_path):
    store, place = MemoryStore(), tmp_path.as_uri()
    images = [result(n, f"{BASE}{n:03d}", b"%d" % n) for n in range(300)]
    large = [b"x" * 200_000 for _ in range(5)]
    outcomes = [
        *images,
        *lines(*large, of="large.csv", first=300),
        result(305, f"{BASE}../evil"),
        result(306, f"{BASE}fine"),
    ]
    status = STATUS.model_copy(update={"assemble": Assemble(output=place, separator="line", base=BASE)})

    made, fault = make(store, status, stored(store, outcomes), lambda uri: DirectoryStore(tmp_path), [place])

    assert (made, fault) == (Assembled(output=place, objects=302, left_out=1), None)
    assert (tmp_path / "large.csv.out").read_bytes() == b"".join(line + b"\n" for line in large)
    assert (tmp_path / "299.out").read_bytes() == b"299\n"
    assert len(list(tmp_path.rglob("*.out"))) == 302
