"""`/v1/jobs/{id}/results?links=true`: addresses by which anybody can read what is stored, for a while."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

import orjson

from stream_infer.errors import NoLinks
from stream_infer.http.problems import Problem, ProblemKind
from stream_infer.jobs.manifest import ManifestRecord
from stream_infer.jobs.merge import merge_objects
from stream_infer.jobs.stored_results import StoredResults
from stream_infer.ports import Store

EXPIRES_S = 3600
LONGEST_S = 7 * 86400
"""S3's own limit; credentials that end earlier end their links, too."""
_NAMED = ("item_id", "custom_id", "source", "object", "content_type")


def links_of(records: Sequence[ManifestRecord], results: StoredResults, seconds: int, now: float) -> Iterator[bytes]:
    """A line of JSON for each object, in the order of the items; where each item has one, for each item.

    `now` is seconds since the epoch. Raises a Problem where the store has no links, or ServiceUnavailable.
    """
    store = results.store
    until = datetime.fromtimestamp(now + seconds, UTC).isoformat(timespec="seconds")
    try:
        store.link("x", seconds)
    except NoLinks as error:
        raise Problem(ProblemKind.NO_LINKS, str(error)) from None
    plain = sorted((record for record in results.as_left(records) if not results.lists_items(record)), key=_order)
    listing = [record for record in records if results.lists_items(record)]
    return _lines(plain, merge_objects(listing, results.listed), store, seconds, until)


def _lines(
    plain: Iterable[ManifestRecord], listed: Iterable[bytes], store: Store, seconds: int, until: str
) -> Iterator[bytes]:
    for record in plain:
        named = {"object": record.key, "items": record.count, "bytes": record.bytes}
        yield _line(named, store.link(record.key, seconds), until)
    for line in listed:
        entry = orjson.loads(line)
        named = {name: entry[name] for name in _NAMED if name in entry}
        yield _line(named, store.link(entry["object"], seconds), until)


def _line(named: dict[str, object], url: str, until: str) -> bytes:
    return orjson.dumps(named | {"url": url, "expires_at": until}, option=orjson.OPT_APPEND_NEWLINE)


def _order(record: ManifestRecord) -> tuple[bool, int, str]:
    return record.first_ordinal is None, record.first_ordinal or 0, record.key
