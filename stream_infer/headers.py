"""What an item's record says of itself, header by header: reading it, and writing it on.

Names and values are bytes on the wire; a header that a producer set is carried on untouched. Reading never raises: a
record whose headers cannot be understood is an `Item` with a `fault`, and ends as a dead letter.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum

from stream_infer.records import JSON, Control, Headers, Item, Message, Position, new_tuple
from stream_infer.trace_context import TraceContext

LARGEST_NUMBER = 10**18 - 1  # of 18 digits, which is what is read of a number


class Header(StrEnum):
    """Headers of an item, a result and a dead letter. All are optional on the way in."""

    CONTENT_TYPE = "content-type"
    JOB_ID = "si-job-id"
    ITEM_ID = "si-item-id"
    CUSTOM_ID = "si-custom-id"
    SOURCE = "si-source"
    ATTEMPT = "si-attempt"
    NOT_BEFORE = "si-not-before"
    DEADLINE = "si-deadline"
    GENERATION = "si-generation"
    TRACEPARENT = "traceparent"
    TRACESTATE = "tracestate"
    RETRY_SINCE = "si-retry-since"
    ORIGIN = "si-origin"
    CONTROL = "si-control"
    RESULT_FORMAT = "si-result-format"
    UNREADABLE = "si-unreadable-headers"
    REFUSED = "si-refused"
    WORKER = "si-worker"
    API_VERSION = "si-api-version"
    FAILED_AT = "si-failed-at"
    CLOUDEVENTS_ID = "ce_id"
    CLOUDEVENTS_TYPE = "ce_datacontenttype"


# Names as plain strings: looking up an enum's value costs more than the rest of a result's header.
_CONTENT_TYPE, _ITEM_ID, _JOB_ID, _GENERATION, _CUSTOM_ID, _SOURCE, _TRACEPARENT = (
    header.value
    for header in (
        Header.CONTENT_TYPE,
        Header.ITEM_ID,
        Header.JOB_ID,
        Header.GENERATION,
        Header.CUSTOM_ID,
        Header.SOURCE,
        Header.TRACEPARENT,
    )
)
_TRACESTATE = Header.TRACESTATE.value
_RESULT_FORMAT = Header.RESULT_FORMAT.value
_CONTENT_TYPE_JSON = (_CONTENT_TYPE, JSON.encode())
# What few items have, such as a tracestate, goes the long way, and costs the others nothing.
_ORDINARY = {name: name for name in (_CONTENT_TYPE, _ITEM_ID, _JOB_ID, _GENERATION, _CUSTOM_ID, _SOURCE, _TRACEPARENT)}
# A result says this, too; an item's result does not carry it on.
_READ = _ORDINARY | {_RESULT_FORMAT: _RESULT_FORMAT}
_DIGITS = re.compile(rb"\d{1,18}")
_DECIMAL = re.compile(rb"\d{1,12}(\.\d{1,9})?")
_ORIGIN = re.compile(rb"([A-Za-z0-9._-]{1,249})/(\d{1,9})/(\d{1,18})")
_NOTHING_SAID = tuple(Item._field_defaults.values())
# An item's fields from `attempt` on, unless a retry, a deadline, a control record or a fault has changed them.
REST = Item._fields.index("attempt")
ORDINARY_REST = tuple(Item._field_defaults[name] for name in Item._fields[REST:])


def read_item(message: Message) -> Item:
    """The item that `message` is; one without an id is named after its first position."""
    topic, partition, offset, _, _, headers, _ = message
    if not headers:
        return new_tuple(Item, (message, f"{topic}-{partition}-{offset}", *_NOTHING_SAID))
    # What nearly all items carry, as intake writes it. All else, and whatever is odd, goes the long way.
    found: dict[str, str] = {}
    try:
        for name, value in headers:
            found[_READ[name]] = value.decode()  # type: ignore[union-attr]
    except (KeyError, AttributeError, UnicodeDecodeError):
        return _read_any_item(message)
    if found.get(_GENERATION, "1") != "1" or "" in found.values():
        return _read_any_item(message)
    get = found.get
    return new_tuple(
        Item,
        (
            message,
            get(_ITEM_ID) or f"{topic}-{partition}-{offset}",
            get(_CONTENT_TYPE, JSON),
            get(_JOB_ID),
            1,
            get(_CUSTOM_ID),
            get(_SOURCE),
            get(_TRACEPARENT),
            *ORDINARY_REST,
        ),
    )


def _read_any_item(message: Message) -> Item:
    headers = {name.lower(): value for name, value in message.headers if value is not None}
    faults: list[str] = []

    def text(name: Header) -> str | None:
        value = headers.get(name)
        if value is None:
            return None
        try:
            return value.decode()
        except UnicodeDecodeError:
            faults.append(f"header {name} is not UTF-8: {value[:40]!r}")
            return None

    def integer(name: Header, default: int) -> int:
        value = headers.get(name)
        if value is None:
            return default
        if not _DIGITS.fullmatch(value) or int(value) < 1:
            faults.append(f"header {name} is not a whole number above 0: {value[:40]!r}")
            return default
        return int(value)

    def seconds(name: Header) -> float | None:
        value = headers.get(name)
        if value is None:
            return None
        if not _DECIMAL.fullmatch(value):
            faults.append(f"header {name} is not a time in seconds since 1970: {value[:40]!r}")
            return None
        return float(value)

    if Header.UNREADABLE in headers:
        faults.append(text(Header.UNREADABLE) or "its headers cannot be read")
    if Header.REFUSED in headers:
        faults.append(text(Header.REFUSED) or "its source cannot give it")
    item_id = text(Header.ITEM_ID) or f"{message.topic}-{message.partition}-{message.offset}"
    traceparent, tracestate = _read_trace(headers)
    return Item(
        message=message,
        item_id=item_id,
        content_type=text(Header.CONTENT_TYPE) or text(Header.CLOUDEVENTS_TYPE) or JSON,
        job_id=text(Header.JOB_ID) or None,
        generation=integer(Header.GENERATION, 1),
        attempt=integer(Header.ATTEMPT, 1),
        custom_id=text(Header.CUSTOM_ID) or text(Header.CLOUDEVENTS_ID),
        source=text(Header.SOURCE),
        traceparent=traceparent,
        not_before=seconds(Header.NOT_BEFORE),
        deadline=seconds(Header.DEADLINE),
        retry_since=seconds(Header.RETRY_SINCE),
        origin=_read_origin(headers.get(Header.ORIGIN)),
        control=_read_control(headers.get(Header.CONTROL), faults),
        fault="; ".join(faults) or None,
        tracestate=tracestate,
    )


def _read_trace(headers: Mapping[str, bytes]) -> tuple[str | None, str | None]:
    """Nobody's item is rejected for what an observer of it has written: what is no UTF-8 is left out."""
    traceparent = _decoded(headers.get(Header.TRACEPARENT, b""))
    return traceparent, None if traceparent is None else _decoded(headers.get(Header.TRACESTATE, b""))


