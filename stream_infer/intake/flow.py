"""How much of a job may be published now. A pure function of what `status` says."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from stream_infer.jobs.status import JobStatus
from stream_infer.settings import ApiSettings


@dataclass(frozen=True, slots=True)
class FlowPolicy:
    """`ahead_s` seconds of the API's work may wait in its topic, shared by its jobs; each job at least `floor` items.

    Without the floor, two micro-batches for every worker there may be, a job could never show how fast it can be.
    """

    ahead_s: float
    floor: int


def flow_policy(api: ApiSettings, ahead_s: float) -> FlowPolicy:
    return FlowPolicy(ahead_s, 2 * api.batching.presumed_batch_size * api.workers.max)


def allowance(policy: FlowPolicy, status: JobStatus, enqueued: int, active: Iterable[JobStatus]) -> int:
    """How many more items of the job may be published.

    `enqueued` is what has been published of it, which `status` may not show yet; `active` are the statuses of all jobs
    of the API that are not final, this one among them.
    """
    jobs = list(active)
    rate = sum(job.rate for job in jobs)
    share = policy.ahead_s * rate / max(1, len(jobs))
    waiting = enqueued - status.counts.ended
    return max(0, int(max(share, policy.floor)) - waiting)
