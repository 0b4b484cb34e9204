import io
import json
import logging

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from stream_infer.redaction import RULES, redact, redact_text
from stream_infer.telemetry.logs import configure_logs


@pytest.fixture
def stream():
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield io.StringIO()
    root.handlers[:], root.level = before
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


def test_without_a_terminal_a_line_is_json_and_says_whose_it_is(stream):
    configure_logs("worker", slot=3, stream=stream)

    structlog.get_logger("x").info("flushed", api="a", objects=3)
    logging.getLogger("stream_infer.kafka").error("FAIL %s", "sasl.password=hunter2")

    ours, theirs = map(json.loads, stream.getvalue().splitlines())
    assert {"role": "worker", "slot": 3, "event": "flushed", "objects": 3}.items() <= ours.items()
    assert {"role": "worker", "event": "FAIL sasl.password=***", "level": "error"}.items() <= theirs.items()


def test_text_is_for_people_and_shows_where_an_error_comes_from(stream):
    configure_logs("sink", style="text", stream=stream)
    try:
        raise ValueError("password=hunter2")
    except ValueError:
        structlog.get_logger("x").exception("failed", key="k")

    said = stream.getvalue()
    assert "failed" in said
    assert "ValueError: password=***" in said
    assert "role=sink" in said


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://user:pa:ss@host/x", "https://***@host/x"),
        ("s3://b/k?X-Amz-Signature=abc&x=1", "s3://b/k?X-Amz-Signature=***&x=1"),
        ("Authorization: Bearer abcdefghijklmnopqrst", "Authorization: *** ***"),
        ('{"api_key": "k1"}', '{"api_key": "***"}'),
        ("whsec_MfKQ9r8GKYqrTwjU", "***"),
        ("3 tokens, basic auth of a.b@c", "3 tokens, basic auth of a.b@c"),
        ("https://host/path", "https://host/path"),
    ],
)
def test_what_looks_like_a_secret_is_hidden_and_nothing_else(text, shown):
    assert redact_text(text) == shown
    assert redact_text(shown) == shown


pieces = st.sampled_from(
    ["Password", "passwd", "SECRET", "Api_Key", "access-key", "authorization", "Bearer", "basic", "X-Amz-Signature",
     "sig", "awsaccesskeyid", "X-Amz-Security-Token", "whsec_", "a://", "user", "@", "=", ":", "/", "'", '"', "&",
     "***", "abcdefghijklmnopqrst", " ", "\n"]
)  # fmt: skip


@given(st.lists(pieces, max_size=12).map("".join))
def test_what_is_passed_over_for_lack_of_a_hint_holds_no_secret(text):
    """The hints only save time."""
    expected = text
    for rule in RULES:
        expected = rule.pattern.sub(rule.replacement, expected)
    assert redact_text(text) == expected


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("password", "x", "***"),
        ("config", {"sasl.password": "x", "n": [1, "a"]}, {"sasl.password": "***", "n": [1, "a"]}),
        ("token", 7, 7),
        ("key", "job-1", "job-1"),
        ("api_keys_file", "/etc/keys", "/etc/keys"),
    ],
)
def test_a_field_with_a_secrets_name_is_hidden(name, value, shown):
    assert redact(name, value) == shown
