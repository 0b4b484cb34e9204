import io
import json
import logging
import threading

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from stream_infer.cli.app import main
from stream_infer.redaction import RULES, Presentable, redact, redact_text
from stream_infer.telemetry import tracing
from stream_infer.telemetry.logs import configure_logs, echo_predictor, tell_of_threads
from stream_infer.telemetry.predictor_lines import PredictorLines
from stream_infer.trace_context import TraceContext


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


def test_a_line_says_on_whose_behalf_it_is_said(stream):
    configure_logs("gateway", stream=stream)
    with (
        tracing.on_behalf_of(TraceContext("a" * 32, "b" * 16)),
        structlog.contextvars.bound_contextvars(request_id="r1"),
    ):
        structlog.get_logger("x").info("submitted", job_id="j")
    structlog.get_logger("x").info("afterwards")

    inside, outside = map(json.loads, stream.getvalue().splitlines())
    assert {"trace_id": "a" * 32, "span_id": "b" * 16, "request_id": "r1", "job_id": "j"}.items() <= inside.items()
    assert not {"trace_id", "request_id"} & outside.keys()


@pytest.mark.parametrize(
    "hostile", ["a\x1b]0;mine\x07b", "a\rb", "a\x9b2Jb", "a\u202eb", "a\n2026-01-01T00:00:00Z forged"]
)
def test_words_of_strangers_move_no_cursor_and_begin_no_line(stream, hostile):
    configure_logs("gateway", style="text", stream=stream)
    structlog.get_logger("x").warning("refused", path=hostile, told=[hostile])
    logging.getLogger("librdkafka").error("FAIL %s", hostile)

    said = stream.getvalue()
    assert not [one for one in said if one != "\n" and not one.isprintable()]
    assert [line[:4] for line in said.splitlines() if not line.startswith("    ")] == [said[:4]] * 2


def test_an_error_that_ends_a_thread_is_a_line_without_secrets(stream, capfd):
    configure_logs("gateway", style="json", stream=stream)
    end, ours = tell_of_threads(), threading.excepthook

    def work():
        raise OSError("cannot reach postgres://u:hunter2@db")

    thread = threading.Thread(target=work, name="courier")
    thread.start()
    thread.join()
    end()

    line = json.loads(stream.getvalue())
    assert {"event": "thread_ended", "thread": "courier", "level": "error"}.items() <= line.items()
    assert "postgres://***@db" in line["exception"]
    assert capfd.readouterr().err == ""
    assert threading.excepthook is not ours


@pytest.mark.parametrize("style", ["json", "text"])
def test_the_last_line_of_a_role_is_as_the_others_are(stream, capsys, tmp_path, style):
    file = tmp_path / "si.yaml"
    file.write_text("kafka: {security: {password: 7}}")
    with pytest.raises(SystemExit) as ended:
        main(["--log-style", style, "-f", str(file), "sink"])

    assert ended.value.code == 2
    said = capsys.readouterr().err
    if style == "json":
        line = json.loads(said)
        assert {"event": "ended", "level": "error", "role": "sink"}.items() <= line.items()
        said = line["reason"]
    else:
        said = said.removeprefix("error: ")
    assert said.startswith(f"{file}:1: kafka.security.password: ")
    assert "***" not in said, "it is said of the key"


class NoLog:
    def line(self, jobs, text):
        pass


@pytest.mark.parametrize("style", ["json", "text"])
def test_what_a_predictor_prints_is_an_event_for_programs_and_itself_for_people(stream, style):
    configure_logs("worker", slot=0, style=style, stream=stream)
    lines = PredictorLines(NoLog(), echo_predictor)
    lines.now_in_child(frozenset({"j2", "j1"}))
    lines("epoch 1: password=hunter2")

    if style == "text":
        assert stream.getvalue() == "epoch 1: password=***\n"
        return
    said = json.loads(stream.getvalue())
    assert {"event": "predictor_said", "line": "epoch 1: password=***", "job_ids": ["j1", "j2"]}.items() <= said.items()
    assert "job_id" not in said, "these lines come to the jobs' logs by themselves"


