"""What goes into the engine and what comes out of it. Tuples: some hundred thousand are made a second."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from stream_infer.records import Failure, Output, Payload


class Task(NamedTuple):
    """One item for the predictor. `token` is the caller's own, unique among the tasks in flight.

    Tasks of different `scope` never share a micro-batch: a job's id where the predictor is job-scoped, else None.
    `hook`: not an item but the job whose `on_job_complete` is to be called; its payload is the job's config in JSON.
    `suspect`: a process died with it before, so it is run alone, and rejected if one does again (see isolation.py).
    """

    token: int
    payload: Payload
    scope: str | None = None
    hook: str | None = None
    suspect: bool = False


class Answer(NamedTuple):
    """What became of the task of that token."""

    token: int
    outcome: Output | Failure


def size_of(tasks: Sequence[Task]) -> int:
    """Their payloads' bytes."""
    return sum([len(task.payload.data) for task in tasks])
