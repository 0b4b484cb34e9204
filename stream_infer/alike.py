"""Records in a row that are alike: read as columns, not item by item."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stream_infer.headers import Header
from stream_infer.records import JSON, Run

_JSON = JSON.encode()
_CONTENT_TYPE, _ITEM_ID = Header.CONTENT_TYPE.value, Header.ITEM_ID.value
_JOB_ID, _GENERATION = Header.JOB_ID.value, Header.GENERATION.value
_SHARED = frozenset({_CONTENT_TYPE, _JOB_ID, _GENERATION})
_TRACEPARENT, _TRACESTATE = Header.TRACEPARENT.value, Header.TRACESTATE.value
_ORDINARY = _SHARED | {Header.ITEM_ID.value, Header.CUSTOM_ID.value, Header.SOURCE.value, _TRACEPARENT, _TRACESTATE}
# Of a key, or of one header: far below what a record may carry.
_LARGEST_OWN = 4096


@dataclass(frozen=True, slots=True)
class Alike:
    """What the items of a run have in common, where nothing more is to be said of any than its ids, source and trace.

    `own` are each item's headers that its result carries on. `generation` is 1.
    """

    content_type: str
    job_id: str | None
    own: list[tuple[tuple[str, bytes], ...]]

    def traceparents(self, start: int, end: int) -> set[bytes]:
        """Of the items from `start` to `end`: looked for in the first one alone, since all have the same headers."""
        names = [name for name, _ in self.own[0]]
        if _TRACEPARENT not in names:
            return set()
        at = names.index(_TRACEPARENT)
        return {headers[at][1] for headers in self.own[start:end]}


def read_alike(run: Run) -> Alike | None:
    """None where they are not alike, or anything about them is out of the ordinary: `read_item` understands those."""
    if max([len(key or b"") for key in run.keys]) > _LARGEST_OWN:
        return None
    if not any(run.headers):
        place = f"{run.topic}-{run.partition}-"
        return Alike(JSON, None, [((_ITEM_ID, (place + str(offset)).encode()),) for offset in run.offsets])
    try:
        columns = list(zip(*run.headers, strict=True))
    except ValueError:
        return None
    said: dict[str, bytes] = {}
    own: list[tuple[tuple[str, bytes], ...]] = []
    seen: set[str] = set()
    for column in columns:
        name, value = column[0]
        if name in seen or name not in _ORDINARY:
            return None
        seen.add(name)
        if name in _SHARED:
            if value is None or column.count(column[0]) < len(column):
                return None
            said[name] = value
            continue
        names, values = zip(*column, strict=True)
        if names.count(name) < len(names) or not all(values) or not _is_text(values):
            return None
        own.append(column)
    if _TRACESTATE in seen and _TRACEPARENT not in seen:
        return None
    return _alike(said, own, has_id=_ITEM_ID in seen)


def _alike(said: dict[str, bytes], own: list[tuple[tuple[str, bytes], ...]], *, has_id: bool) -> Alike | None:
    try:
        content_type, job_id = said.get(_CONTENT_TYPE, _JSON).decode(), said.get(_JOB_ID, b"").decode()
    except UnicodeDecodeError:
        return None
    is_odd = not has_id or not content_type or (_JOB_ID in said and not job_id)
    if is_odd or said.get(_GENERATION, b"1") != b"1":
        return None
    return Alike(content_type, job_id or None, list(zip(*own, strict=True)))


def _is_text(values: Sequence[bytes]) -> bool:
    joined = b"\n".join(values)
    try:
        joined.decode()
    except UnicodeDecodeError:
        return False
    return len(joined) <= _LARGEST_OWN * len(values) and max(map(len, values)) <= _LARGEST_OWN
