"""What every format of results has to keep: the lines come back in order, and the same lines make the same bytes."""

import io
import json

import duckdb
import orjson
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.formats import object_formats
from connectors.formats.columns import Inconsistent, fits, kind_of, merged, without_empty
from connectors.formats.jsonl import result_line
from connectors.formats.lines import line_of, read_result
from connectors.stores.keys import checked_key
from examples.plugin.stream_infer_shelf.xz import XzLines
from stream_infer.headers import item_id_of, ordinal_of, read_item, result_headers
from stream_infer.ports import ObjectFormat
from stream_infer.records import JSON, REFERENCE, Item, Message
from stream_infer.sink.packed_lines import Line, PackedLines
from tests.support.memory_store import MemoryStore

FORMATS = {**object_formats(), "jsonl.xz": XzLines()}  # the last one is of another package


class Items:
    """The objects of items, as a sink would have put them."""

    def __init__(self, format_: ObjectFormat, lines: PackedLines) -> None:
        self.store = MemoryStore()
        self.types: dict[str, str] = {}
        for one in format_.items(lines):
            assert one.name not in self.types, "two items have two objects"
            self.store.put(one.name, one.data)
            self.types[one.name] = one.content_type

    def get(self, name: str) -> bytes:
        return self.store.get(name)

    def uri(self, name: str) -> str:
        return f"s3://b/a/j/items/{name}"


def line(n: int, value: bytes, content_type: str = JSON, key: bytes | None = None, **ids: str) -> Line:
    item = Item(Message("t", 0, n, key, b"", (), 0), item_id_of("j", n), job_id="j", **ids)
    message = Message("t", 0, n, key, value, result_headers(item, content_type), 0)
    read = read_item(message)
    return Line(n, ordinal_of(read.job_id, read.item_id), result_line(message))


def results(*outputs: object) -> PackedLines:
    return PackedLines([line(n, orjson.dumps(output)) for n, output in enumerate(outputs)])


@pytest.fixture(params=sorted(FORMATS))
def format_(request: pytest.FixtureRequest) -> ObjectFormat:
    return FORMATS[request.param]


def read_back(format_: ObjectFormat, lines: PackedLines) -> list[bytes]:
    return list(format_.decode(format_.encode(lines), Items(format_, lines)))


def named(text: bytes) -> dict[str, object]:
    """What of a line every format keeps: `object` says where an item's own object is."""
    return {name: value for name, value in json.loads(text).items() if name != "object"}


LINES = [
    line(0, b'{"label": "cat", "score": 0.5}', custom_id="mine/../x", source="s3://b/pictures/cat.jpg"),
    line(3, b'{"label": "dog", "score": 1}', key=b"dog.jpg"),
    line(4, b"\x89PNG\x00", "image/png", key=b"\xff\x00", source="file:///x/y.png"),
    line(7, b"a,b\n1,2\n", "text/csv; charset=utf-8"),
    line(8, b"{oops", JSON),
    line(9, orjson.dumps({"uri": "s3://b/_payloads/results/t-0-9", "content_type": "image/png"}), REFERENCE),
    line(10, orjson.dumps({"base64": "AA==", "content_type": "image/png"})),
    line(11, b'{"type": "Point"}', "application/geo+json"),
    line(12, b'"' + b"x" * 9000 + b'"'),
    line(13, b"null"),
    line(14, b"123456789012345678901234567890"),
    line(15, '{"output": "\\"output\\":", "ü": "\\ud83d\\ude00"}'.encode(), custom_id='"output":'),
]


def test_every_kind_of_result_comes_back_in_its_place(format_: ObjectFormat):
    lines = PackedLines(LINES)
    found = read_back(format_, lines)

    expected = [named(one.data) for one in lines]
    if format_.suffix == ".items.jsonl":
        copied = next(one for one in expected if one.get("content_type") == REFERENCE)
        copied["output"] = {"uri": "s3://b/a/j/items/item-9.png", "content_type": "image/png"}
    if format_.suffix == ".parquet":
        expected[2]["key"] = '{"base64":"/wA="}'  # the column is of texts
    assert [named(one) for one in found] == expected
    assert all(one.endswith(b"\n") and one.count(b"\n") == 1 for one in found)


