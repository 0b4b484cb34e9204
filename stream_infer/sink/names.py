"""Where an object lies and what its name says: kind, partition, first offset, generation, and who wrote it.

{api}/{job}/results/results-p00003-o00000000000000001234-g1-0f3a5b7c9d1e.jsonl     errors/ likewise
stream/dt=2025-01-31/hour=23/{api}-results-p00003-o…-g1-….jsonl                    records of no job
stream/_pending/{topic}/00003/o…-….json                                            what is being put there
{api}/{job}/items/cat-17.json                                                      an item's output, where each has one

Another format has another ending: .jsonl.gz, .parquet, or .items.jsonl for a list of objects of items.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime

from stream_infer.jobs.manifest import Kind, job_folder
from stream_infer.jobs.stored_results import ITEMS

_NAME = re.compile(
    r"(?:.+-)?(?P<kind>results|errors)-p(?P<partition>\d{5,9})-o(?P<offset>\d{20})"
    r"-g(?P<generation>\d{1,18})-(?P<instance>[0-9a-f]{12})(?P<suffix>(?:\.[a-z]{1,10}){1,2})",
    re.ASCII,
)
_JOB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_LAST_MS = 253_402_300_799_000  # the end of the year 9999, datetime's last


def new_instance() -> str:
    """The writer's part of a name: no other process, and no later start of this one, has the same."""
    return uuid.uuid4().hex[:12]


def is_job_id(text: str) -> bool:
    """Whether `text` may be a folder's name: anybody can write an item whose job id is `../..`."""
    return _JOB_ID.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a record goes within its kind: to its job, or to the hour (`dt=…/hour=…`) of its timestamp.

    `format`: how it is to lie there, by its name in the settings; None: as a line of JSON.
    """

    job_id: str | None
    generation: int = 1
    hour: str | None = None
    format: str | None = None


def hour_of(timestamp_ms: int) -> str:
    """The UTC hour as Hive names partitions; a record without a timestamp belongs to 1970."""
    moment = datetime.fromtimestamp(min(max(timestamp_ms, 0), _LAST_MS) / 1000, UTC)
    return f"dt={moment:%Y-%m-%d}/hour={moment:%H}"


@dataclass(frozen=True, slots=True)
class ObjectName:
    """What a name says. `offset` is that of the first record in the object."""

    kind: Kind
    partition: int
    offset: int
    generation: int
    instance: str
    suffix: str = ".jsonl"

    def __str__(self) -> str:
        return f"{self.kind}-p{self.partition:05d}-o{self.offset:020d}-g{self.generation}-{self.instance}{self.suffix}"


def object_key(api: str, destination: Destination, name: ObjectName) -> str:
    if destination.job_id is not None:
        return f"{job_folder(api, destination.job_id)}{name.kind}/{name}"
    return f"stream/{destination.hour}/{api}-{name}"


def items_folder(api: str, job_id: str) -> str:
    """Where the objects of a job's items lie."""
    return f"{job_folder(api, job_id)}{ITEMS}"


def read_name(key: str) -> ObjectName | None:
    """What the object's name says, or None where the sink did not give it."""
    match = _NAME.fullmatch(key.rpartition("/")[2])
    if match is None:
        return None
    return ObjectName(
        Kind(match["kind"]),
        int(match["partition"]),
        int(match["offset"]),
        int(match["generation"]),
        match["instance"],
        match["suffix"],
    )


def pending_folder(topic: str, partition: int) -> str:
    """Where a sink says which job-less objects it is about to put: readers of `stream/` skip names with '_'."""
    return f"stream/_pending/{topic}/{partition:05d}/"


def pending_key(topic: str, partition: int, offset: int, instance: str) -> str:
    return f"{pending_folder(topic, partition)}o{offset:020d}-{instance}.json"
