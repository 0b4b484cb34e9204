"""Objects of a job that are to be read together, made so that they can be."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import structlog

from stream_infer.errors import ServiceUnavailable
from stream_infer.jobs.manifest import ManifestRecord
from stream_infer.ports import Formats, ObjectFormat, Store
from stream_infer.sink.assembly import Check

log = structlog.get_logger(__name__)


def agreeing(store: Store, records: Sequence[ManifestRecord], formats: Formats, check: Check) -> list[ManifestRecord]:
    """`records`, those that disagree with others (ManifestRecord.shape) as they are once they have been put anew.

    Each finds its own schema when it is put, which no other sink knows of; so this is seen only at the end. An object
    is replaced by one with the same lines under the same key: what is committed says where it is, and stays true. Can
    be run again at any point. Raises ServiceUnavailable, and what `check` raises.
    """
    replaced: dict[str, ManifestRecord] = {}
    for format_ in formats.values():
        shaped = [record for record in records if record.shape is not None and record.key.endswith(format_.suffix)]
        if not format_.agree({record.shape for record in shaped if record.shape is not None}):
            log.info("objects_made_to_agree", job_id=shaped[0].job_id, objects=len(shaped))
            replaced |= {record.key: _plain(store, record, format_, check) for record in shaped}
    return [replaced.get(record.key, record) for record in records]


def _plain(store: Store, record: ManifestRecord, format_: ObjectFormat, check: Check) -> ManifestRecord:
    try:
        data = store.get(record.key)
    except KeyError:
        raise ServiceUnavailable(f"the object {store.uri(record.key)} is committed and is not there") from None
    body = format_.plain(data)
    if body != data:
        check()
        store.put(record.key, body, format_.content_type)
    update = {"bytes": len(body), "sha256": hashlib.sha256(body).hexdigest(), "shape": None}
    return record.model_copy(update=update)
