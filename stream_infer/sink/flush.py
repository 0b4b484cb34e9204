"""The plan of a flush: which objects it puts, and what its transaction says about them. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from stream_infer.jobs.counts import Counts
from stream_infer.jobs.events import Counted, Hindered, encode_event
from stream_infer.jobs.manifest import Kind, ManifestRecord, encode_manifest, manifest_key
from stream_infer.jobs.status import HinderedRole
from stream_infer.kafka.consumer import Partition
from stream_infer.kafka.partitioner import partition_of
from stream_infer.ports import Formats, ItemObject, ObjectFormat
from stream_infer.records import OutgoingRecord
from stream_infer.results import ResultFormat
from stream_infer.settings import Settings
from stream_infer.sink.buffers import Closed
from stream_infer.sink.names import Destination, ObjectName, items_folder, object_key, pending_key
from stream_infer.sink.packed_lines import PackedLines
from stream_infer.topics import Topics

JSONL = "application/x-ndjson"
# Lines whose objects are put one after the other: the pool puts several such runs at a time.
_ITEMS_AT_A_TIME = 64


@dataclass(frozen=True, slots=True)
class Outlet:
    """One of the topics that the sink reads: whose it is, and what lies in it."""

    api: str
    kind: Kind


def outlets(settings: Settings) -> dict[str, Outlet]:
    """The topics that the sink reads."""
    names = {api.name: Topics(settings.kafka.topic_prefix).api(api.name) for api in settings.apis}
    results = {topics.results: Outlet(api, Kind.RESULTS) for api, topics in names.items()}
    return results | {topics.dlq: Outlet(api, Kind.ERRORS) for api, topics in names.items()}


@dataclass(frozen=True, slots=True)
class PlannedObject:
    """One object that is to be put: its key and its lines, in the order of the job's source; None: as they are."""

    key: str
    destination: Destination
    lines: PackedLines
    format: ObjectFormat | None = None

    @property
    def content_type(self) -> str:
        return JSONL if self.format is None else self.format.content_type

    def body(self) -> bytes:
        return self.lines.body if self.format is None else self.format.encode(self.lines)

    def shape_of(self, body: bytes) -> str | None:
        return None if self.format is None else self.format.shape_of(body)


@dataclass(frozen=True, slots=True)
class PlannedItems:
    """Objects of single items. Whoever flushes these records, now or again, puts the same ones under the same keys, so
    they are never taken back: another sink may have committed them by then. `payloads`: where what no message could
    carry was put by the API's own workers."""

    key: str
    folder: str
    payloads: str
    lines: PackedLines
    format: ObjectFormat

    def objects(self) -> Iterator[ItemObject]:
        return self.format.items(self.lines)


@dataclass(frozen=True, slots=True)
class Pending:
    """A note of the job-less objects that follow it: what a successor has to remove if they are never committed."""

    key: str
    objects: tuple[str, ...]

    @property
    def content_type(self) -> str:
        return "application/json"

    def body(self) -> bytes:
        return json.dumps(self.objects).encode()

    def shape_of(self, _body: bytes) -> str | None:
        return None


@dataclass(frozen=True, slots=True)
class FlushPlan:
    """All buffers of `partition`; once they are in the store the group's place there is `position`."""

    outlet: Outlet
    partition: Partition
    position: int
    bytes: int
    objects: tuple[PlannedObject, ...]
    pending: Pending | None
    items: tuple[PlannedItems, ...] = ()


@dataclass(frozen=True, slots=True)
class Stored:
    """What a put has written."""

    size: int
    sha256: str
    shape: str | None = None

    @staticmethod
    def of(body: bytes, shape: str | None = None) -> Stored:
        return Stored(len(body), hashlib.sha256(body).hexdigest(), shape)


