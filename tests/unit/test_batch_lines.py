from datetime import UTC, datetime

import orjson
import pytest

from stream_infer.batch.lines import NotOurs, error_line, path_in, result_line, stamp
from stream_infer.errors import Stage
from stream_infer.records import Failure, Output

MOMENT = stamp(datetime(2026, 1, 2, 3, 4, 5, 67_891, tzinfo=UTC))
TIME = "2026-01-02T03:04:05.067Z"


def read(line):
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    return orjson.loads(line)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b'{"label":"cat","score":0.5}', {"label": "cat", "score": 0.5}),
        (b"{}", {}),
        (None, {}),
        (b'"cat"', {"output": "cat"}),
        (b"[1,2]", {"output": [1, 2]}),
        (b'{"time":3,"label":"cat"}', {"output": {"time": 3, "label": "cat"}}),
        (b'{"filepath":"x"}', {"output": {"filepath": "x"}}),
        (b'{"text":"it says \\"time\\"","deep":{"time":3}}', {"text": 'it says "time"', "deep": {"time": 3}}),
    ],
)
def test_an_output_lies_in_the_line_unless_it_would_hide_time_and_path(value, expected):
    assert read(result_line(MOMENT, "a/b.txt", Output(value))) == {"time": TIME, "filepath": "a/b.txt"} | expected


def test_bytes_stand_in_base64():
    line = read(result_line(MOMENT, "a", Output(b"\x00\xff", "application/octet-stream")))

    assert line["output"] == {"base64": "AP8=", "content_type": "application/octet-stream"}


def test_a_failure_has_its_stage_and_reason():
    failure = Failure(Stage.DECODE, "builtins.ValueError", "no picture", "a long stack")

    assert read(error_line(MOMENT, "a.jpg", failure)) == {
        "time": TIME,
        "filepath": "a.jpg",
        "error": {"stage": "decode", "exception": "builtins.ValueError", "message": "no picture"},
    }


@pytest.mark.parametrize("path", ["a.txt", 'say "hi"\\.txt', "ü/日本.txt", "tab\tand\nline.txt", "odd\udcff.txt", "{}"])
def test_the_path_is_read_back_as_it_was(path):
    assert path_in(result_line(MOMENT, path, Output(b'{"filepath_of":"another"}'))) == path
    assert path_in(result_line(MOMENT, path, Output(b'{"filepath":"another"}'))) == path
    assert path_in(error_line(MOMENT, path, Failure(Stage.FETCH, "x", f"{path} is gone"))) == path


def test_a_line_that_somebody_has_formatted_is_read_too():
    assert path_in(b'{"filepath": "a.txt", "label": "cat", "time": "today"}\n') == "a.txt"


@pytest.mark.parametrize(
    "line", [b"", b"\n", b"not json\n", b"[1]\n", b'{"path": "a"}\n', b'{"filepath": 1}\n', b"\0\0\n"]
)
def test_another_line_is_not_ours(line):
    with pytest.raises(NotOurs):
        path_in(line)