def _decoded(value: bytes) -> str | None:
    try:
        return value.decode() or None
    except UnicodeDecodeError:
        return None


def _read_control(value: bytes | None, faults: list[str]) -> Control | None:
    """A record that asks for something unknown is an item with a fault: taken for a control record, it would vanish."""
    known = None if value is None else next((control for control in Control if control.encode() == value), None)
    if value is not None and known is None:
        faults.append(f"header {Header.CONTROL} is not {' or '.join(Control)}: {value[:40]!r}")
    return known


def _read_origin(value: bytes | None) -> Position | None:
    """`topic/partition/offset`; what is no such thing is none: it only names where the item came from."""
    match = _ORIGIN.fullmatch(value or b"")
    return None if match is None else Position(match[1].decode(), int(match[2]), int(match[3]))


def retry_headers(item: Item, *, attempt: int, not_before: float, since: float | None = None) -> Headers:
    """The headers of an item on its way into a retry tier: its own, and from here on its name and its origin.

    `not_before` and `since` (see `Item.retry_since`) are seconds since the epoch.
    """
    replaced = {Header.ITEM_ID, Header.ATTEMPT, Header.NOT_BEFORE, Header.RETRY_SINCE, Header.ORIGIN}
    kept = tuple(pair for pair in item.message.headers if pair[0].lower() not in replaced)
    topic, partition, offset = item.first_position
    own: tuple[tuple[str, bytes | None], ...] = (
        (Header.ITEM_ID.value, item.item_id.encode()),
        (Header.ATTEMPT.value, str(attempt).encode()),
        (Header.NOT_BEFORE.value, f"{not_before:.3f}".encode()),
        (Header.ORIGIN.value, f"{topic}/{partition}/{offset}".encode()),
    )
    waited = () if since is None else ((Header.RETRY_SINCE.value, f"{since:.3f}".encode()),)
    return kept + own + waited


