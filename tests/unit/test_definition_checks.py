"""Which definitions a gateway takes, and what a merge patch makes of one."""

import gzip
import io
import tarfile
import tracemalloc

import pytest

from stream_infer.definitions import UNPACKED, decode_definition
from stream_infer.gateway.deployments.checks import LONGEST_DEFINITION, MOST_FILES, check_archive, define, merge_patch
from stream_infer.http.json_text import parse_json
from stream_infer.http.problems import Problem
from stream_infer.local.preparing import Prepared
from stream_infer.local.sighting import HeardDefinitions, encode_definitions
from stream_infer.settings import ApiSettings, Settings


@pytest.mark.parametrize(
    ("target", "patch", "merged"),  # RFC 7396, appendix A
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_a_merge_patch_is_that_of_the_rfc(target, patch, merged):
    assert merge_patch(target, patch) == merged


CATS = {"name": "cats", "predictor": {"type": "native", "target": "model.py:Cats"}}


def test_a_definition_keeps_what_was_given_and_no_more():
    made = define(CATS, "a" * 64, Settings(), 5.0)

    assert (made.name, made.definition, made.code, made.at) == ("cats", CATS, "a" * 64, 5.0)
    assert made.revision != define(CATS, "a" * 64, Settings(), 5.0).revision


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"realtime": {"listen": "127.0.0.1:8080"}}, "both listen on 127.0.0.1:8080"),
        ({"webhook": {"url": "https://a.example/"}}, "no secret to sign with"),
        ({"predictor": {"type": "native", "target": "/model.py:Cats"}}, "outside of the code"),
        ({"predictor": {"type": "native", "target": "a/../../model.py:Cats"}}, "outside of the code"),
        ({"predictor": {"type": "cortex", "path": "a.py", "project": "../b"}}, "outside of the code"),
        ({"batchin": {}}, "Did you mean 'batching'"),
    ],
)
def test_what_no_file_could_say_no_definition_may(change, words):
    with pytest.raises(Problem) as refused:
        define({**CATS, **change}, "a" * 64, Settings(), 0.0)
    assert refused.value.status == 422
    assert words in str(refused.value.document)


def test_an_api_that_is_replaced_does_not_stand_in_its_own_way():
    realtime = {**CATS, "realtime": {"listen": "127.0.0.1:8090"}}
    before = Settings.model_validate({"apis": [realtime]})

    assert define(realtime, "a" * 64, before, 0.0).name == "cats"


def archive(members, mode="w:gz"):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=mode) as tar:
        for name, size in members:
            info = tarfile.TarInfo(name)
            info.size = size
            tar.addfile(info, io.BytesIO(bytes(size)))
    return packed.getvalue()


API = ApiSettings.model_validate(CATS)


def test_the_code_has_the_predictors_file_however_its_name_is_written():
    assert len(check_archive(archive([("./model.py", 1)]), API, 1000)) == 64
    with pytest.raises(Problem, match=r"Did you mean 'modell\.py'"):
        check_archive(archive([("modell.py", 1)]), API, 1000)


def test_code_is_bounded_in_what_it_unpacks_to():
    with pytest.raises(Problem) as refused:
        check_archive(archive([("model.py", 1), ("zeros", 1000 * UNPACKED)]), API, 1000)
    assert refused.value.status == 413
    with pytest.raises(Problem, match=f"{MOST_FILES:,} files"):
        check_archive(archive([(f"f{number}", 0) for number in range(MOST_FILES + 1)]), API, 10**6)


@pytest.mark.parametrize(
    "data",
    [b"", b"x", archive([("model.py", 1)])[:-20], archive([("model.py", 1)], "w")],
    ids=["empty", "no archive", "broken off", "not packed"],
)
def test_what_is_no_archive_is_refused(data):
    with pytest.raises(Problem, match=r"tar\.gz"):
        check_archive(data, API, 1000)


def test_what_patches_add_up_to_has_the_bound_of_what_is_sent():
    patched = merge_patch(CATS, {"predictor": {"config": {"words": "x" * LONGEST_DEFINITION}}})
    with pytest.raises(Problem, match="more than 262,144 bytes") as refused:
        define(patched, "a" * 64, Settings(), 5.0)
    assert refused.value.status == 413


def test_whatever_is_taken_can_be_read_where_it_is_told_and_handed_on():
    """Past bug: a definition of 199 levels was taken, and nobody could read its record."""
    outcomes = []
    for levels in range(180, 200):
        config = {"deep": parse_json(b"[" * levels + b"]" * levels)}
        value = {**CATS, "predictor": {**CATS["predictor"], "config": config}}
        try:
            made = define(value, "a" * 64, Settings(), 5.0)
        except Problem as problem:
            outcomes.append(problem.status)
            continue
        heard = HeardDefinitions()
        told = [heard.hear(line) for line in encode_definitions({"cats": made}).splitlines()]
        assert told == [None, {"cats": made}]
        prepared = Prepared(definition=decode_definition(made.model_dump_json().encode()))
        assert Prepared.model_validate_json(prepared.model_dump_json()).definition == made
        outcomes.append(202)
    assert outcomes == sorted(outcomes)
    assert set(outcomes) == {202, 422}


def pax_header(size):
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, size
    return header.tobuf(tarfile.USTAR_FORMAT)


def test_a_header_is_not_held_however_large_it_says_it_is():
    """Past bug: 3 MB of code took 600 MB of a gateway's memory."""
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=1) as zipped:
        zipped.write(pax_header(200 * 2**20))
        for _ in range(200):
            zipped.write(bytes(2**20))
    tracemalloc.start()
    try:
        with pytest.raises(Problem, match="headers of its members"):
            check_archive(packed.getvalue(), API, 64 * 2**20)
        assert tracemalloc.get_traced_memory()[1] < 20 * 2**20
    finally:
        tracemalloc.stop()


def test_headers_behind_headers_are_no_fault_of_the_gateways():
    packed = gzip.compress((pax_header(512) + b"10 path=a\n".ljust(512, b"\0")) * 3000)
    with pytest.raises(Problem, match=r"is no tar\.gz"):
        check_archive(packed, API, 1000)
