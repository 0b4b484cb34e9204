"""Running dead letters again, once what made them so is mended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from stream_infer.clients import calls
from stream_infer.clients.steps import Steps, ask
from stream_infer.clients.waiting import until
from stream_infer.gateway.dead_letters.bodies import ReplayBody
from stream_infer.gateway.representations import JobBody

_SHOWN_WITHIN_S = 60.0


class Letters(TypedDict, total=False):
    """Which dead letters are meant: those of `refs`, as `stream-infer dlq ls` has them, or all that every one of the
    others is true of. `exception` is a class's name, `message` a part of what it said. Nothing at all means all."""

    refs: Sequence[str]
    stage: str
    exception: str
    message: str


def wanted(letters: Letters) -> Mapping[str, Any]:
    """As the gateway asks for them; no refs at all are no wish for every one."""
    return {**letters, "refs": list(letters["refs"])} if letters.get("refs") is not None else {**letters}


def job_replayed(job_id: str, letters: Letters) -> Steps[tuple[ReplayBody, JobBody]]:
    """What came of it, and the job as it runs again: who waits for its end must not take the earlier one for it.

    Raises Conflict while it has not ended, and WaitTimeout where it is not shown to run again within a minute.
    """
    done = yield from ask(calls.replay(f"jobs/{job_id}", wanted(letters)))
    generation = done.generation or 0
    job = yield from until(
        calls.job(job_id),
        lambda job: job.generation >= generation,
        timeout_s=_SHOWN_WITHIN_S,
        what=f"{done.replayed} dead letters are replayed, and job {job_id} is not shown to run again",
    )
    return done, job
