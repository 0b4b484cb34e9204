"""What is large takes its length's time to be read or refused, and no more."""

import gc
import time
from contextlib import suppress
from functools import partial

import pytest

from connectors.formats import jsonl
from stream_infer.dead_letters import ErrorHeader, read_dead_letter
from stream_infer.engine.codec import decoder_for
from stream_infer.errors import StreamInferError
from stream_infer.gateway.items import check_line
from stream_infer.gateway.submission import read_spec
from stream_infer.headers import Header, item_headers, ordinal_of, read_item
from stream_infer.http.json_text import parse_json
from stream_infer.http.problems import Problem
from stream_infer.jobs.checkpoints import decode_checkpoint
from stream_infer.jobs.events import (
    decode_event,
)
from stream_infer.jobs.log_lines import decode_line
from stream_infer.jobs.manifest import Kind, decode_manifest
from stream_infer.jobs.merge import numbered_lines
from stream_infer.jobs.replays import Replays, still_failed
from stream_infer.jobs.spec import decode_job
from stream_infer.jobs.status import decode_status
from stream_infer.predictor_settings import NativePredictor
from stream_infer.settings import ApiSettings, Settings
from stream_infer.sink.names import hour_of, read_name
from stream_infer.sink.records import read_line
from tests.support.items import message_at

SETTINGS = Settings(apis=[ApiSettings(name="a", predictor=NativePredictor(target="m:M"))])
LARGE = 300_000
LARGE_TEXTS = {
    "open brackets": b"[" * LARGE,
    "open braces": b'{"a":' * (LARGE // 5),
    "digits": b"9" * LARGE,
    "minus": b"-" * LARGE,
    "one key again and again": b"{" + b",".join([b'"at":1'] * (LARGE // 7)) + b"}",
    "many keys": b"{" + b",".join(b'"k%d":1' % n for n in range(LARGE // 12)) + b"}",
    "one long key": b'{"' + b"k" * LARGE + b'":1}',
    "escapes": b'{"job_id":"' + b"\\u0000" * (LARGE // 6) + b'"}',
    "surrogates": b'{"job_id":"' + b"\\ud83d" * (LARGE // 6) + b'"}',
    "quotes": b'"' * LARGE,
    "line ends": b"\n" * LARGE,
    "nothing": b"\0" * LARGE,
}
READERS = {
    "event": decode_event,
    "status": decode_status,
    "job": decode_job,
    "checkpoint": decode_checkpoint,
    "manifest": decode_manifest,
    "log line": partial(decode_line, b"j"),
    "request": parse_json,
    "submission": lambda data: read_spec(parse_json(data), SETTINGS, SETTINGS.apis[0]),
    "line of items": lambda data: check_line(data, 1, 2 * LARGE),
    "payload": decoder_for("application/json"),
    "text": decoder_for("text/plain"),
    "punycode": decoder_for("text/plain; charset=punycode"),
    "result": lambda data: read_line(message_at(value=data, key=data), Kind.RESULTS, jsonl),
    "dead letter": lambda data: read_line(message_at(value=data, key=data), Kind.ERRORS, jsonl),
    "replayed": lambda data: Replays().see(message_at(value=data, key=b"t-0-1")),
    "replay mark": lambda data: Replays().see(message_at(value=data, key=b"job:j")),
    "key of a replay": lambda data: Replays().see(message_at(value=None, key=data)),
    "line of a result": lambda data: list(numbered_lines([data], "j")),
    "failed line": lambda data: list(still_failed([data], Replays())),
    "id": lambda data: ordinal_of("j", f"j-{data.decode()}"),
    "name of an object": lambda data: read_name(data.decode()),
    "header": lambda data: read_item(message_at(headers=tuple((name.value, data) for name in Header))),
    "headers of a dead letter": lambda data: read_dead_letter(
        message_at(headers=tuple((name.value, data) for name in ErrorHeader))
    ),
}


@pytest.mark.parametrize("reader", READERS)
def test_any_large_text_is_read_or_refused_in_its_lengths_time(reader, request):
    gc.disable()  # a search through all that thousands of tests have left took half a second of its own
    request.addfinalizer(gc.enable)
    for name, data in LARGE_TEXTS.items():
        began = time.thread_time()
        with suppress(ValueError, StreamInferError, Problem):
            READERS[reader](data)
        assert time.thread_time() - began < 0.5, name


def test_a_thousand_headers_of_a_kilobyte_are_read_as_one():
    headers = tuple((f"h{n % 500}", bytes(1000)) for n in range(1000))
    given = (*headers, *item_headers(item_id="i"))
    assert read_item(message_at(headers=given)).item_id == "i"
    read_line(message_at(headers=given), Kind.ERRORS, jsonl)
    assert hour_of(2**63) == "dt=9999-12-31/hour=23"
