"""Filters and the join: what the predictor gets, what is kept, and what is refused."""

import json
import time

import jmespath
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonpath import JSONPathEnvironment
from pydantic import ValidationError

from stream_infer.errors import Stage, UnshapableInput, UnshapableOutput
from stream_infer.jobs.results import results_of
from stream_infer.records import JSON, Output, Payload
from stream_infer.results import Join, ResultFormat, Results
from stream_infer.shaping.filters import MOST_STEPS, FilterFailed, MalformedFilter
from stream_infer.shaping.languages import compile_filter
from stream_infer.shaping.shaping import Shaping, shaping_of
from stream_infer.shaping.sizes import is_larger

DOCUMENT = {"id": 7, "features": [1, 2, 3], "who": {"name": "Ada", "born": 1815}}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("$", DOCUMENT),
        ("$.features", [1, 2, 3]),
        ("$.features[-1]", 3),
        ("$.features[1:]", [2, 3]),
        ("$.features[0,2]", [1, 3]),
        ("$['id','features']", {"id": 7, "features": [1, 2, 3]}),
        ("$.who['name','absent']", {"name": "Ada"}),
        ("$.who.*", ["Ada", 1815]),
        ("$..born", [1815]),
        ("$.features[?@ > 1]", [2, 3]),
        ("$.absent.*", []),
        ("features", [1, 2, 3]),
        ("who.name", "Ada"),
        ("absent.name", None),
        ("{n: who.name, most: max(features)}", {"n": "Ada", "most": 3}),
        ("features[?@ > `1`]", [2, 3]),
        ("to_string(id)", "7"),
    ],
)
def test_what_a_filter_finds(text, found):
    assert compile_filter(text)(DOCUMENT) == found


@pytest.mark.parametrize(
    ("text", "position", "words"),
    [
        ("$.a[", 5, "JSONPath"),
        ("$x", 2, "'x'"),
        ("$.a|$.b", 4, "'|'"),
        ("$[?match(@.a, 'x')]", 4, "regular expressions are not run here"),
        ("a[", 3, "JMESPath"),
        ("a..b", 3, "JSONPath begins with $"),
        ("a && nosuch(b)", 6, "no function nosuch()"),
        ("'open", 1, "Unclosed"),
    ],
)
def test_a_filter_that_does_not_compile_says_where(text, position, words):
    with pytest.raises(MalformedFilter) as refused:
        compile_filter(text)

    assert f"character {position}" in str(refused.value)
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [("$.a", {"b": 1}), ("$.a[3]", {"a": [1]}), ("$['a','b']", [1]), ("sort_by(@, &a)", 3), ("length()", "x")],
)
def test_a_filter_that_cannot_be_applied_says_why(text, value):
    with pytest.raises(FilterFailed):
        compile_filter(text)(value)


@pytest.mark.parametrize(
    "text",
    [
        "|".join(["[@,@][]"] * 60),
        "|".join(["join('',[@,@])"] * 60),
        "|".join(["[@,@]"] * 60) + "|to_string(@)",
        "$" + "..*" * 12,
        "$[?@[?@[?@..*]]]..*",
    ],
)
def test_a_filter_has_a_bounded_number_of_steps(text):
    """Some of these would fill any memory, the others work for hours."""
    deep: object = "x"
    for _ in range(40):
        deep = [deep, deep]
    value = "x" if "join" in text else [1, [2]] if "@" in text and "?" not in text else deep
    began = time.monotonic()

    with pytest.raises(FilterFailed, match=r"more than [\d,]+ (steps|bytes)"):
        compile_filter(text)(value)

    assert time.monotonic() - began < 20, "it takes about a second"


@pytest.mark.parametrize("text", ["$[?count($..*) > 1]", "$[?$[?1 == 2]]", "$[?@[0] > 4990]", "[?[0] > `4990`]"])
def test_what_a_filter_says_of_many_is_no_matter_of_minutes(text):
    began = time.monotonic()

    compile_filter(text)([[n, [n]] for n in range(5000)])

    assert time.monotonic() - began < 20, "it takes a tenth of a second"


