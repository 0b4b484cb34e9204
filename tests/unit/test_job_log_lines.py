from hypothesis import given
from hypothesis import strategies as st

from stream_infer.cli.job_lines import plain
from stream_infer.gateway.representations import log_line_body
from stream_infer.jobs.log_lines import LINE_BYTES, LogLine, cut, decode_line, encode_line

LINE = LogLine(at=1.5, job_id="j", role="worker", who="w.0", line="hello", fields={"n": 3, "why": "é"}, item_id="j-1")


def test_a_line_comes_back_as_it_was():
    assert decode_line(b"j", encode_line(LINE)) == LINE


def test_a_line_in_another_jobs_name_is_none():
    assert decode_line(b"other", encode_line(LINE)) is None
    assert decode_line(None, encode_line(LINE)) is None


@given(st.binary(), st.binary())
def test_arbitrary_bytes_are_no_line_and_no_error(key, value):
    assert decode_line(key, value) is None


_HOSTILE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(
    st.fixed_dictionaries({"at": st.floats() | st.integers(), "line": _HOSTILE, "fields": _HOSTILE, "who": _HOSTILE})
)
def test_what_is_decoded_can_be_shown_and_written_again(given):
    import json

    value = json.dumps({"job_id": "j", "role": "r"} | given).encode()

    line = decode_line(b"j", value)

    if line is not None:
        shown = plain(log_line_body(line))
        assert "\n" not in shown and "\x1b" not in shown
        assert decode_line(b"j", encode_line(line)) == line


@given(st.text(st.characters(), max_size=50), st.integers(4, 60))
def test_a_cut_text_fits_and_can_be_encoded(text, limit):
    kept = cut(text, limit)

    assert len(kept.encode()) <= limit
    if len(text.encode(errors="replace")) <= limit:
        assert kept == text.encode(errors="replace").decode()


def test_a_lone_surrogate_does_not_keep_a_line_from_being_written():
    assert decode_line(b"j", encode_line(LINE.model_copy(update={"line": cut("a\udcffb")}))).line == "a?b"
    assert len(cut("é" * LINE_BYTES).encode()) <= LINE_BYTES


def test_a_terminal_is_shown_no_control_characters():
    hostile = LINE.model_copy(
        update={"source": "predictor", "line": "\x1b[31mred\x1b[0m\x1b]0;title\x07\rover\u202e", "fields": {}}
    )

    assert plain(log_line_body(hostile)).partition(" | ")[2] == "red ]0;title  over  item_id=j-1"
