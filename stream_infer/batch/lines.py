"""One line of JSON a file: how it is written, and how the file's path is read off it. Pure.

    {"time": "2026-01-02T03:04:05.678Z", "filepath": "reviews/one.txt", "sentiment": "positive", …}
    {"time": …, "filepath": …, "error": {"stage": "predict", "exception": "ValueError", "message": "…"}}

An output that is a mapping lies in the line itself; any other, and one that has a `time` or a `filepath` of its own,
under `output`. Bytes are {"base64": …}. A None leaves time and path.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from datetime import datetime

import orjson

from stream_infer.records import JSON, Failure, Output

# What both begin with; the text between the quotes is JSON, escapes and all.
_HEAD = re.compile(rb'\{"time":"[^"]*","filepath":("(?:[^"\\]|\\.)*")')
_OURS = (b'"time"', b'"filepath"')
BEGINNING = b'{"time":"'
"""Of every line, so also of one that was not written to its end."""


class NotOurs(Exception):
    """A line that no batch has written."""


def result_line(moment: bytes, path: str, output: Output) -> bytes:
    """Its line end included. `moment`: see `stamp`."""
    head = b'{"time":"%b","filepath":%b' % (moment, _quoted(path))
    value = output.value
    if value is None:
        return head + b"}\n"
    if output.content_type != JSON:
        packed = {"base64": b64encode(value).decode(), "content_type": output.content_type}
        return b'%b,"output":%b}\n' % (head, orjson.dumps(packed))
    if value[:1] == b"{" and not _hides_ours(value):
        return head + (b"}\n" if value == b"{}" else b",%b\n" % value[1:])
    return b'%b,"output":%b}\n' % (head, value)


def error_line(moment: bytes, path: str, failure: Failure) -> bytes:
    """Its line end included. The stack stands in the log."""
    error = {"stage": failure.stage, "exception": failure.exception, "message": failure.message}
    return b'{"time":"%b","filepath":%b,"error":%b}\n' % (moment, _quoted(path), _dumped(error))


def stamp(moment: datetime) -> bytes:
    """As it stands in a line: UTC, to the millisecond."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.").encode() + b"%03dZ" % (moment.microsecond // 1000)


def path_in(line: bytes) -> str:
    """The path that the line is about. Raises NotOurs."""
    head = _HEAD.match(line)
    found = _loaded(head[1] if head else line)
    if isinstance(found, dict):  # a line that somebody has edited
        found = found.get("filepath")
    if not isinstance(found, str):
        raise NotOurs("has no filepath")
    return found


def _hides_ours(value: bytes) -> bool:
    """Whether a mapping's own keys are also ours; the words may stand deeper in it, or in a text, too."""
    if not any(name in value for name in _OURS):
        return False
    keys = orjson.loads(value).keys()
    return "time" in keys or "filepath" in keys


def _quoted(path: str) -> bytes:
    try:
        return orjson.dumps(path)
    except TypeError:  # bytes in a file's name that are no UTF-8: Python's own JSON has an escape for them
        return json.dumps(path).encode()


def _dumped(value: object) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value).encode()


def _loaded(text: bytes) -> object:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        try:
            return json.loads(text)
        except ValueError as error:
            raise NotOurs(f"is not JSON ({error})") from None