def test_the_same_lines_make_the_same_object(format_: ObjectFormat):
    lines = PackedLines(LINES)

    assert format_.encode(lines) == format_.encode(PackedLines(LINES))
    assert [*format_.items(lines)] == [*format_.items(lines)]


def test_what_is_no_such_object_is_said_to_be_none(format_: ObjectFormat):
    if format_.suffix == ".items.jsonl":
        return
    with pytest.raises(ValueError, match=r"gzip|Parquet|xz"):
        list(format_.decode(b"no such thing", Items(format_, PackedLines())))


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**66), 2**66)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "A", "", "x.y"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(sorted(set(FORMATS) - {"parquet"})), st.lists(VALUES, min_size=1, max_size=6))
def test_any_json_comes_back_as_it_was(name, values):
    lines = PackedLines([line(n, json.dumps(value).encode()) for n, value in enumerate(values)])

    assert [named(one)["output"] for one in read_back(FORMATS[name], lines)] == [
        json.loads(json.dumps(value)) for value in values
    ]


@settings(deadline=None, max_examples=150)
@given(st.lists(VALUES, min_size=1, max_size=6))
def test_any_json_comes_back_from_parquet_but_for_what_is_empty_there(values):
    lines = PackedLines([line(n, json.dumps(value).encode()) for n, value in enumerate(values)])
    data = FORMATS["parquet"].encode(lines)
    found = [named(one)["output"] for one in FORMATS["parquet"].decode(data, Items(FORMATS["parquet"], lines))]

    if "output_json" in pq.read_schema(io.BytesIO(data)).names:
        assert found == values
    else:
        assert [hollow(one) for one in found] == [hollow(one) for one in values]


@settings(deadline=None, max_examples=150)
@given(VALUES, VALUES)
def test_what_fits_a_kind_would_not_change_it(one, other):
    one, other = (orjson.loads(json.dumps(value)) for value in (one, other))
    try:
        kind = kind_of(one)
        expected = merged(kind, kind_of(other))
    except Inconsistent:
        return
    assert not fits(kind, other) or expected == kind
    assert fits(expected, None)


def hollow(value: object) -> object:
    """Without members that are null, empty or hold nothing but such: a type may be all that is known of them."""
    if isinstance(value, dict):
        inner = {name: hollow(one) for name, one in value.items()}
        return {name: one for name, one in inner.items() if one not in (None, [], {})} or None
    if isinstance(value, list):
        held = [hollow(one) for one in value]
        return held if any(one is not None for one in held) else None
    return value


def table(*outputs: object) -> list[dict[str, object]]:
    return pq.read_table(io.BytesIO(FORMATS["parquet"].encode(results(*outputs)))).to_pylist()


@pytest.mark.parametrize(
    ("outputs", "typed"),
    [
        ([{"label": "cat", "score": 1}, {"label": "dog", "score": 0.5}], "struct<label: string, score: double>"),
        ([{"a": 1}, {"b": None, "a": None}], "struct<a: int64>"),
        ([{"boxes": [[1, 2], []]}, {"boxes": []}], "struct<boxes: list<element: list<element: int64>>>"),
        ([[0.5, 1], [2]], "list<element: double>"),
        (["cat", None], "string"),
        ([True, False], "bool"),
        ([2**60, 1], "int64"),
    ],
)
def test_outputs_that_agree_are_one_typed_column(outputs, typed):
    schema = pq.read_schema(io.BytesIO(FORMATS["parquet"].encode(results(*outputs))))

    assert str(schema.field("output").type) == typed
    assert "output_json" not in schema.names


@pytest.mark.parametrize(
    "outputs",
    [
        [{"a": 1}, {"a": "x"}],
        [{"a": 1}, [1]],
        [1, True],
        [2**60, 0.5],
        [2**63],
        [None, None],
        [{}],
        [[[]]],
        [{str(n): n for n in range(501)}],
    ],
)
def test_outputs_that_do_not_agree_are_json_as_text(outputs):
    rows = table(*outputs)

    assert [json.loads(row["output_json"]) for row in rows] == outputs
    assert "output" not in rows[0]


