"""Whether records are what the AsyncAPI document says of their topics."""

from collections.abc import Mapping
from typing import Any

import jsonschema
import orjson

from stream_infer.records import Message

_JSON = "application/json"


def faults(document: Mapping[str, Any], message: Message) -> list[str]:
    """Why the record is none of the messages of its channel; nothing where it is one, or a tombstone."""
    if message.value is None:
        return []
    said: list[str] = []
    for name in document["channels"][message.topic]["messages"]:
        found = _faults_of(document, document["components"]["messages"][name], message)
        if not found:
            return []
        said.extend(f"{name}: {fault}" for fault in found)
    return said or [f"nothing is said to be on {message.topic}"]


def _faults_of(document: Mapping[str, Any], shown: Mapping[str, Any], message: Message) -> list[str]:
    headers = {name.lower(): (value or b"").decode("latin-1") for name, value in message.headers}
    if headers.get("content-type", _JSON) != shown["contentType"] and shown["contentType"] != _JSON:
        return [f"its content type is {headers.get('content-type')}"]
    found = _violations(document, shown.get("headers", {}), headers)
    try:
        value = orjson.loads(message.value or b"")
    except orjson.JSONDecodeError as error:
        return found if set(shown["payload"]) == {"description"} else [*found, str(error)]
    return found + _violations(document, shown["payload"], value)


def _violations(document: Mapping[str, Any], schema: Mapping[str, Any], value: Any) -> list[str]:
    whole = {**schema, "components": document["components"]}
    checker = jsonschema.Draft202012Validator(whole)
    return [f"{error.json_path}: {error.message[:300]}" for error in checker.iter_errors(value)]
