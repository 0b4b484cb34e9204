"""Results and dead letters as JSON lines: the objects that a job's results are made of.

A result: {"item_id", "custom_id"?, "key"?, "source"?, "content_type"?, "output"}, where the type is said unless it is
plain JSON; that of a reference says that the output is the address of what no message could carry. An error:
{"item_id", "custom_id"?, "key"?, "source"?, "error": {"stage", "exception", "message"}, "attempt", "origin": {"topic",
"partition", "offset"}, "dead_letter": the same of the dead letter itself}. Bytes that cannot stand in JSON are
{"base64": …}.
"""

from __future__ import annotations

from base64 import b64encode

import orjson

from stream_infer.dead_letters import DeadLetter
from stream_infer.headers import read_item
from stream_infer.records import JSON, Item, Message, Position


def result_line(message: Message) -> bytes:
    """The line of a record of `{api}.results`, its line end included."""
    item = read_item(message)
    output = _output(message.value, item.content_type)
    is_plain = item.content_type == JSON and not isinstance(output, dict)
    kind = {} if is_plain else {"content_type": item.content_type}
    return _line(_identity(item) | kind | {"output": output})


def error_line(letter: DeadLetter) -> bytes:
    """The line of a dead letter, its line end included. Payload and stack stay in the dead letter."""
    failure = letter.failure
    return _line(
        _identity(letter.item)
        | {
            "error": {"stage": letter.stage, "exception": failure.exception, "message": failure.message},
            "attempt": letter.item.attempt,
            "origin": _position(letter.origin),
            "dead_letter": _position(letter.position),
        }
    )


def _identity(item: Item) -> dict[str, object]:
    named = {
        "item_id": item.item_id,
        "custom_id": item.custom_id,
        "key": None if item.message.key is None else _text(item.message.key),
        "source": item.source,
    }
    return {name: value for name, value in named.items() if value is not None}


def _position(position: Position) -> dict[str, object]:
    return {"topic": position.topic, "partition": position.partition, "offset": position.offset}


def _text(data: bytes) -> object:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": b64encode(data).decode()}


def _output(value: bytes | None, content_type: str) -> orjson.Fragment | dict[str, str] | None:
    """JSON stands as it is, but for line ends, which in JSON are blanks only; anything else as base64 with its type."""
    if value is None:
        return None
    kind = content_type.partition(";")[0].strip().lower()
    if (kind == JSON or kind.endswith("+json")) and _is_json(value):
        return orjson.Fragment(value.replace(b"\n", b" ").replace(b"\r", b" "))
    return {"base64": b64encode(value).decode(), "content_type": content_type}


def _is_json(value: bytes) -> bool:
    """orjson embeds a fragment unseen: one that is no JSON would spoil the line."""
    try:
        orjson.loads(value)
    except orjson.JSONDecodeError:
        return False
    return True


def _line(value: dict[str, object]) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)
