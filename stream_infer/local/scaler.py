"""Looks how much work lies before each API's workers, and tells the supervisor how many there are to be.

What it decides is in `scaling.py`. Where Kafka does not answer, nobody is ended.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Protocol

from stream_infer.errors import StreamInferError
from stream_infer.jobs.status import JobStatus, State
from stream_infer.kafka.lag import Standing
from stream_infer.local.scaling import Demand, Lag, Progress, Scale, ScalingPolicy, decide, describe, job_demands
from stream_infer.local.supervisor import SUPERVISOR, Report
from stream_infer.pool import DaemonPool

LOOK_EVERY_S = 1.0
_THREADS = 8


class Workers(Protocol):
    """The supervisor, as far as it is needed here."""

    def workers(self, api: str) -> tuple[int, int]: ...

    def scale(self, api: str, count: int) -> None: ...


@dataclass(frozen=True, slots=True)
class ScaledApi:
    """`items` is its topic; `stand` asks Kafka where its workers' group stands, and may block for seconds."""

    name: str
    items: str
    policy: ScalingPolicy
    stand: Callable[[], Standing]


@dataclass(slots=True)
class _Known:
    """Of one API. `from_zero`: its jobs that found no worker serving, and none of whose items has ended yet."""

    scale: Scale
    progress: Progress = field(default_factory=Progress)
    from_zero: set[str] = field(default_factory=set)
    is_unreadable: bool = False


class Scaler:
    """`statuses` are all jobs' rows as they are known now. Belongs to the loop of the supervisor."""

    def __init__(
        self,
        apis: Iterable[ScaledApi],
        workers: Workers,
        statuses: Callable[[], Mapping[str, JobStatus]],
        report: Report,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._apis = list(apis)
        self._workers = workers
        self._statuses = statuses
        self._report = report
        self._clock = clock
        self._pool = DaemonPool(_THREADS, "scaler")
        self._known = {api.name: _Known(Scale(workers.workers(api.name)[0], clock())) for api in self._apis}
        self._woken = asyncio.Event()

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            self._woken.clear()
            await asyncio.gather(*(self.look(api) for api in self._apis))
            try:
                await asyncio.wait_for(self._woken.wait(), LOOK_EVERY_S)
            except TimeoutError:
                continue

    def note(self, status: JobStatus) -> None:
        """A job's row has changed: one for an API without a worker is looked at now."""
        known = self._known.get(status.api)
        if known is not None and known.scale.workers == 0:
            self._woken.set()

    async def look(self, api: ScaledApi) -> None:
        """Decides for one API, and says so where it changes anything."""
        known = self._known[api.name]
        standing = await self._stand(api, known)
        now = self._clock()
        jobs = [status for status in self._statuses().values() if status.api == api.name]
        demand = self._demand(api, known, standing, jobs, now)
        before = known.scale.workers
        known.scale = decide(api.policy, known.scale, demand, now)
        self._tell_first_ends(known, jobs, demand)
        if known.scale.workers != before:
            idle = f", and it has been for {api.policy.idle_s:g} s" if known.scale.workers < before else ""
            count = "1 worker" if known.scale.workers == 1 else f"{known.scale.workers} workers"
            self._report(SUPERVISOR, f"{api.name}: {before} → {count} ({describe(demand)}{idle})")
            self._workers.scale(api.name, known.scale.workers)

    async def _stand(self, api: ScaledApi, known: _Known) -> Standing | None:
        asked: Future[Standing] = self._pool.submit(api.stand)
        try:
            standing = await asyncio.wrap_future(asked)
        except StreamInferError as error:
            if not known.is_unreadable:
                self._report(SUPERVISOR, f"{api.name}: nobody says how many items wait, so nothing is ended: {error}")
            known.is_unreadable = True
            return None
        known.is_unreadable = False
        return standing

    def _demand(
        self, api: ScaledApi, known: _Known, standing: Standing | None, jobs: Iterable[JobStatus], now: float
    ) -> Demand:
        _, serving = self._workers.workers(api.name)
        if standing is None:
            return Demand(None, job_demands(jobs), None, serving)
        items = [lag for (topic, _), lag in standing.lag.items() if topic == api.items]
        lag = Lag(sum(items), sum(one > 0 for one in items), sum(standing.lag.values()) - sum(items))
        return Demand(lag, job_demands(jobs), known.progress.rate(standing.place, serving, now), serving)

    def _tell_first_ends(self, known: _Known, jobs: Iterable[JobStatus], demand: Demand) -> None:
        """How long a job took to its first result that no worker was there for when it came."""
        for status in jobs:
            began = status.times.get(State.RUNNING.value)
            if began is None and status.has_work and demand.serving == 0:
                known.from_zero.add(status.job_id)
            elif status.job_id in known.from_zero and (began is not None or status.state.is_final):
                known.from_zero.discard(status.job_id)
                if began is not None:
                    took = max(0.0, began - status.submitted_at)
                    said = f"first item ended {took:.1f} s after its submission, which found no worker"
                    self._report(SUPERVISOR, f"{status.api}: job {status.job_id}: {said}")
