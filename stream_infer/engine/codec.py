"""Payloads to what a predictor gets, and its outputs to payloads. Runs in the child."""

from __future__ import annotations

import codecs
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn, TypeAlias

import orjson

from stream_infer.engine.requests import unpack_request
from stream_infer.errors import RefusedOutput, UndecodableItem
from stream_infer.predictors.finding import full_name
from stream_infer.predictors.protocol import Request
from stream_infer.records import JSON, REQUEST, Payload

BINARY = "application/octet-stream"
LONGEST_TYPE = 1024
_QUADRATIC = frozenset({"idna", "punycode"})  # a second for 200 kB, a minute for a few MB
# What lies in the arena is a view, and the call's: what is kept of it is copied.
Data: TypeAlias = bytes | memoryview
_BINARIES = (bytes, bytearray, memoryview)
# Exactly these: a subclass may have code of its own.
_PLAIN = frozenset({dict, list, tuple, str, int, float, bool})
_FLAGS = orjson.OPT_SERIALIZE_NUMPY


def decoder_for(content_type: str) -> Callable[[Data], Any]:
    """JSON as Python values, text as str, everything else as it is. The decoder raises UndecodableItem."""
    return _decoder_for(content_type) if len(content_type) <= LONGEST_TYPE else _refuse_type


@functools.lru_cache(maxsize=256)
def _decoder_for(content_type: str) -> Callable[[Data], Any]:
    media, _, parameters = content_type.partition(";")
    media = media.strip().lower()
    if media in (JSON, "text/json") or media.endswith("+json"):
        return _decode_json
    if media == REQUEST:
        return _decode_request
    if media.startswith("text/"):
        return functools.partial(_decode_text, charset=_charset(parameters))
    return _keep


def _refuse_type(_data: Data) -> NoReturn:
    raise UndecodableItem(f"the item's content type has more than {LONGEST_TYPE:,} characters")


def _keep(data: Data) -> bytes:
    return bytes(data)


def encode(output: Any) -> tuple[bytes | None, str]:
    """The output's bytes and their content type; None stays None. Raises RefusedOutput."""
    if isinstance(output, Payload):
        return bytes(output.data), output.content_type or BINARY
    if isinstance(output, _BINARIES):
        return bytes(output), BINARY
    if output is None:
        return None, JSON
    try:
        data = orjson.dumps(output, _as_plain, _FLAGS)
    except TypeError as error:
        data = _encode_with_odd_keys(output, error)
    # orjson writes NaN as null: silently another value than the model's.
    if _may_hold_null(data) and (place := _find_nan(output, "output")):
        raise RefusedOutput(f"{place} is not a number (NaN or infinite), which JSON cannot carry")
    return data, JSON


def decode_alike(content_type: str, payloads: Sequence[Data]) -> list[Any]:
    """Many of one content type, which most are. Raises what one raises: `decoder_for` finds which it was."""
    decode = decoder_for(content_type)
    return list(map(orjson.loads if decode is _decode_json else decode, payloads))


def encode_plain(outputs: Sequence[Any]) -> list[bytes] | None:
    """The JSON of outputs that are plain values and no nulls, which most are; None: it takes `encode` to say."""
    if not _PLAIN.issuperset(map(type, outputs)):
        return None
    dumps = orjson.dumps
    try:
        values = [dumps(output, _as_plain, _FLAGS) for output in outputs]
    except Exception:  # noqa: BLE001 - an output's own code may run here
        return None
    return None if any(map(_may_hold_null, values)) else values


def _may_hold_null(data: bytes) -> bool:
    """As a value: the word in a text is no such thing, but may look like one."""
    return b"null" in data and (b":null" in data or b",null" in data or b"[null" in data or data == b"null")


def _decode_json(data: Data) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise UndecodableItem(_not_json(bytes(data), error)) from None


def _not_json(data: bytes, error: orjson.JSONDecodeError) -> str:
    if not data:
        return "the item is empty, and its content type is JSON"
    try:
        data.decode()
    except UnicodeDecodeError as unicode:
        return f"the item is not JSON: byte {unicode.start} of {len(data)} is not UTF-8 ({unicode.reason})"
    return f"the item is not JSON: {error.msg} at line {error.lineno}, column {error.colno} of {len(data)} bytes"


def _decode_request(data: Data) -> Request:
    body, content_type, headers, query = unpack_request(bytes(data))
    if content_type == REQUEST:
        raise UndecodableItem("a request holds a request")
    return Request(decoder_for(content_type)(body), content_type, headers, query)


def _decode_text(data: Data, charset: str) -> str:
    try:
        if codecs.lookup(charset).name in _QUADRATIC:
            raise LookupError
        return str(data, charset)
    except UnicodeDecodeError as error:
        raise UndecodableItem(
            f"the item is not {charset} text: byte {error.start} of {len(data)} ({error.reason})"
        ) from None
    except (LookupError, ValueError):  # a NUL in its name; a codec that is none, such as `undefined`
        raise UndecodableItem(f"the item's content type names an unknown charset {charset!r}") from None


def _charset(parameters: str) -> str:
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            return value.strip().strip('"')
    return "utf-8"


def _as_plain(value: Any) -> Any:
    """What orjson does not know: tensors and the like, numpy's unusual arrays."""
    to_list = getattr(value, "tolist", None)
    if to_list is None:
        raise TypeError
    return to_list()


def _encode_with_odd_keys(output: Any, error: TypeError) -> bytes:
    try:
        return orjson.dumps(output, _as_plain, _FLAGS | orjson.OPT_NON_STR_KEYS)
    except TypeError:
        place = _find_unserialisable(output, "output")
        raise RefusedOutput(f"the predictor's output is not serialisable: {place or error}") from None


def _find_unserialisable(value: Any, path: str) -> str:
    """Where the first part is that JSON cannot carry, and what it is; empty where none stands out."""
    for place, part in _parts(value, path):
        if found := _find_unserialisable(part, place):
            return found
    try:
        orjson.dumps(value, _as_plain, _FLAGS | orjson.OPT_NON_STR_KEYS)
    except TypeError as error:
        known = isinstance(value, dict | list | tuple | str | int)
        return f"{path} ({error})" if known else f"{path} is of type {full_name(value)}"
    return ""


def _find_nan(value: Any, path: str) -> str:
    for place, part in _parts(value, path):
        if found := _find_nan(part, place):
            return found
    if hasattr(value, "tolist"):
        return _find_nan(value.tolist(), path)
    return path if isinstance(value, float) and not math.isfinite(value) else ""


def _parts(value: Any, path: str) -> list[tuple[str, Any]]:
    if isinstance(value, Mapping):
        return [(f"{path}[{key!r}]", part) for key, part in value.items()]
    if isinstance(value, list | tuple):
        return [(f"{path}[{index}]", part) for index, part in enumerate(value)]
    return []
