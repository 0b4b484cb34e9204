"""The numbers of a tracker: told once a transaction, read from its rows when somebody asks."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Protocol

from stream_infer.jobs.demand import job_demand
from stream_infer.jobs.lifecycle import deadline_ahead
from stream_infer.jobs.status import FINAL_STATES, HinderedRole, JobStatus, State
from stream_infer.telemetry.catalogue import jobs
from stream_infer.telemetry.catalogue.metric import WHOLE, OfApi, Reading
from stream_infer.telemetry.distribution import Distribution


class TrackerObserver(Protocol):
    """Told in the tracker's event loop; must not block."""

    def folded(self, events: int) -> None:
        """So many events, which are committed now."""
        ...

    def entered(self, row: JobStatus) -> None:
        """A job has entered a state, and its row is committed."""
        ...


class Unobserved:
    """Nobody is told."""

    def folded(self, events: int) -> None: ...

    def entered(self, row: JobStatus) -> None: ...


UNOBSERVED: Final = Unobserved()


class TrackerMetrics:
    """A TrackerObserver; `readings` is a source of an Exposure."""

    def __init__(self, apis: Iterable[str]) -> None:
        self._events = 0
        self._first: defaultdict[OfApi, Distribution] = defaultdict(jobs.JOB_FIRST_RESULT_SECONDS.distribution)
        self._took: defaultdict[jobs.JobState, Distribution] = defaultdict(jobs.JOB_SECONDS.distribution)
        for api in apis:
            self._begin(api)

    def folded(self, events: int) -> None:
        self._events += events

    def entered(self, row: JobStatus) -> None:
        """Of a generation that a replay has opened the first result says nothing of a submission."""
        self._begin(row.api)  # one that was deployed since the start has its first job
        seconds = max(0.0, row.times.get(row.state.value, row.submitted_at) - row.submitted_at)
        if row.state is State.RUNNING and row.generation == 1:
            self._first[OfApi(row.api)].note(seconds)
        elif row.state.is_final:
            self._took[jobs.JobState(row.api, row.state.value)].note(seconds)

    def _begin(self, api: str) -> None:
        """At 0, before anything has come of it: what is born with a value has not risen by it."""
        if OfApi(api) in self._first:
            return
        self._first[OfApi(api)] = jobs.JOB_FIRST_RESULT_SECONDS.distribution()
        for state in FINAL_STATES:
            self._took[jobs.JobState(api, state.value)] = jobs.JOB_SECONDS.distribution()

    def readings(self) -> Iterator[Reading]:
        yield jobs.EVENTS_FOLDED.reading({WHOLE: self._events})
        yield jobs.JOB_FIRST_RESULT_SECONDS.reading(dict(self._first))
        yield jobs.JOB_SECONDS.reading(dict(self._took))


def row_readings(
    rows: Iterable[JobStatus], apis: Iterable[str], clock: Callable[[], float] = time.time
) -> Iterator[Reading]:
    """Of all jobs that a tracker knows; `apis` are those of which something is told even where they have none."""
    now, rows = clock(), list(rows)
    known = {*apis, *(row.api for row in rows)}
    states = Counter({jobs.JobState(api, state.value): 0 for api in known for state in State})
    hindered = Counter({jobs.Hindrance(api, role.value): 0 for api in known for role in HinderedRole})
    waiting = Counter({OfApi(api): 0 for api in known})
    wanted = Counter({OfApi(api): 0 for api in known})
    left: dict[OfApi, float] = {}
    used: dict[OfApi, float] = {}
    for row in rows:
        of_api = OfApi(row.api)
        states[jobs.JobState(row.api, row.state.value)] += 1
        if row.state.is_final:
            continue
        waiting[of_api] += max(0, row.counts.waiting)
        wanted[of_api] += _workers_wanted(row)
        hindered.update(jobs.Hindrance(row.api, role.value) for role in row.hindrances)
        deadline = deadline_ahead(row)
        if deadline is not None:
            left[of_api] = min(left.get(of_api, deadline - now), deadline - now)
            used[of_api] = max(used.get(of_api, 0.0), _share_used(row, deadline, now))
    yield jobs.JOBS.reading(states)
    yield jobs.JOBS_HINDERED.reading(hindered)
    yield jobs.JOB_ITEMS_WAITING.reading(waiting)
    yield jobs.JOB_WORKERS_WANTED.reading(wanted)
    yield jobs.JOB_DEADLINE_SECONDS.reading(left)
    yield jobs.JOB_TIME_USED_RATIO.reading(used)


def _workers_wanted(row: JobStatus) -> int:
    """0 where the job does not say how many: the lag of its items is enough for it."""
    demand = job_demand(row)
    return 0 if demand is None or demand.workers is None else demand.wanted


def _share_used(row: JobStatus, deadline: float, now: float) -> float:
    """Of the time between its submission, or its replay, and its deadline."""
    began = row.submitted_at if row.generation == 1 else row.times.get(State.ENQUEUING.value, row.submitted_at)
    return max(0.0, now - began) / (deadline - began) if deadline > began else 1.0
