"""The objects of S3 whose address begins as a job says."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from connectors.s3 import s3_errors
from connectors.sources.files import source_errors
from connectors.sources.globs import select_objects
from connectors.sources.opening import Opener
from connectors.sources.places import Placed
from connectors.uris import RefusedPlace, S3Place, s3_place_of
from stream_infer.errors import SourceError

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import ListObjectsV2RequestTypeDef

_CURSOR = re.compile(r"(\d{1,9}):([^\s|:]+)", re.ASCII)


class S3Listing:
    """Below each of `starts` (s3://bucket/start-of-keys) in turn, in the order of keys; holds a page of 1,000.

    Objects whose key ends in '/' mark directories and are passed over; so is what begins alike and lies outside of
    what is allowed. The cursor is the start's number and the key, percent-encoded: each page is asked for by the key
    before it, so that a listing may rest for hours and be taken up by another process.
    """

    def __init__(self, starts: Sequence[str], *, includes: Sequence[str] = (), excludes: Sequence[str] = ()) -> None:
        try:
            self._starts = [s3_place_of(start) for start in starts]
        except RefusedPlace as error:
            raise SourceError(str(error)) from None
        self._selection = select_objects(includes, excludes)

    def at(self, cursor: str, _opener: Opener) -> Placed:
        number, key = self._read(cursor)
        return _placed(number, S3Place(self._starts[number].bucket, key))

    def behind(self, cursor: str | None, opener: Opener) -> Iterator[Placed]:
        first, after = (0, "") if cursor is None else self._read(cursor)
        for number, start in enumerate(self._starts[first:], first):
            for place in self._listed(start, after if number == first else "", opener):
                yield _placed(number, place)

    def nothing(self) -> str:
        starts = ", ".join(start.uri for start in self._starts[:3]) + (", …" if len(self._starts) > 3 else "")
        return f"no object whose address begins with {starts} is meant by includes and excludes: look at both"

    def _listed(self, start: S3Place, after: str, opener: Opener) -> Iterator[S3Place]:
        with source_errors(start.uri):
            opener.policy.check_s3(start)
            for key in _keys(opener, start, after):
                place = S3Place(start.bucket, key)
                names = [name for name in ("s3:", place.bucket, *key.split("/")) if name]
                if not key.endswith("/") and opener.policy.allows_s3(place) and self._selection.selects(names):
                    yield place

    def _read(self, cursor: str) -> tuple[int, str]:
        match = _CURSOR.fullmatch(cursor)
        if match is None or int(match[1]) >= len(self._starts):
            raise SourceError(f"cursor {cursor!r} is not one of a listing of S3: it reads number:key")
        return int(match[1]), unquote(match[2])


def _placed(number: int, place: S3Place) -> Placed:
    return Placed(place.uri, place.key.encode(), f"{number}:{quote(place.key)}")


def _keys(opener: Opener, start: S3Place, after: str) -> Iterator[str]:
    """Raises S3Error."""
    while True:
        request: ListObjectsV2RequestTypeDef = {"Bucket": start.bucket, "Prefix": start.key}
        if after:
            request["StartAfter"] = after
        with s3_errors():
            page = opener.s3().list_objects_v2(**request)
        keys = [entry["Key"] for entry in page.get("Contents", [])]
        yield from keys
        if not page.get("IsTruncated") or not keys:
            return
        if keys[-1] <= after:
            raise SourceError(f"{start.uri} cannot be listed: the server gives {keys[-1]!r} behind {after!r}")
        after = keys[-1]
