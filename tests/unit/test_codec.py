"""What a predictor gets for a payload, and what becomes of its output."""

import numpy as np
import orjson
import pytest

from stream_infer.engine.codec import decoder_for, encode
from stream_infer.errors import RefusedOutput, UndecodableItem


class Tensor:
    def tolist(self):
        return [1.5, 2.5]


@pytest.mark.parametrize(
    ("data", "content_type", "item"),
    [
        (b'{"a": 1}', "application/json", {"a": 1}),
        (b"[1]", "Application/JSON; charset=utf-8", [1]),
        (b"2", "application/cloudevents+json", 2),
        ("käse".encode(), "text/plain", "käse"),
        ("käse".encode("latin-1"), 'text/plain; charset="latin-1"', "käse"),
        (b"\xff\xd8", "image/jpeg", b"\xff\xd8"),
        (b'{"a": 1}', "application/x-ndjson", b'{"a": 1}'),
    ],
)
def test_an_item_is_what_its_content_type_says(data, content_type, item):
    assert decoder_for(content_type)(data) == item


@pytest.mark.parametrize(
    ("data", "content_type", "message"),
    [
        (b"", "application/json", "the item is empty, and its content type is JSON"),
        (b'{"a":\n tru}', "application/json", "the item is not JSON: invalid literal.* at line 2, column"),
        (b'{"a": "\xff"}', "application/json", "the item is not JSON: byte 7 of 10 is not UTF-8"),
        (b"\xff", "text/plain", "the item is not utf-8 text: byte 0 of 1"),
        (b"a", "text/plain; charset=klingon", "unknown charset 'klingon'"),
    ],
)
def test_an_item_that_is_not_what_it_says_is_told_where(data, content_type, message):
    with pytest.raises(UndecodableItem, match=message):
        decoder_for(content_type)(data)


@pytest.mark.parametrize(
    ("output", "data", "content_type"),
    [
        ("cat", b'"cat"', "application/json"),
        ({"a": [1, 2.5, None]}, b'{"a":[1,2.5,null]}', "application/json"),
        ({"label": "null"}, b'{"label":"null"}', "application/json"),
        (np.float32(0.5), b"0.5", "application/json"),
        (np.array([[1, 2]]), b"[[1,2]]", "application/json"),
        (np.arange(6).reshape(2, 3)[:, ::2], b"[[0,2],[3,5]]", "application/json"),
        ({"scores": Tensor()}, b'{"scores":[1.5,2.5]}', "application/json"),
        ({1: "one"}, b'{"1":"one"}', "application/json"),
        (b"\x00", b"\x00", "application/octet-stream"),
        (bytearray(b"\x00"), b"\x00", "application/octet-stream"),
        (None, None, "application/json"),
    ],
)
def test_an_output_is_written_as_json_or_as_the_bytes_that_it_is(output, data, content_type):
    assert encode(output) == (data, content_type)


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ({"a": [1, {2}]}, r"output\['a'\]\[1\] is of type set"),
        (object(), "output is of type object"),
        ({"big": 1 << 70}, r"output\['big'\] \(Integer exceeds 64-bit range\)"),
        ({"name": "\ud800"}, r"output\['name'\] \(str is not valid UTF-8"),
        ({"score": float("nan")}, r"output\['score'\] is not a number"),
        ([1.0, float("inf")], r"output\[1\] is not a number"),
        ({"scores": np.array([1.0, np.nan])}, r"output\['scores'\]"),
    ],
)
def test_an_output_that_cannot_be_written_is_refused_with_its_place(output, message):
    with pytest.raises(RefusedOutput, match=message):
        encode(output)


def test_what_is_written_can_be_read():
    assert orjson.loads(encode({"nested": {"list": [1, "two"]}})[0]) == {"nested": {"list": [1, "two"]}}
