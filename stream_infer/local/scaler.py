"""Hears from the lookout how much work lies before each API's workers, and tells the supervisor how many are to be.

What it decides is in `scaling.py`. While nobody says anything, nobody is started or ended.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from stream_infer.local.scaling import Demand, Progress, Scale, ScalingPolicy, decide, describe
from stream_infer.local.sighting import SeenJob, Sighting
from stream_infer.local.supervisor import SUPERVISOR, Report


class Workers(Protocol):
    """The supervisor, as far as it is needed here."""

    def workers(self, api: str) -> tuple[int, int]: ...

    def scale(self, api: str, count: int) -> None: ...


@dataclass(slots=True)
class _Known:
    """Of one API. `from_zero`: its jobs that found no worker serving, and none of whose items has ended yet."""

    policy: ScalingPolicy
    scale: Scale
    progress: Progress = field(default_factory=Progress)
    from_zero: set[str] = field(default_factory=set)
    is_unreadable: bool = False


class Scaler:
    """For the APIs that `policies` names."""

    def __init__(
        self,
        policies: Mapping[str, ScalingPolicy],
        workers: Workers,
        report: Report,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._workers = workers
        self._report = report
        self._clock = clock
        self._known = {
            name: _Known(policy, Scale(workers.workers(name)[0], clock())) for name, policy in policies.items()
        }

    def follow(self, api: str, policy: ScalingPolicy | None) -> None:
        """From now on the API is scaled so; None: not any more."""
        self._known.pop(api, None)
        if policy is not None:
            self._known[api] = _Known(policy, Scale(self._workers.workers(api)[0], self._clock()))

    def see(self, sighting: Sighting) -> None:
        """Decides for one API, and says so where it changes anything."""
        known = self._known.get(sighting.api)
        if known is None:
            return
        self._tell_fault(known, sighting)
        now, before = self._clock(), known.scale.workers
        _, serving = self._workers.workers(sighting.api)
        rate = None if sighting.lag is None else known.progress.rate(sighting.place, serving, now)
        jobs = tuple(job.demand for job in sighting.jobs if job.demand is not None)
        demand = Demand(sighting.lag, jobs, rate, serving)
        known.scale = decide(known.policy, known.scale, demand, now)
        for job in sighting.jobs:
            self._tell_first_end(known, sighting.api, job, serving)
        if known.scale.workers != before:
            idle = f", and it has been for {known.policy.idle_s:g} s" if known.scale.workers < before else ""
            count = "1 worker" if known.scale.workers == 1 else f"{known.scale.workers} workers"
            self._report(SUPERVISOR, f"{sighting.api}: {before} → {count} ({describe(demand)}{idle})")
            self._workers.scale(sighting.api, known.scale.workers)

    def _tell_fault(self, known: _Known, sighting: Sighting) -> None:
        if sighting.lag is None and not known.is_unreadable:
            why = f"nobody says how many items wait, so nothing is ended: {sighting.fault}"
            self._report(SUPERVISOR, f"{sighting.api}: {why}")
        known.is_unreadable = sighting.lag is None

    def _tell_first_end(self, known: _Known, api: str, job: SeenJob, serving: int) -> None:
        """How long a job took to its first result that no worker was there for when it came."""
        if job.began is None and job.demand is not None and serving == 0:
            known.from_zero.add(job.job_id)
        elif job.job_id in known.from_zero and (job.began is not None or job.demand is None):
            known.from_zero.discard(job.job_id)
            if job.began is not None:
                took = max(0.0, job.began - job.submitted_at)
                said = f"first item ended {took:.1f} s after its submission, which found no worker"
                self._report(SUPERVISOR, f"{api}: job {job.job_id}: {said}")
