"""How much of a job may be published now. A pure function of what `status` says.

What waits in an API's topic is in one line: whoever comes next stands behind it. So it is bounded in seconds of work,
and shared out as switches share a buffer: each job may have as much waiting as is free. One job alone comes to a half
of it, n of them to n + 1 parts, and the next one finds its part free. One that has little waiting, since its source is
slow or away, takes nothing from the others.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from stream_infer.jobs.status import JobStatus
from stream_infer.settings import ApiSettings


@dataclass(frozen=True, slots=True)
class FlowPolicy:
    """`ahead_s` seconds of the API's work may wait in its topic, and at least `floor` items, all its jobs together.

    Without the floor, two micro-batches for every worker there may be, an API could never show how fast it can be. Each
    job has at least `least` items, and is published up to a multiple of `step`: where a call of the predictor never
    mixes jobs, a micro-batch has to be filled by one of them, while another one is in the model.
    """

    ahead_s: float
    floor: int
    least: int = 1
    step: int = 1


def flow_policy(api: ApiSettings, ahead_s: float, batch_size: int | None = None) -> FlowPolicy:
    """For a job that wants at most `batch_size` items a call, which counts where the predictor is job-scoped."""
    batch = api.batching.presumed_batch_size
    if not api.predictor.is_job_scoped:
        return FlowPolicy(ahead_s, 2 * batch * api.workers.max)
    batch = api.batch_size_of(batch_size)
    return FlowPolicy(ahead_s, 2 * batch * api.workers.max, 2 * batch, batch)


def allowance(policy: FlowPolicy, status: JobStatus, enqueued: int, active: Iterable[JobStatus], rate: float) -> int:
    """How many more items of the job may be published.

    `enqueued` is what has been published of it, which `status` may not show yet; `active` are the statuses of all jobs
    of the API that are not final, this one among them, and `rate` is that of all together, in items a second.
    """
    others = [job.counts.waiting for job in active if job.job_id != status.job_id and job.counts.waiting > 0]
    own = enqueued - status.counts.ended
    room = max(policy.ahead_s * rate, policy.floor)
    part = max(room - sum(others) - own, policy.floor / (len(others) + 1), policy.least)
    last = (enqueued + int(part - own)) // policy.step * policy.step
    return max(0, last - enqueued)
