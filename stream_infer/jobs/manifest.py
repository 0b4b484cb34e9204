"""The objects of a job that count: only those with a committed record here do; and what is left when it is done."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from stream_infer.jobs.bounds import ApiName, Generation, JobId, Whole
from stream_infer.jobs.counts import Counts
from stream_infer.jobs.status import Cause

MANIFEST_NAME = "manifest.json"
SUCCESS_NAME = "_SUCCESS"


class Kind(StrEnum):
    """What an object holds; also the folder it lies in."""

    RESULTS = "results"
    ERRORS = "errors"


class ManifestRecord(BaseModel):
    """One object. Offsets are those of the first and last record in it, ordinals the items' places in the source.

    `count` records of Kafka lie in it, one a line; over all objects of a job they add up to `Counts.sunk`. In
    `manifest.json` those of failures that were replayed are left out, which makes `Counts.reopened` fewer. `shape`:
    what has to agree with other objects of the job (sink/agreeing.py); `bytes` and `sha256` are as it was committed.
    """

    model_config = ConfigDict(frozen=True)

    job_id: JobId
    api: ApiName
    generation: Generation
    kind: Kind
    key: str = Field(pattern=r"^[^\x00-\x1f\x7f]{1,1024}$")
    topic: str
    partition: Whole
    first_offset: Whole
    last_offset: Whole
    first_ordinal: Whole | None = None
    last_ordinal: Whole | None = None
    count: Whole
    bytes: Whole
    sha256: str
    shape: str | None = Field(default=None, max_length=8192)


class Assembled(BaseModel):
    """How many objects were assembled below `output`, and how many were left out since they are not whole."""

    model_config = ConfigDict(frozen=True)

    output: str = ""
    objects: Whole = 0
    left_out: Whole = 0


class JobManifest(BaseModel):
    """`manifest.json`: what a finished job left, the objects in the order of their items. Keys are below the store."""

    model_config = ConfigDict(frozen=True)

    job_id: str
    api: str
    generation: int
    cause: Cause | None = None
    counts: Counts
    objects: tuple[ManifestRecord, ...]
    assembled: Assembled | None = None


def job_folder(api: str, job_id: str) -> str:
    """Where a job's objects lie below the store's root; ends with '/'."""
    return f"{api}/{job_id}/"


def manifest_key(record: ManifestRecord) -> bytes:
    """`job/object`; the record lies in the partition of the job alone, so that one reader sees all of a job."""
    return f"{record.job_id}/{record.key}".encode()


def job_of_manifest_key(key: bytes) -> str:
    return key.decode(errors="replace").partition("/")[0]


def encode_manifest(record: ManifestRecord) -> bytes:
    return record.model_dump_json(exclude_none=True).encode()


def decode_manifest(value: bytes) -> ManifestRecord:
    """Raises ValueError; also where the object lies elsewhere than its job, or readers would be led there."""
    record = ManifestRecord.model_validate_json(value)
    folder = job_folder(record.api, record.job_id)
    if not record.key.startswith(folder) or not {"", ".", ".."}.isdisjoint(record.key.split("/")):
        raise ValueError(f"{record.key!r} is no object of {folder}")
    return record