def plan_flush(
    outlet: Outlet,
    partition: Partition,
    closed: Closed,
    instance: str,
    max_bytes: int,
    formats: Formats = MappingProxyType({}),
) -> FlushPlan:
    """Objects of at most `max_bytes` of lines (or one line), under names that no other `instance` can use."""
    topic, number = partition
    objects: list[PlannedObject] = []
    items: list[PlannedItems] = []
    for destination, lines in closed.lines.items():
        format_ = formats.get(destination.format or "")
        for part in lines.in_order().split(max_bytes):
            first, _ = part.offsets
            suffix = ".jsonl" if format_ is None else format_.suffix
            name = ObjectName(outlet.kind, number, first, destination.generation, instance, suffix)
            key = object_key(outlet.api, destination, name)
            planned = PlannedObject(key, destination, part, format_)
            objects.append(planned)
            if destination.format == ResultFormat.PER_ITEM and format_ is not None:
                items += _items(outlet.api, topic, destination, planned)
    stream = [planned for planned in objects if planned.destination.job_id is None]
    pending = None
    if stream:
        first = min(planned.lines.offsets[0] for planned in stream)
        key = pending_key(topic, number, first, instance)
        pending = Pending(key, tuple(planned.key for planned in stream))
    return FlushPlan(outlet, partition, closed.position, closed.bytes, tuple(objects), pending, tuple(items))


def _items(api: str, topic: str, destination: Destination, listed: PlannedObject) -> Iterator[PlannedItems]:
    """The objects of the items that are `listed`, some at a time."""
    assert destination.job_id is not None and listed.format is not None
    folder, payloads = items_folder(api, destination.job_id), f"_payloads/results/{topic.removesuffix('results')}"
    for at in range(0, len(listed.lines), _ITEMS_AT_A_TIME):
        some = listed.lines[at : at + _ITEMS_AT_A_TIME]
        yield PlannedItems(f"{listed.key}#{at}", folder, payloads, some, listed.format)


def manifest_record(plan: FlushPlan, planned: PlannedObject, stored: Stored) -> ManifestRecord:
    """What the manifest says of an object of a job."""
    topic, number = plan.partition
    first_offset, last_offset = planned.lines.offsets
    first_ordinal, last_ordinal = planned.lines.ordinals
    assert planned.destination.job_id is not None
    return ManifestRecord(
        job_id=planned.destination.job_id,
        api=plan.outlet.api,
        generation=planned.destination.generation,
        kind=plan.outlet.kind,
        key=planned.key,
        topic=topic,
        partition=number,
        first_offset=first_offset,
        last_offset=last_offset,
        first_ordinal=first_ordinal,
        last_ordinal=last_ordinal,
        count=len(planned.lines),
        bytes=stored.size,
        sha256=stored.sha256,
        shape=stored.shape,
    )


def hindrance_records(
    plan: FlushPlan, reason: str, topics: Topics, job_partitions: int, at: float
) -> list[OutgoingRecord]:
    """Why what lies in `plan` is not in the store yet, to each of its jobs; `at` is seconds since the epoch."""
    jobs = {planned.destination for planned in plan.objects if planned.destination.job_id is not None}
    role = HinderedRole.SINK
    events = [
        Hindered(job_id=job.job_id or "", at=at, generation=job.generation, role=role, reason=reason)
        for job in sorted(jobs, key=lambda job: (job.job_id or "", job.generation))
    ]
    return [
        OutgoingRecord(
            topics.progress,
            event.job_id.encode(),
            encode_event(event),
            partition=partition_of(event.job_id, job_partitions),
        )
        for event in events
    ]


def commit_records(
    plan: FlushPlan, stored: Mapping[str, Stored], topics: Topics, job_partitions: int, at: float
) -> list[OutgoingRecord]:
    """The manifest records and count deltas of a flush whose objects are `stored`; `at` is seconds since the epoch."""
    records = []
    sunk: dict[tuple[str, int], int] = {}
    for planned in plan.objects:
        job_id = planned.destination.job_id
        if job_id is None:
            continue
        entry = manifest_record(plan, planned, stored[planned.key])
        place = partition_of(job_id, job_partitions)
        records.append(OutgoingRecord(topics.manifests, manifest_key(entry), encode_manifest(entry), partition=place))
        job = (job_id, entry.generation)
        sunk[job] = sunk.get(job, 0) + entry.count
    for (job_id, generation), count in sunk.items():
        event = Counted(job_id=job_id, at=at, generation=generation, delta=Counts(sunk=count))
        place = partition_of(job_id, job_partitions)
        records.append(OutgoingRecord(topics.progress, job_id.encode(), encode_event(event), partition=place))
    return records