# What gives a secret away, by kind: how it is written, and the part of it that nobody may see.
SECRETS = {
    "URL with a password": ("https://user:{}@host:9092/path", "hunter2"),
    "URL with a password that has an @": ("kafka://user:{}@host", "hunt@er2"),
    "Redis URL": ("redis://:{}@cache:6379/0", "hunter2"),
    "Authorization": ("Authorization: Bearer {}", "eyJhbGciOi"),
    "Authorization, short": ("authorization=Token {}", "t0k"),
    "Authorization of AWS": (
        "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/s3, Signature={}",
        "fe5f80",
    ),
    "Basic": ("sent Basic {} to it", "dXNlcjpodW50ZXIyaHVudGVyMg=="),
    "AWS access key": ("the key {} is refused", "AKIAIOSFODNN7EXAMPLE"),
    "AWS secret key": ("aws_secret_access_key = {}", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
    "AWS session token": ("AWS_SESSION_TOKEN={}", "IQoJb3JpZ2luX2Vj"),
    "SASL password": ("sasl.password={}", "hunter2"),
    "SASL JAAS": ('sasl.jaas.config=Plain required username="u" password="{}";', "hunter 2"),
    "OAUTHBEARER": ("sasl.oauthbearer.client.secret: {}", "hunter2"),
    "key of a certificate": ("ssl.key.pem=-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----", "MIIEvQIBADAN"),
    "presigned S3": ("https://b.s3.amazonaws.com/k?X-Amz-Expires=60&X-Amz-Signature={}&x=1", "4be7bd67bc55"),
    "presigned GCS": ("https://storage.googleapis.com/b/k?X-Goog-Signature={}", "4be7bd67bc55"),
    "Azure SAS": ("https://a.blob.core.windows.net/c/k?sv=2022&sig={}", "n5yh%2Bj8%3D"),
    "token in a query": ("http://h/x?token={}&y=2", "t0k3n"),
    "webhook secret": ("{}", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
    "API key": ("x-api-key: {}", "si_id1_0123456789abcdefghijkl"),
    "API key of ours": ("the key {} has expired", "si_id1_0123456789abcdefghijkl"),
    "cookie": ("Cookie: session={}; path=/", "abcdef123"),
    "JSON": ('{{"password": "{}"}}', "hunter2 hunter3"),
    "JSON in JSON": ('body "{{\\"client_secret\\": \\"{}\\"}}"', "hunter2"),
    "Python": ("{{'passwd': b'{}'}}", "hunter2"),
    "token in JSON": ('{{"token": "{}"}}', "t0k3n"),
    "token of a call": ("login(token={})", "t0k3n"),
    "camel case": ('{{"accessToken": "{}"}}', "t0k3n"),
    "ODBC": ("Driver=x;Uid=u;Pwd={};", "hunter2"),
    "private key, named": ("private_key={}", "MIIEvQIBADAN"),
    "credentials": ("{{'credentials': '{}'}}", "hunter2"),
    "long": ('{{"client_secret": "{}"}}', "hunter2" * 1000),
    "JSON Web Token": ("it sent {} to us", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N"),
    "token of Hugging Face": ("401 for {}", "hf_abcdefghijklmnopqrstuvwxyzABCDEFGH"),
}


class Thing:
    """Of no kind that JSON knows."""

    def __init__(self, text):
        self.text = text

    def __repr__(self):
        return self.text


@pytest.mark.parametrize("style", ["json", "text"])
@pytest.mark.parametrize("kind", SECRETS)
def test_no_secret_comes_out_wherever_it_went_in(stream, style, kind):
    form, secret = SECRETS[kind]
    text = form.format(secret)
    hidden = secret.removeprefix("si_id1_")
    configure_logs("worker", style=style, stream=stream)
    said, theirs = structlog.get_logger("x"), logging.getLogger("librdkafka")

    said.info(text)
    said.info("value", told=text, nested={"a": [{"b": (text, {text})}]}, raw=text.encode(), thing=Thing(text))
    said.info("key", told={text: 1, "inner": {text: text}})
    said.info("error", error=ValueError(text), path=Thing(text))
    theirs.error("%s", text)
    theirs.error("failed: %r", {"told": text})
    with structlog.contextvars.bound_contextvars(bound=text):
        said.info("bound")
    for log in (said, theirs):
        try:
            try:
                raise OSError(text)
            except OSError as error:
                raise ValueError(f"again: {text}") from error
        except ValueError:
            log.exception("broke off")
    said.info("stack", stack_info=True, told=text)
    echo_predictor(text)

    out = stream.getvalue()
    assert len(out.splitlines()) >= 11
    assert "***" in out
    for part in [hidden, *(word for word in hidden.split() if len(word) > 2)]:
        assert part not in out, out


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "sasl.password",
        "aws_secret_access_key",
        "api_key",
        "authorization",
        "client_secret",
        "token",
        "accessToken",
        "cookie",
        "cookies",
    ],
)
@pytest.mark.parametrize("value", ["hunter2", b"hunter2", ["hunter2"], {"a": "hunter2"}, Thing("hunter2")])
def test_whatever_bears_a_secrets_name_is_hidden(stream, name, value):
    configure_logs("worker", stream=stream)
    structlog.get_logger("x").info("settings", told={name: value})

    assert "hunter2" not in stream.getvalue()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://user:pa:ss@host/x", "https://***@host/x"),
        ("s3://b/k?X-Amz-Signature=abc&x=1", "s3://b/k?X-Amz-Signature=***&x=1"),
        ("Authorization: Bearer abcdefghijklmnopqrst", "Authorization: ***"),
        ('{"api_key": "k1"}', '{"api_key": "***"}'),
        ("whsec_MfKQ9r8GKYqrTwjU", "***"),
        ("3 tokens, basic auth of a.b@c", "3 tokens, basic auth of a.b@c"),
        ("https://host/path", "https://host/path"),
        ("unexpected token: x, InvalidToken: no", "unexpected token: x, InvalidToken: no"),
        ("NoCredentialsError: Unable to locate credentials", "NoCredentialsError: Unable to locate credentials"),
    ],
)
def test_what_looks_like_a_secret_is_hidden_and_nothing_else(text, shown):
    assert redact_text(text) == shown
    assert redact_text(shown) == shown


pieces = st.sampled_from(
    ["Password", "passwd", "SECRET", "Api_Key", "access-key", "authorization", "Bearer", "basic", "X-Amz-Signature",
     "sig", "awsaccesskeyid", "X-Amz-Security-Token", "whsec_", "a://", "user", "@", "=", ":", "/", "'", '"', "&",
     "token", "private", "_key", "pwd", "credentials", "eyJabcdefghij", ".", "hf_", "ghp_",
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
        ("reason", Presentable("password: is missing"), "password: is missing"),
        ("key", "job-1", "job-1"),
        ("api_keys_file", "/etc/keys", "/etc/keys"),
    ],
)
def test_a_field_with_a_secrets_name_is_hidden(name, value, shown):
    assert redact(name, value) == shown
