"""From a dead letter back to the item that it was. Pure, but for the store that keeps what no message can carry."""

from __future__ import annotations

from base64 import b64decode
from dataclasses import dataclass
from typing import Any

import orjson

from stream_infer.dead_letters import CUT, ERROR_PREFIXES, DeadLetter, ErrorHeader
from stream_infer.errors import StreamInferError
from stream_infer.headers import Header
from stream_infer.ports import Reference, Store
from stream_infer.records import JSON, REFERENCE, Headers, OutgoingRecord

PAYLOADS = "_payloads/dead-letters/"
_STORED_MARK = (Header.CONTENT_TYPE.value, REFERENCE.encode())
# What a try has left behind: a replayed item begins anew, at a place of its own.
_SPENT = frozenset(
    {
        Header.ATTEMPT, Header.NOT_BEFORE, Header.RETRY_SINCE, Header.DEADLINE, Header.ORIGIN, Header.WORKER,
        Header.API_VERSION, Header.FAILED_AT, Header.UNREADABLE,
    }
)  # fmt: skip


class Irrecoverable(StreamInferError):
    """What is left of a dead letter is not enough to make its item again. Says why."""


@dataclass(frozen=True, slots=True)
class Original:
    """Key, value and headers before the item was given up, whoever's headers they are."""

    key: bytes | None
    value: bytes | None
    headers: Headers
    content_type: str

    @property
    def size(self) -> int:
        """Bytes that a broker is asked to take, before compression and framing."""
        headers = sum(len(name) + len(value or b"") for name, value in self.headers)
        return len(self.key or b"") + len(self.value or b"") + headers


def stored_payload(letter: DeadLetter) -> Reference | None:
    """Where the worker put what was too big for the dead letter: it says so behind its own error headers."""
    headers = letter.item.message.headers
    if not headers or headers[-1] != _STORED_MARK or all(name != ErrorHeader.TOPIC for name, _ in headers):
        return None
    fields = _json(letter.item.message.value)
    uri, content_type = fields.get("uri"), fields.get("content_type")
    return Reference(uri, content_type) if isinstance(uri, str) and isinstance(content_type, str) else None


def original_of(letter: DeadLetter, store: Store) -> Original:
    """Raises Irrecoverable where its payload is gone, or ServiceUnavailable where the store cannot be reached."""
    message = letter.item.message
    stored = stored_payload(letter)
    if stored is None:
        return Original(message.key, message.value, message.headers, letter.item.content_type)
    data = _load(stored.uri, store)
    if stored.content_type != CUT:
        return Original(message.key, data, message.headers[:-1], stored.content_type or "")
    fields = _json(data)
    try:
        headers = tuple((str(name), b64decode(value)) for name, value in fields["headers"])
        types = [value.decode() for name, value in headers if name.lower() == Header.CONTENT_TYPE]
        content_type = types[-1] if types else JSON
        return Original(b64decode(fields["key"]), b64decode(fields["value"]), headers, content_type)
    except (KeyError, TypeError, ValueError) as error:
        raise Irrecoverable(f"{stored.uri} does not hold the item that it should: {error!r}") from error


def again(letter: DeadLetter, original: Original, topic: str, generation: int | None, max_bytes: int) -> OutgoingRecord:
    """The item as it goes back to `topic`, in its job's `generation`; None leaves what it says of one alone.

    What the store keeps for it travels as a reference where it would have more than `max_bytes`.
    """
    value, headers = original.value, without_errors(original.headers)
    if original.size > max_bytes and stored_payload(letter) is not None and original.key == letter.item.message.key:
        value = letter.item.message.value
        headers = (*_without(headers, Header.CONTENT_TYPE), _STORED_MARK)
    if all(name.lower() != Header.ITEM_ID for name, _ in headers):
        headers = (*headers, (Header.ITEM_ID.value, letter.item.item_id.encode()))
    if letter.job_id is None:
        headers = _without(headers, Header.JOB_ID) if letter.item.job_id is not None else headers
    elif generation is not None:
        headers = (*_without(headers, Header.GENERATION), (Header.GENERATION.value, str(generation).encode()))
    return OutgoingRecord(topic, original.key, value, headers)


def without_errors(headers: Headers) -> Headers:
    """The item's own headers, and those of intake and producer that are still true."""
    return tuple(
        pair for pair in headers if not pair[0].lower().startswith(ERROR_PREFIXES) and pair[0].lower() not in _SPENT
    )


def _without(headers: Headers, dropped: Header) -> Headers:
    return tuple(pair for pair in headers if pair[0].lower() != dropped)


def _load(uri: str, store: Store) -> bytes:
    """Only what a worker has put below our own store: anybody can write a dead letter that names another place."""
    key = PAYLOADS + uri.rpartition(f"/{PAYLOADS}")[2]
    try:
        if store.uri(key) == uri:
            return store.get(key)
    except ValueError:
        pass  # no key of a store
    except KeyError:
        raise Irrecoverable(f"its payload {uri} is gone from the store") from None
    raise Irrecoverable(f"its payload {uri} lies outside of {store.uri(PAYLOADS + 'x')[:-1]}")


def _json(data: bytes | None) -> dict[str, Any]:
    try:
        value = orjson.loads(data or b"")
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}
