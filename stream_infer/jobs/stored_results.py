"""The lines of an object of results, whatever its format."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import orjson

from stream_infer.errors import ServiceUnavailable, StreamInferError
from stream_infer.jobs.manifest import MANIFEST_NAME, JobManifest, ManifestRecord, job_folder
from stream_infer.ports import Formats, ObjectFormat, Store

ITEMS = "items/"
"""In a job's folder: the objects of its items, where each has one."""
_LINES = ".jsonl"
_LISTS = ".items.jsonl"


@dataclass(frozen=True, slots=True)
class ItemsFolder:
    """The objects of a job's items."""

    store: Store
    folder: str

    def get(self, name: str) -> bytes:
        return self.store.get(self.folder + name)

    def uri(self, name: str) -> str:
        return self.store.uri(self.folder + name)


@dataclass(frozen=True, slots=True)
class StoredResults:
    """What is committed, read back. `formats` by their names in the settings."""

    store: Store
    formats: Formats

    def lines(self, record: ManifestRecord) -> Iterator[bytes]:
        """Of the object, one at a time, in the order of their items; line ends included.

        The object itself is held as a whole. Raises ServiceUnavailable, also where it is not there any more, or
        StreamInferError where it cannot be read here.
        """
        format_ = self._format_of(record.key)
        data = self._get(record.key)
        folder = ItemsFolder(self.store, job_folder(record.api, record.job_id) + ITEMS)
        try:
            yield from _split(data) if format_ is None else format_.decode(data, folder)
        except KeyError as error:
            raise self._gone(f"an item's object, {error.args[0]}") from None
        except ValueError as error:
            raise StreamInferError(f"{self.store.uri(record.key)} cannot be read: {error}") from error

    def as_left(self, records: Sequence[ManifestRecord]) -> Sequence[ManifestRecord]:
        """The objects of a job as they lie there: those that were made to agree when it ended were put anew, and
        only `manifest.json` says what they are since. Raises ServiceUnavailable.
        """
        if all(record.shape is None for record in records):
            return records
        name = job_folder(records[0].api, records[0].job_id) + MANIFEST_NAME
        try:
            manifest = JobManifest.model_validate_json(self.store.get(name))
        except (KeyError, ValueError):  # it has not ended, or somebody else has written there
            return records
        left = {found.key: found for found in manifest.objects}
        return [left.get(record.key, record) for record in records]

    def lists_items(self, record: ManifestRecord) -> bool:
        """Whether each item in it has an object of its own."""
        return record.key.endswith(_LISTS)

    def listed(self, record: ManifestRecord) -> Iterator[bytes]:
        """A line for each of its items, in their order; `object` is the key of the item's own. Raises as `lines`."""
        folder = job_folder(record.api, record.job_id)
        for line in _split(self._get(record.key)):
            entry = orjson.loads(line)
            yield orjson.dumps(entry | {"object": folder + entry["object"]})

    def _format_of(self, key: str) -> ObjectFormat | None:
        name = key.rpartition("/")[2]
        found = [format_ for format_ in self.formats.values() if name.endswith(format_.suffix)]
        if found:
            return max(found, key=lambda format_: len(format_.suffix))
        if name.endswith(_LINES):
            return None
        advice = "; pyarrow reads it: install stream-infer[parquet]" if name.endswith(".parquet") else ""
        raise StreamInferError(f"{self.store.uri(key)} is of a format that cannot be read here{advice}")

    def _get(self, key: str) -> bytes:
        try:
            return self.store.get(key)
        except KeyError:
            raise self._gone(self.store.uri(key)) from None

    def _gone(self, what: str) -> ServiceUnavailable:
        return ServiceUnavailable(f"the object {what} is committed and is not there")


def _split(data: bytes) -> Iterable[bytes]:
    start = 0
    while start < len(data):
        end = data.find(b"\n", start) + 1 or len(data)
        yield data[start:end]
        start = end
