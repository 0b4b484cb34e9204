"""Each output as an object of its own, `items/NAME.EXTENSION` in the job's folder, and an object that lists them.

The list has a line for each item: its ids, key and source, `object`, and the output itself where it is JSON of a few
KiB. It is what the manifest names, so that a manifest is as long as for any other format. A name is made of the item
alone: who writes its object again, after a crash, writes the same one.
"""

from __future__ import annotations

import hashlib
import mimetypes
import re
from collections.abc import Iterator
from typing import Any

import orjson

from connectors.formats.lines import Result, line_of, read_result
from connectors.formats.plain import PlainFormat
from stream_infer.ports import Folder, ItemObject, NumberedLine, ResultLines
from stream_infer.records import JSON, REFERENCE

_LARGEST_INLINE = 4096
_LONGEST_STEM = 120
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_TYPE = re.compile(r"[!-~]([ -~]{0,198}[!-~])?")
_ENDING = re.compile(r"\.[A-Za-z0-9]{1,8}$")
_EXTENSIONS = {
    JSON: ".json",
    "application/octet-stream": ".bin",
    "application/x-npy": ".npy",
    "application/x-ndjson": ".jsonl",
    "image/jpeg": ".jpg",
    "image/webp": ".webp",
    "text/csv": ".csv",
    "text/plain": ".txt",
}


class PerItem(PlainFormat):
    suffix = ".items.jsonl"
    content_type = "application/x-ndjson"

    def encode(self, lines: ResultLines) -> bytes:
        """Grown line by line: orjson's texts keep the room that they were made in until they go (measured: 4 KiB)."""
        body = bytearray()
        for line in lines:
            body += _entry(line)
        return bytes(body)

    def items(self, lines: ResultLines) -> Iterator[ItemObject]:
        for line in lines:
            result = read_result(line.data)
            name = name_of(result, line.ordinal)
            yield ItemObject(name, result.output, _header(result.content_type), result.copied_from)

    def decode(self, data: bytes, items: Folder) -> Iterator[bytes]:
        """Outputs that are not in the list are read one by one; what came by reference stays the address of it."""
        for line in data.splitlines():
            yield _whole(orjson.loads(line), line, items)


def name_of(result: Result, ordinal: int | None) -> str:
    """`cat-17.json`: the item's custom id, or what its source is called, its place in the job, and its type's ending.

    Custom ids need not differ, nor do files of different folders; places do.
    """
    number = f"{ordinal}" if ordinal is not None else f"x{_digest(str(result.named.get('item_id')))}"
    return f"{_stem(result.named)}-{number}{_extension(result.content_type)}"


def _stem(named: dict[str, Any]) -> str:
    custom_id, source = named.get("custom_id"), named.get("source")
    if isinstance(custom_id, str):
        text = custom_id
    else:
        text = str(source or "").partition("#")[0].rstrip("/").rpartition("/")[2]
        text = _ENDING.sub("", text)
    return _UNSAFE.sub("_", text).strip("._-")[:_LONGEST_STEM] or "item"


def _extension(content_type: str) -> str:
    kind = content_type.partition(";")[0].strip().lower()
    if kind.endswith("+json"):
        return ".json"
    return _EXTENSIONS.get(kind) or mimetypes.guess_extension(kind, strict=False) or ".bin"


def _header(content_type: str) -> str:
    """Of an object in S3 the type is a header, which whoever made the output need not have known."""
    return content_type if _TYPE.fullmatch(content_type) else "application/octet-stream"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]


def _entry(line: NumberedLine) -> bytes:
    """The item's line in the list."""
    result = read_result(line.data)
    members = result.named | {"object": f"items/{name_of(result, line.ordinal)}"}
    if result.copied_from is not None:
        members |= {"copied": True}
    if not result.is_json or result.content_type != JSON:
        members |= {"content_type": result.content_type}
    if result.is_json and len(result.output) <= _LARGEST_INLINE:
        members |= {"output": orjson.Fragment(result.output)}
    elif result.is_json:
        members |= {"json": True}
    return orjson.dumps(members, option=orjson.OPT_APPEND_NEWLINE)


def _whole(members: dict[str, Any], line: bytes, items: Folder) -> bytes:
    if "output" in members:
        return line + b"\n"
    name = members["object"].removeprefix("items/")
    kind = members.pop("content_type", JSON)
    is_json, is_copied = members.pop("json", False), members.pop("copied", False)
    if is_copied:
        output = {"uri": items.uri(name), "content_type": kind}
        return orjson.dumps(members | {"content_type": REFERENCE, "output": output}, option=orjson.OPT_APPEND_NEWLINE)
    return line_of(Result(members, kind, items.get(name), is_json))