def test_the_common_columns_are_those_that_something_stands_in():
    lines = PackedLines(LINES)
    table_ = pq.read_table(io.BytesIO(FORMATS["parquet"].encode(lines)))

    assert table_.column_names == [
        "item_id", "ordinal", "custom_id", "key", "source", "content_type", "output_json", "output_bytes", "output_uri",
    ]  # fmt: skip
    assert table_.column("ordinal").to_pylist()[:3] == [0, 3, 4]
    assert table_.column("output_bytes").to_pylist()[2] == b"\x89PNG\x00"
    assert pq.read_schema(io.BytesIO(FORMATS["parquet"].encode(results(1)))).names == ["item_id", "ordinal", "output"]


def test_a_large_object_is_written_in_groups_of_rows():
    outputs = [{"n": n, "text": "x" * 1000} for n in range(3000)]
    data = FORMATS["parquet"].encode(results(*outputs))

    assert pq.ParquetFile(io.BytesIO(data)).metadata.num_row_groups == 4
    assert [
        orjson.loads(one)["output"]["n"]
        for one in FORMATS["parquet"].decode(data, Items(FORMATS["parquet"], PackedLines()))
    ] == [*range(3000)]


def test_duckdb_and_pandas_read_objects_together_whatever_their_schemas(tmp_path):
    parts = [
        results({"label": "cat", "score": 1}),
        PackedLines([line(1, b'{"label": "dog", "score": 0.5, "boxes": [[1, 2.5]]}', custom_id="c1")]),
        results({"label": 3}, "unlike"),
        PackedLines(LINES),
    ]
    for number, part in enumerate(parts):
        (tmp_path / f"{number}.parquet").write_bytes(FORMATS["parquet"].encode(part))

    found = duckdb.sql(
        f"select item_id, output.label, output.score, output_json from read_parquet('{tmp_path}/*.parquet', "
        "union_by_name=true) order by filename, ordinal"
    ).fetchall()
    frame = pd.concat([pd.read_parquet(file) for file in sorted(tmp_path.iterdir())])

    assert found[:3] == [("j-0", "cat", 1.0, None), ("j-1", "dog", 0.5, None), ("j-0", None, None, '{"label":3}')]
    assert len(frame) == len(found) == 16
    assert frame.iloc[1]["output"]["label"] == "dog"


PAIRS = [
    1,
    "x",
    True,
    0.5,
    [1],
    ["x"],
    [[1]],
    {"a": 1},
    [{"a": 1}],
    {"a": "x"},
    {"a": [1]},
    {"a": {"b": 1}},
    {"A": [1]},
]


@pytest.mark.parametrize("one", PAIRS)
@pytest.mark.parametrize("other", PAIRS)
def test_what_agrees_is_read_together_and_what_does_not_is_once_it_is_plain(one, other, tmp_path):
    """The rule is ours, the reader is not: DuckDB says which columns it can make one."""
    parquet = FORMATS["parquet"]
    objects = [parquet.encode(results({"m": one})), parquet.encode(results({"m": other}))]
    shapes = {parquet.shape_of(data) for data in objects}
    if not parquet.agree(shapes):
        objects = [parquet.plain(data) for data in objects]
        assert [parquet.shape_of(data) for data in objects] == [None, None]
    for number, data in enumerate(objects):
        (tmp_path / f"{number}.parquet").write_bytes(data)

    rows = duckdb.sql(f"select * from read_parquet('{tmp_path}/*.parquet', union_by_name=true)").fetchall()
    assert len(rows) == 2


def test_a_plain_object_has_the_same_lines_and_is_plain_already():
    parquet = FORMATS["parquet"]
    lines = PackedLines([line(0, b'{"a": [1.5], "b": null}', custom_id="c"), LINES[2], LINES[5], line(20, b"null")])
    typed = parquet.encode(lines)
    plain = parquet.plain(typed)

    assert parquet.shape_of(typed) == '{"a":["s"]}'
    assert [*parquet.decode(plain, Items(parquet, lines))] == [*parquet.decode(typed, Items(parquet, lines))]
    assert parquet.plain(plain) == plain


