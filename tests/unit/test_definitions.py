"""What stands of deployed APIs on their topics, and what settings come of it."""

import json

import pytest

from stream_infer.definitions import (
    ApiState,
    Definition,
    Report,
    code_key,
    decode_definition,
    decode_report,
    definition_records,
    report_record,
    summed,
    tombstones,
    with_definitions,
)
from stream_infer.settings import Settings
from stream_infer.topics import Topics

TOPICS = Topics("p")
SHA = "a" * 64
LIVE, PREPARING, FAILED = ApiState.LIVE, ApiState.PREPARING, ApiState.FAILED


def definition(name="cats", revision="r1", code=SHA, **keys):
    given = {"name": name, "predictor": {"type": "native", "target": "model.py:Cats"}, **keys}
    return Definition(name=name, revision=revision, definition=given, code=code, at=1.0)


def report(by="pod-0", state=LIVE, at=1.0):
    return Report(name="cats", revision="r1", by=by, state=state, at=at)


def test_a_definition_is_the_same_when_it_is_read_again():
    [record] = definition_records(definition(), [], TOPICS)
    read = decode_definition(record.value)

    assert (record.topic, record.key) == ("p.apis", b"cats")
    assert read == definition()
    assert read.api.predictor.target == "model.py:Cats"


def test_another_code_is_another_version_of_the_api_and_another_revision_is_none():
    versions = {one.api.version for one in (definition(), definition(code="b" * 64), definition(code=None))}

    assert len(versions) == 3
    assert definition(revision="r2").api.version == definition().api.version
    assert definition(revision="r2").is_as(definition())
    assert not definition(partitions=2).is_as(definition())


@pytest.mark.parametrize(
    "change",
    [
        {"definition": {"name": "cats"}},
        {"definition": {"name": "dogs", "predictor": {"type": "native", "target": "a.py:A"}}},
        {"code": "../../etc/passwd"},
        {"revision": "../up"},
        {"revision": ""},
    ],
)
def test_what_defines_no_api_is_unreadable(change):
    value = json.dumps({**definition().model_dump(), **change}).encode()

    with pytest.raises(ValueError, match=r".+"):
        decode_definition(value)


def test_what_is_said_of_a_revision_is_forgotten_with_it():
    said = report_record(report(), TOPICS)
    _, forgotten = definition_records(definition(revision="r2"), [report()], TOPICS)

    assert decode_report(said.value) == report()
    assert (said.topic, said.key) == (forgotten.topic, forgotten.key) == ("p.api-states", b"cats/r1/pod-0")
    assert forgotten.value is None
    assert [(one.topic, one.key, one.value) for one in tombstones("cats", [report(), report("pod-1")], TOPICS)] == [
        ("p.apis", b"cats", None),
        ("p.api-states", b"cats/r1/pod-0", None),
        ("p.api-states", b"cats/r1/pod-1", None),
    ]


@pytest.mark.parametrize(
    ("said", "state"),
    [
        ([("pod-0", LIVE, 1.0), ("pod-1", PREPARING, 2.0)], LIVE),
        ([("pod-0", LIVE, 1.0), ("pod-1", FAILED, 2.0)], LIVE),
        ([("pod-0", FAILED, 1.0), ("pod-1", PREPARING, 2.0)], PREPARING),
        ([("pod-0", FAILED, 2.0), ("pod-1", PREPARING, 1.0)], FAILED),
        ([("pod-0", FAILED, 1.0)], FAILED),
    ],
)
def test_one_pod_does_not_speak_for_all(said, state):
    assert summed([report(*one) for one in said]).state is state


def test_nothing_is_made_of_nothing_said():
    assert summed([]) is None


def test_deployed_apis_stand_behind_those_of_the_file_which_are_its_own():
    of_file = {"name": "cats", "predictor": {"type": "native", "target": "other.py:Cats"}}
    settings = Settings.model_validate({"apis": [of_file]})

    merged = with_definitions(settings, [definition("mice"), definition("dogs"), definition("cats")])

    assert merged.names == ["cats", "dogs", "mice"]
    assert merged.api("cats").predictor.target == "other.py:Cats"
    assert with_definitions(settings, [definition("cats")]) is settings


def test_code_lies_where_its_content_says():
    assert code_key(SHA) == f"_apis/code/{SHA}.tar.gz"
