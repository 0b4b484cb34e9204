import orjson
import pytest

from connectors.formats.jsonl import error_line, result_line
from stream_infer.dead_letters import DeadLetter, Writer
from stream_infer.errors import Stage
from stream_infer.headers import read_item, result_headers
from stream_infer.records import Failure, Item, Message, Position


def message(value, headers=(), key=None):
    return Message("p.api.results", 1, 7, key, value, headers, 0)


def result(value, content_type="application/json", key=None, **ids):
    item = Item(message(b"", key=key), "job-3", **ids)
    return orjson.loads(result_line(message(value, result_headers(item, content_type), key)))


def test_a_result_line_holds_its_ids_and_the_json_output_as_it_is():
    line = result(b'{"label":"cat","score":1.50}', key=b"cat.jpg", custom_id="mine", source="file:///cat.jpg")

    assert line == {
        "item_id": "job-3",
        "custom_id": "mine",
        "key": "cat.jpg",
        "source": "file:///cat.jpg",
        "output": {"label": "cat", "score": 1.5},
    }


def test_what_an_item_does_not_have_is_absent():
    assert list(result(b"1")) == ["item_id", "output"]


def test_a_pretty_printed_output_stays_on_one_line():
    line = result_line(message(b'{\r\n  "a": "x\\ny"\n}'))

    assert line.count(b"\n") == 1
    assert line.endswith(b"}\n")
    assert orjson.loads(line)["output"] == {"a": "x\ny"}


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "application/vnd.stream-infer.ref+json"])
def test_every_kind_of_json_is_embedded(content_type):
    assert result(b'{"uri":"s3://b/k"}', content_type)["output"] == {"uri": "s3://b/k"}


@pytest.mark.parametrize(("value", "content_type"), [(b"\x89PNG", "image/png"), (b"{oops", "application/json")])
def test_what_is_not_json_stands_as_base64_beside_its_type(value, content_type):
    output = result(value, content_type)["output"]

    assert output["content_type"] == content_type
    assert output["base64"]


def test_a_key_that_is_not_text_stands_as_base64():
    assert result(b"1", key=b"\xff")["key"] == {"base64": "/w=="}


def test_an_error_line_says_why_where_and_which_dead_letter():
    headers = (("si-item-id", b"p.api.items-2-5"), ("si-source", b"x#line=2"), ("si-attempt", b"3"))
    letter = DeadLetter(
        item=read_item(Message("p.api.dlq", 0, 9, b"k", b"{", headers, 0)),
        failure=Failure(Stage.DECODE, "ValueError", "no JSON", "Traceback: not here"),
        origin=Position("p.api.items", 2, 5),
        worker="w",
        api_version="1",
        stage="decode",
        writer=Writer.WORKER,
    )

    assert orjson.loads(error_line(letter)) == {
        "item_id": "p.api.items-2-5",
        "key": "k",
        "source": "x#line=2",
        "error": {"stage": "decode", "exception": "ValueError", "message": "no JSON"},
        "attempt": 3,
        "origin": {"topic": "p.api.items", "partition": 2, "offset": 5},
        "dead_letter": {"topic": "p.api.dlq", "partition": 0, "offset": 9},
    }