def test_a_value_that_shares_its_parts_is_measured_without_writing_it():
    value: object = "x" * 100
    for _ in range(60):
        value = [value, value]

    assert is_larger(value, 1_000_000)
    assert not is_larger({"a": [1, "bc"]}, 20)
    assert is_larger({"a": "x" * 30}, 20)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("abcde"), inner, max_size=4),
    max_leaves=20,
)
PATHS = st.lists(st.sampled_from([".a", ".b", "[0]", "[-1]", ".*", "..a", "[0:2]", "[?@.a]"]), max_size=4)


@settings(deadline=None)
@given(JSON_VALUES, PATHS)
def test_a_path_finds_what_the_library_finds(value, segments):
    text = "$" + "".join(segments)
    expected = JSONPathEnvironment(strict=True).findall(text, value if isinstance(value, dict | list) else [])

    try:
        found = compile_filter(text)(value)
    except FilterFailed:
        assert expected == []
        return

    is_singular = all(segment in (".a", ".b", "[0]", "[-1]") for segment in segments)
    if not segments:
        assert found == value
    else:
        assert ([found] if is_singular else found) == expected


@settings(deadline=None)
@given(JSON_VALUES, st.sampled_from(["a", "a.b", "[0]", "a[].b", "*.a", "[?a].b", "keys(@)", "{x: a, y: @}", "@"]))
def test_an_expression_finds_what_the_library_finds(value, text):
    try:
        expected = jmespath.search(text, value)
    except ValueError:
        with pytest.raises(FilterFailed):
            compile_filter(text)(value)
        return

    assert compile_filter(text)(value) == expected


def shape(said: dict, sent: bytes, out: bytes, sent_type: str = JSON, out_type: str = JSON) -> Output:
    return Shaping(Results(**said)).shape_output(Payload(sent, sent_type), Output(out, out_type))


def test_the_input_filter_makes_what_the_predictor_gets():
    shaping = Shaping(Results(input_filter="$.features"))

    assert shaping.shape_input(Payload(orjson.dumps(DOCUMENT))) == Payload(b"[1,2,3]")
    assert shaping.shapes_input and not shaping.shapes_output


def test_an_input_without_what_the_filter_names_is_refused_at_the_filter():
    with pytest.raises(UnshapableInput, match=r"input_filter: \$.features finds nothing") as refused:
        Shaping(Results(input_filter="$.features")).shape_input(Payload(b'{"a": 1}'))

    assert refused.value.stage is Stage.INPUT_FILTER


@pytest.mark.parametrize(
    ("data", "content_type"), [(b"\xff\xd8", "image/jpeg"), (b"{", JSON), (b"a,b\nc,d", "text/csv")]
)
def test_an_input_that_no_filter_can_read_is_refused(data, content_type):
    with pytest.raises(UnshapableInput):
        Shaping(Results(input_filter="$.a")).shape_input(Payload(data, content_type))


def test_a_row_of_csv_is_the_list_of_its_cells():
    shaping = Shaping(Results(input_filter="$[1:]"))

    assert shaping.shape_input(Payload(b'7,"a, b",2.50\n', "text/csv")) == Payload(b'"a, b",2.50', "text/csv")