def item_headers(
    *,
    content_type: str = JSON,
    job_id: str | None = None,
    item_id: str | None = None,
    custom_id: str | None = None,
    source: str | None = None,
    generation: int = 1,
    deadline: float | None = None,
    control: Control | None = None,
    refused: str | None = None,
) -> Headers:
    """The headers that say so. What goes without saying is left out: None, JSON, the first generation."""
    named = (
        (Header.CONTENT_TYPE, None if content_type == JSON else content_type),
        (Header.JOB_ID, job_id),
        (Header.ITEM_ID, item_id),
        (Header.CUSTOM_ID, custom_id),
        (Header.SOURCE, source),
        (Header.GENERATION, None if generation == 1 else str(generation)),
        (Header.DEADLINE, None if deadline is None else f"{deadline:.3f}"),
        (Header.CONTROL, control),
        (Header.REFUSED, refused),
    )
    return tuple((name.value, value.encode()) for name, value in named if value is not None)


def trace_headers(context: TraceContext | None) -> Headers:
    """Of an item that is published on behalf of `context`."""
    if context is None:
        return ()
    traceparent = (_TRACEPARENT, context.traceparent.encode())
    return (traceparent, (_TRACESTATE, context.state.encode())) if context.state else (traceparent,)


def shared_headers(content_type: str, job_id: str | None, generation: int, result_format: str | None = None) -> Headers:
    """Of a result, what all results of its job have alike. `job_id` None: it belongs to none.

    A result says that it is JSON, since those who read it need not know what goes without saying here. `result_format`:
    how it is to lie in the store, where not as a line of JSON; so that a sink need not know the job.
    """
    alike: Headers = (_CONTENT_TYPE_JSON if content_type == JSON else (_CONTENT_TYPE, content_type.encode()),)
    of_job = () if job_id is None else ((_JOB_ID, job_id.encode()),)
    if result_format is not None:
        alike = (*alike, (_RESULT_FORMAT, result_format.encode()))
    return alike + of_job if generation == 1 or job_id is None else (*alike, *of_job, (_GENERATION, b"%d" % generation))


def own_headers(item: Item) -> tuple[tuple[str, bytes], ...]:
    """Of a result, what is its item's alone: its ids, source and trace; the key is carried by the record itself."""
    _, item_id, _, _, _, custom_id, source, traceparent, *_, tracestate = item
    own: tuple[tuple[str, bytes], ...] = ((_ITEM_ID, item_id.encode()),)
    if custom_id is None and source is None and traceparent is None:
        return own
    more = ((_CUSTOM_ID, custom_id), (_SOURCE, source), (_TRACEPARENT, traceparent))
    own += tuple([(name, value.encode()) for name, value in more if value is not None])
    return own if tracestate is None else (*own, (_TRACESTATE, tracestate.encode()))


def result_headers(
    item: Item, content_type: str, *, jobless: bool = False, result_format: str | None = None
) -> Headers:
    """The headers of an item's result. `jobless`: the item names a job that nobody submitted, so it belongs to none."""
    job_id = None if jobless else item.job_id
    return shared_headers(content_type, job_id, item.generation, result_format) + own_headers(item)


def item_id_of(job_id: str, ordinal: int) -> str:
    """Deterministic, so that an intake that starts again names its items alike. `ordinal` starts at 0."""
    return f"{job_id}-{ordinal}"


def ordinal_of(job_id: str | None, item_id: str) -> int | None:
    """The item's place in its job's source, or None where its id was not made by `item_id_of`.

    Of more than 18 digits it was not; measured, of more than 4,300 Python makes no number at all.
    """
    if job_id is None or not item_id.startswith(f"{job_id}-"):
        return None
    digits = item_id[len(job_id) + 1 :]
    return int(digits) if len(digits) <= 18 and digits.isascii() and digits.isdecimal() else None


def size_of_headers(headers: Headers) -> int:
    return sum([len(name) + len(value or b"") for name, value in headers])


def result_format_of(message: Message) -> str | None:
    """How a result is to lie in the store; None: as a line of JSON."""
    for name, value in message.headers:
        if name == _RESULT_FORMAT and value is not None:
            return value.decode(errors="replace")
    return None
