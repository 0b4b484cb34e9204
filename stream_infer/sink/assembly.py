"""What a finished job leaves in the store: `manifest.json`, `_SUCCESS`, and nothing that no manifest names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import structlog

from stream_infer.errors import StreamInferError
from stream_infer.jobs.events import Finalized
from stream_infer.jobs.manifest import MANIFEST_NAME, SUCCESS_NAME, JobManifest, Kind, ManifestRecord, job_folder
from stream_infer.jobs.status import JobStatus
from stream_infer.ports import Store
from stream_infer.sink.names import read_name

log = structlog.get_logger(__name__)


class Abandoned(StreamInferError):
    """The job's partition is somebody else's now, or the process is ending: nothing more is to be written."""


def is_whole(status: JobStatus, records: Iterable[ManifestRecord]) -> bool:
    """Whether `records` account for everything sunk.

    A transaction becomes visible partition by partition: the tracker may have read the count before we can read the
    manifest record that was committed with it.
    """
    return sum(record.count for record in records) >= status.counts.sunk


def job_manifest(status: JobStatus, records: Iterable[ManifestRecord]) -> JobManifest:
    return JobManifest(
        job_id=status.job_id,
        api=status.api,
        generation=status.generation,
        cause=status.cause,
        counts=status.counts,
        objects=tuple(sorted(records, key=_order)),
    )


def _order(record: ManifestRecord) -> tuple[Any, ...]:
    """Results, then errors, each in the order of the job's source; what has no ordinal comes last."""
    unnumbered = record.first_ordinal is None
    return (
        record.kind is Kind.ERRORS,
        unnumbered,
        record.first_ordinal or 0,
        record.topic,
        record.partition,
        record.first_offset,
    )


def orphans(keys: Iterable[str], records: Iterable[ManifestRecord], generation: int) -> list[str]:
    """Of the keys in a job's folders, those that the sink gave up to `generation` and no manifest record names."""
    named = {record.key for record in records}
    found = ((key, read_name(key)) for key in keys if key not in named)
    return [key for key, name in found if name is not None and name.generation <= generation]


def assemble(store: Store, status: JobStatus, records: Sequence[ManifestRecord], check: Callable[[], None]) -> None:
    """Can be run again at any point. `check` is asked before each change, and raises Abandoned to stop here.

    `_SUCCESS` comes last and says that everything in `manifest.json` is there; a job that was stopped, timed out or
    failed has none. A slow sink that does not know yet that it was replaced may put an orphan after this: harmless,
    since only what the manifest names counts. Raises ServiceUnavailable.
    """
    folder = job_folder(status.api, status.job_id)
    success = folder + SUCCESS_NAME
    if status.generation > 1:
        check()
        store.delete(success)
    for kind in Kind:
        keys = [found.key for found in store.list(f"{folder}{kind}/")]
        for key in orphans(keys, records, status.generation):
            check()
            store.delete(key)
            log.info("orphan_removed", key=key, job_id=status.job_id)
    check()
    manifest = job_manifest(status, records).model_dump_json(indent=1, exclude_none=True)
    store.put(folder + MANIFEST_NAME, manifest.encode(), "application/json")
    if status.cause is None:
        check()
        store.put(success, b"")


def finalized(store: Store, status: JobStatus, records: Sequence[ManifestRecord], at: float) -> Finalized:
    """The event that says so; `at` is seconds since the epoch."""
    return Finalized(
        job_id=status.job_id,
        at=at,
        generation=status.generation,
        manifest=store.uri(job_folder(status.api, status.job_id) + MANIFEST_NAME),
        objects=len(records),
        bytes=sum(record.bytes for record in records),
    )
