"""What the store remembers of files that were sent, and of batches that no job was made of; every gateway finds it.

    _openai/{whose cluster}/{caller}/files/{file id}.json
    _openai/{whose cluster}/{caller}/batches/{batch id}.json

A record is written behind what it is of, and is small; whose it is stands in its key, so that nobody is told of
another one's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field

from stream_infer.gateway.openai.ids import SentId, batch_created_at, read_sent_id
from stream_infer.gateway.openai.lines import Findings, LineError
from stream_infer.http.requests import JSON_TYPE
from stream_infer.jobs.batches import Batch
from stream_infer.jobs.bounds import Moment
from stream_infer.ports import Store

_ROOT = "_openai/"
_ENDING = ".json"
R = TypeVar("R", bound=BaseModel)


class FileRecord(BaseModel):
    """A file that was sent. `uri`: by which a job names it; times in whole seconds since the epoch."""

    model_config = ConfigDict(frozen=True)

    id: str
    filename: str
    bytes: int = Field(ge=0)
    created_at: int
    expires_at: int
    uri: str
    findings: Findings


class FailedBatch(BaseModel):
    """A batch whose file is not valid."""

    model_config = ConfigDict(frozen=True)

    id: str
    batch: Batch
    created_at: Moment
    errors: tuple[LineError, ...]


@dataclass(frozen=True, slots=True)
class Records:
    """Of one cluster, whose `owner` it is (`uploads.owner_of`). Every method blocks, and raises ServiceUnavailable."""

    store: Store
    owner: str

    def file(self, caller: str, file_id: str) -> FileRecord | None:
        return None if read_sent_id(file_id) is None else self._read(self._file_key(caller, file_id), FileRecord)

    def put_file(self, caller: str, record: FileRecord) -> None:
        self._put(self._file_key(caller, record.id), record)

    def delete_file(self, caller: str, file_id: str) -> None:
        self.store.delete(self._file_key(caller, file_id))

    def file_ids(self, caller: str) -> Iterator[str]:
        return self._ids(f"{self._folder(caller)}files/")

    def batch(self, caller: str, batch_id: str) -> FailedBatch | None:
        return (
            None if batch_created_at(batch_id) is None else self._read(self._batch_key(caller, batch_id), FailedBatch)
        )

    def put_batch(self, caller: str, record: FailedBatch) -> None:
        self._put(self._batch_key(caller, record.id), record)

    def batch_ids(self, caller: str) -> Iterator[str]:
        return self._ids(f"{self._folder(caller)}batches/")

    def sweep(self, now: float, retention_s: float) -> frozenset[str]:
        """Removes what is over: files at their time, failed batches as jobs are forgotten. Answers the ids of the
        uploads whose files are still kept."""
        kept = set[str]()
        for found in self.store.list(self._root):
            name = _name_of(found.key)
            sent, batch_at = read_sent_id(name), batch_created_at(name)
            if _is_over(sent, batch_at, now, retention_s):
                self.store.delete(found.key)
            elif sent is not None:
                kept.add(sent.upload_id)
        return frozenset(kept)

    @property
    def _root(self) -> str:
        return f"{_ROOT}{_digest(self.owner)}/"

    def _folder(self, caller: str) -> str:
        return f"{self._root}{_digest(caller)}/"

    def _file_key(self, caller: str, file_id: str) -> str:
        return f"{self._folder(caller)}files/{file_id}{_ENDING}"

    def _batch_key(self, caller: str, batch_id: str) -> str:
        return f"{self._folder(caller)}batches/{batch_id}{_ENDING}"

    def _ids(self, folder: str) -> Iterator[str]:
        for found in self.store.list(folder):
            yield _name_of(found.key)

    def _read(self, key: str, kind: type[R]) -> R | None:
        try:
            return kind.model_validate_json(self.store.get(key))
        except (KeyError, ValueError):  # a stranger's who writes there is none
            return None

    def _put(self, key: str, record: BaseModel) -> None:
        self.store.put(key, record.model_dump_json(exclude_none=True).encode(), JSON_TYPE)


def _is_over(sent: SentId | None, batch_at: int | None, now: float, retention_s: float) -> bool:
    if sent is not None:
        return sent.expires_at <= now
    return batch_at is not None and batch_at + retention_s <= now


def _name_of(key: str) -> str:
    return key.rpartition("/")[2].removesuffix(_ENDING)


def _digest(text: str) -> str:
    """A caller's name may have what no key may."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]
