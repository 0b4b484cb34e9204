"""What is to be done with an item that has just been read. A pure function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeAlias

import orjson

from stream_infer.errors import Stage, UndecodableItem
from stream_infer.jobs.status import JobStatus, Phase
from stream_infer.ports import Reference
from stream_infer.records import REFERENCE, Control, Failure, Item, Payload
from stream_infer.worker.ledger import NOTHING, SKIPPED, Ended


class Wait(Enum):
    """The item cannot be judged yet."""

    FOR_JOB = auto()


@dataclass(frozen=True, slots=True)
class RunHook:
    """A control record: the job's `on_job_complete` is to run."""

    job_id: str


Verdict: TypeAlias = Ended | Wait | RunHook | Reference | Payload


def triage(item: Item, status_of: Callable[[str], JobStatus | None], *, jobs_are_current: bool, now: float) -> Verdict:
    """What becomes of `item`: its end where that is clear already, or what its payload needs next.

    An unknown job may be one that the view has not seen yet: the item waits until the view is current, then counts as
    job-less. `now` in seconds since the epoch.
    """
    status = None if item.job_id is None else status_of(item.job_id)
    if item.job_id is not None and status is None and not jobs_are_current:
        return Wait.FOR_JOB
    if item.control is not None:
        return _control(item, status)
    if status is not None and status.is_skipping:
        return SKIPPED
    if item.fault is not None:
        return _undecodable(item.fault)
    if item.deadline is not None and item.deadline <= now:
        return Failure(
            Stage.FETCH, "stream_infer.DeadlinePassed", f"its deadline passed {now - item.deadline:.1f} s ago"
        )
    if item.content_type == REFERENCE:
        return _reference(item)
    return item.payload


def _control(item: Item, status: JobStatus | None) -> Verdict:
    """A hook runs once: a record that comes again, or after a stop, finds its job in another phase."""
    in_hook = status is not None and status.phase in (Phase.HOOK, Phase.HOOK_RUNNING)
    if item.control == Control.ON_JOB_COMPLETE and in_hook and item.job_id is not None:
        return RunHook(item.job_id)
    return NOTHING


def _reference(item: Item) -> Reference | Failure:
    try:
        fields = orjson.loads(item.message.value or b"")
    except orjson.JSONDecodeError as error:
        return _undecodable(f'a reference is JSON like {{"uri": "s3://..."}}; this is none: {error}')
    uri = fields.get("uri") if isinstance(fields, dict) else None
    content_type = fields.get("content_type") if isinstance(fields, dict) else None
    if not isinstance(uri, str) or not (content_type is None or isinstance(content_type, str)):
        return _undecodable('a reference is JSON like {"uri": "s3://...", "content_type": "image/jpeg"}')
    return Reference(uri, content_type)


def _undecodable(message: str) -> Failure:
    return Failure(Stage.DECODE, f"{UndecodableItem.__module__}.{UndecodableItem.__qualname__}", message)
