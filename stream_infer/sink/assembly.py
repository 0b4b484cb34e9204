"""What a finished job leaves in the store: `manifest.json`, `_SUCCESS`, and nothing that no manifest names."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import structlog

from stream_infer.errors import ServiceUnavailable, StreamInferError
from stream_infer.jobs.events import Finalized
from stream_infer.jobs.manifest import (
    MANIFEST_NAME,
    SUCCESS_NAME,
    Assembled,
    JobManifest,
    Kind,
    ManifestRecord,
    job_folder,
)
from stream_infer.jobs.replays import Replays, still_failed
from stream_infer.jobs.status import JobStatus
from stream_infer.ports import Store
from stream_infer.sink.flush import JSONL
from stream_infer.sink.names import ObjectName, read_name

log = structlog.get_logger(__name__)


class Abandoned(StreamInferError):
    """The job's partition is somebody else's now, or the process is ending: nothing more is to be written."""


class Check(Protocol):
    """Whether to go on: waits so many seconds, and raises Abandoned where the step is not ours any more."""

    def __call__(self, seconds: float = 0.0) -> None: ...


def is_whole(status: JobStatus, records: Iterable[ManifestRecord]) -> bool:
    """Whether `records` account for everything sunk.

    A transaction becomes visible partition by partition: the tracker may have read the count before we can read the
    manifest record that was committed with it.
    """
    return sum(record.count for record in records) >= status.counts.sunk


def job_manifest(
    status: JobStatus, records: Iterable[ManifestRecord], assembled: Assembled | None = None
) -> JobManifest:
    return JobManifest(
        job_id=status.job_id,
        api=status.api,
        generation=status.generation,
        cause=status.ends_early,
        counts=status.counts,
        objects=tuple(record.model_copy(update={"shape": None}) for record in sorted(records, key=_order)),
        assembled=assembled,
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


def unseal(store: Store, status: JobStatus) -> None:
    """Takes `_SUCCESS` of an earlier generation away. Raises ServiceUnavailable."""
    if status.generation > 1:
        store.delete(job_folder(status.api, status.job_id) + SUCCESS_NAME)


def assemble(
    store: Store,
    status: JobStatus,
    records: Sequence[ManifestRecord],
    replays: Replays,
    check: Check,
    assembled: Callable[[Sequence[ManifestRecord]], Assembled | None] = lambda _records: None,
) -> list[ManifestRecord]:
    """Answers what is left of `records`, without the errors that were replayed. Can be run again at any point.

    `assembled` makes of that what the job wants besides, before anything says that all is there.

    `check()` is asked before each change, and raises Abandoned to stop here. `_SUCCESS` comes last and says that
    everything in `manifest.json` is there; a job that did not run to its end, in this generation or an earlier one, has
    none. Orphans go behind `manifest.json`, since the one of an earlier generation may name them. A slow sink that does
    not know yet that it was replaced may put an orphan after this: harmless, since only what the manifest names counts.
    Raises ServiceUnavailable.
    """
    folder = job_folder(status.api, status.job_id)
    check()
    unseal(store, status)
    left = [kept for kept in (trim(store, record, replays, status, check) for record in records) if kept is not None]
    besides = assembled(left)
    check()
    manifest = job_manifest(status, left, besides).model_dump_json(indent=1, exclude_none=True)
    store.put(folder + MANIFEST_NAME, manifest.encode(), "application/json")
    for kind in Kind:
        keys = [found.key for found in store.list(f"{folder}{kind}/")]
        for key in orphans(keys, [*records, *left], status.generation):
            check()
            store.delete(key)
            log.info("orphan_removed", key=key, job_id=status.job_id)
    if status.ends_early is None:
        check()
        store.put(folder + SUCCESS_NAME, b"")
    return left


def trim(
    store: Store, record: ManifestRecord, replays: Replays, status: JobStatus, check: Check
) -> ManifestRecord | None:
    """The object without the errors that were replayed: itself, a shorter copy beside it, or None where none is left.

    The copy's name follows from what it is made of, so that doing it again leaves no second one. What is committed is
    never changed: the next generation begins with it again.
    """
    if record.kind is not Kind.ERRORS or not _may_be_replayed(record, replays):
        return record
    try:
        lines = [line + b"\n" for line in store.get(record.key).split(b"\n") if line]
    except KeyError:
        raise ServiceUnavailable(f"the object {store.uri(record.key)} is committed and is not there") from None
    kept = list(still_failed(lines, replays))
    if len(kept) == len(lines):
        return record
    if not kept:
        return None
    body = b"".join(kept)
    instance = hashlib.sha256(b"%b\0%b" % (record.key.encode(), body)).hexdigest()[:12]
    name = ObjectName(record.kind, record.partition, record.first_offset, status.generation, instance)
    key = f"{job_folder(status.api, status.job_id)}{record.kind}/{name}"
    check()
    store.put(key, body, JSONL)
    update = {"key": key, "count": len(kept), "bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()}
    return record.model_copy(update=update)


def _may_be_replayed(record: ManifestRecord, replays: Replays) -> bool:
    """Without looking into it: offsets tell."""
    return any(
        partition == record.partition and record.first_offset <= offset <= record.last_offset
        for partition, offset in replays.replayed.get(record.topic, ())
    )


def finalized(
    store: Store, status: JobStatus, records: Sequence[ManifestRecord], at: float, error: str | None = None
) -> Finalized:
    """The event that says so; `at` is seconds since the epoch, `error` what could not be assembled."""
    return Finalized(
        job_id=status.job_id,
        at=at,
        generation=status.generation,
        manifest=store.uri(job_folder(status.api, status.job_id) + MANIFEST_NAME),
        objects=len(records),
        bytes=sum(record.bytes for record in records),
        error=error,
    )