def test_a_shape_is_bounded():
    many = {f"member_{n}_" + "x" * 40: n for n in range(200)}

    assert FORMATS["parquet"].shape_of(FORMATS["parquet"].encode(results(many))) is None
    for name in set(FORMATS) - {"parquet"}:
        assert FORMATS[name].shape_of(b"") is None
        assert FORMATS[name].agree({"x"})
        assert FORMATS[name].plain(b"x") == b"x"


def names(lines: PackedLines) -> list[str]:
    return [one.name for one in FORMATS["per-item"].items(lines)]


def test_an_items_object_is_called_by_its_id_or_its_source_and_its_place():
    assert names(PackedLines(LINES)) == [
        "mine_.._x-0.json",
        "item-3.json",
        "y-4.png",
        "item-7.csv",
        "item-8.json",
        "item-9.png",
        "item-10.json",
        "item-11.json",
        "item-12.json",
        "item-13.json",
        "item-14.json",
        "output-15.json",
    ]


CALLED = st.tuples(st.none() | st.text(min_size=1, max_size=300), st.none() | st.text(min_size=1))


@settings(deadline=None)
@given(st.lists(CALLED, max_size=8), st.sampled_from(["image/png", JSON, "x/\u20ac", "text/html"]))
def test_names_are_safe_and_differ_whatever_items_are_called(called, content_type):
    lines = PackedLines()
    for n, (custom_id, source) in enumerate(called):
        result = read_result(line(n, b"1", content_type).data)
        members = {"item_id": f"j-{n}", "custom_id": custom_id, "source": source}
        lines.append(Line(n, n, line_of(result._replace(named=members))))
    found = names(lines)

    assert len({name.lower() for name in found}) == len(called)
    for name in found:
        assert name.isascii() and len(name) <= 160 and "/" not in name and not name.startswith(("-", "."))
        assert checked_key(f"a/j/items/{name}")


def test_an_items_object_holds_its_output_and_nothing_else():
    lines = PackedLines(LINES)
    found = {one.name: one for one in FORMATS["per-item"].items(lines)}

    assert (found["y-4.png"].data, found["y-4.png"].content_type) == (b"\x89PNG\x00", "image/png")
    assert found["mine_.._x-0.json"].data == b'{"label": "cat", "score": 0.5}'
    assert found["item-7.csv"].data == b"a,b\n1,2\n"
    assert found["item-14.json"].data == b"123456789012345678901234567890"
    assert found["item-9.png"].copied_from == "s3://b/_payloads/results/t-0-9"


@pytest.mark.parametrize("content_type", ["x/\u20ac", "a/b\r\nX-Evil: 1", " ", "x" * 300, "image/png "])
def test_a_type_that_no_header_can_hold_is_that_of_any_bytes(content_type):
    item = line(0, b"\x89", "image/png")
    result = read_result(item.data)._replace(content_type=content_type)

    [found] = FORMATS["per-item"].items(PackedLines([Line(0, 0, line_of(result))]))
    assert (found.content_type, found.data) == ("application/octet-stream", b"\x89")


def test_the_list_of_items_holds_small_outputs_and_names_of_all(tmp_path):
    listed = [json.loads(one) for one in FORMATS["per-item"].encode(PackedLines(LINES)).splitlines()]

    assert listed[0]["output"] == {"label": "cat", "score": 0.5}
    assert listed[0]["object"] == "items/mine_.._x-0.json"
    assert "output" not in listed[8] and len(json.dumps(listed[8])) < 200


def test_several_gzipped_objects_behind_one_another_are_one(tmp_path):
    import gzip

    data = b"".join(FORMATS["jsonl.gz"].encode(results(n)) for n in range(3))

    assert [json.loads(one)["output"] for one in gzip.decompress(data).splitlines()] == [0, 1, 2]


def test_nothing_is_lost_of_a_line_that_is_taken_apart():
    for one in PackedLines(LINES):
        assert json.loads(line_of(read_result(one.data))) == json.loads(one.data)
    assert without_empty({"a": None, "b": [None, {"c": None}]}) == {"b": [None, {}]}
