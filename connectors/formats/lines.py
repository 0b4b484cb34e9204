"""A line of results, taken apart and put together again."""

from __future__ import annotations

from base64 import b64encode
from typing import Any, NamedTuple

import orjson

from stream_infer.records import JSON, REFERENCE
from stream_infer.results import unpacked

_OUTPUT = b'"output":'


class Result(NamedTuple):
    """`named`: ids, key and source as they stand in the line. `output`: its bytes; of JSON (`is_json`) its text.

    `copied_from`: where the output lies, if the line has no more than its address.
    """

    named: dict[str, Any]
    content_type: str
    output: bytes
    is_json: bool
    copied_from: str | None = None


def read_result(line: bytes) -> Result:
    """Of a line that `line_of` or jsonl.py has written: its last member is the output, and a type is said before it
    unless that is plain JSON."""
    named = orjson.loads(line)
    output = named.pop("output")
    said: str | None = named.pop("content_type", None)
    # Within a text a quote is escaped: the first one of these is the member's name.
    text = line[line.index(_OUTPUT) + len(_OUTPUT) :].rstrip()[:-1]
    if said is None:
        return Result(named, JSON, text, is_json=True)
    if said == REFERENCE and isinstance(output, dict) and isinstance(output.get("uri"), str):
        return Result(named, str(output.get("content_type", JSON)), text, is_json=False, copied_from=output["uri"])
    packed = unpacked(output, said)
    return Result(named, said, text, is_json=True) if packed is None else Result(named, said, packed, is_json=False)


def line_of(result: Result) -> bytes:
    """The line, its line end included."""
    members, kind = dict(result.named), result.content_type
    if result.copied_from is not None:
        members |= {"content_type": REFERENCE, "output": {"uri": result.copied_from, "content_type": kind}}
    elif result.is_json:
        members |= {} if kind == JSON else {"content_type": kind}
        members["output"] = orjson.Fragment(result.output)
    else:
        encoded = {"base64": b64encode(result.output).decode(), "content_type": kind}
        members |= {"content_type": kind, "output": encoded}
    return orjson.dumps(members, option=orjson.OPT_APPEND_NEWLINE)