@pytest.mark.parametrize(
    ("said", "sent", "out", "kept"),
    [
        ({"join": "input"}, {"n": 1}, [0.5], {"input": {"n": 1}, "output": [0.5]}),
        ({"join": {"input": "x", "output": "y"}}, 3, "z", {"x": 3, "y": "z"}),
        ({"join": {"output": "y", "merge": True}}, {"n": 1}, "z", {"n": 1, "y": "z"}),
        ({"join": {"output": "y", "merge": True}}, {"y": 1, "n": 1}, "z", {"y": "z", "n": 1}),
        ({"join": {"input": "x", "output": "y", "merge": True}}, [1], "z", {"x": [1], "y": "z"}),
        ({"output_filter": "$.label"}, {"n": 1}, {"label": "cat", "score": 1}, "cat"),
        ({"output_filter": "label"}, {"n": 1}, {"score": 1}, None),
        ({"join": "input", "output_filter": "$.output.label"}, {"n": 1}, {"label": "cat"}, "cat"),
        (
            {"join": {"output": "y", "merge": True}, "output_filter": "$['n','y']"},
            {"n": 1, "m": 2},
            3,
            {"n": 1, "y": 3},
        ),
    ],
)
def test_what_is_kept_of_an_output(said, sent, out, kept):
    shaped = shape(said, json.dumps(sent).encode(), json.dumps(out).encode())

    assert (json.loads(shaped.value), shaped.content_type) == (kept, JSON)


def test_what_was_sent_is_joined_to_the_byte():
    sent = b'{"n": 123456789012345678901234567890, "x": 1e400}'
    sent = sent.replace(b', "x": 1e400', b"")  # beyond a float: no JSON here

    assert sent in (shape({"join": "input"}, sent, b"1").value or b"")


def test_what_is_no_json_is_joined_as_text_or_base64():
    shaped = shape({"join": "input"}, b"caf\xc3\xa9", b"\x00\x01", "text/plain", "application/octet-stream")

    assert json.loads(shaped.value) == {
        "input": "café",
        "output": {"base64": "AAE=", "content_type": "application/octet-stream"},
    }


def test_a_row_of_csv_is_joined_with_a_row_of_csv():
    shaped = shape({"join": {"merge": True}}, b"1,2", b"cat", "text/csv", "text/csv; charset=utf-8")

    assert shaped == Output(b"1,2,cat", "text/csv")


def test_an_output_that_the_filter_cannot_read_is_refused_at_the_filter():
    with pytest.raises(UnshapableOutput, match="output_filter: a filter reads JSON") as refused:
        shape({"output_filter": "$.a"}, b"1", b"\x00", out_type="image/png")

    assert refused.value.stage is Stage.OUTPUT_FILTER


def test_what_is_not_stored_is_not_joined():
    assert Shaping(Results(join="input")).shape_output(Payload(b"1"), Output(None)) == Output(None)


@settings(deadline=None)
@given(JSON_VALUES, JSON_VALUES)
def test_a_join_holds_both_and_can_be_done_again(sent, out):
    """A shaped entry is predicted again after an abort: the same comes of it."""
    once, again = (shape({"join": "input"}, orjson.dumps(sent), orjson.dumps(out)) for _ in range(2))

    assert once == again
    assert orjson.loads(once.value) == orjson.loads(orjson.dumps({"input": sent, "output": out}))


def test_nothing_is_shaped_unless_it_is_asked_for():
    assert shaping_of(None) is None
    assert shaping_of(Results(format=ResultFormat.PARQUET)) is None
    assert shaping_of(Results(join="none")) is None


def test_a_job_says_more_than_its_api():
    api = Results(format=ResultFormat.PARQUET, output_filter="$.a", join="input")

    assert results_of(Results(), None) is None
    assert results_of(api, None) == api
    assert results_of(api, Results(join="none")) == Results(format=ResultFormat.PARQUET, output_filter="$.a")
    assert results_of(api, Results(output_filter=None, join="none", format=ResultFormat.JSONL)) is None


@pytest.mark.parametrize(
    "said",
    [
        {"format": "<xml>"},
        {"join": "output"},
        {"join": {"input": "a", "output": "a"}},
        {"input_filter": ""},
        {"output_filter": "a" * 1001},
        {"output_filter": "$."},
        {"outputfilter": "$"},
    ],
)
def test_settings_that_cannot_hold_are_refused(said):
    with pytest.raises(ValidationError):
        Results(**said)


def test_the_names_of_a_join():
    assert Results().joined is None
    assert Results(join="input").joined == Join(input="input", output="output")
    assert MOST_STEPS == 500_000
