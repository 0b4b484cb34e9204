"""How many workers an API is to have. Pure: time is passed in."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field, replace

from stream_infer.jobs.demand import JobDemand

# A worker that is behind for less than that is not short of others: it may be loading, or have got a burst.
_PRESSED_S = 3.0
# Of what was done in the last so many seconds a rate is made, once it spans so many.
_RATE_OVER_S = 15.0
_RATE_FROM_S = 2.0


@dataclass(frozen=True, slots=True)
class ScalingPolicy:
    """`least` to `most` workers; fewer than there are only when `idle_s` seconds long so many were not needed.

    `behind_s`: with more work than that waiting, in seconds, the present workers are too few.
    """

    least: int
    most: int
    idle_s: float
    behind_s: float


@dataclass(frozen=True, slots=True)
class Lag:
    """Records between the group's place and the end: of the items, in how many of their partitions; and of retries."""

    items: int
    partitions: int
    retries: int = 0

    @property
    def is_drained(self) -> bool:
        return self.items == 0 and self.retries == 0


@dataclass(frozen=True, slots=True)
class Demand:
    """What lies before an API's workers. `lag` None: Kafka does not say. `rate`: records a second that those `serving`
    get done, None where nothing was seen to end."""

    lag: Lag | None
    jobs: tuple[JobDemand, ...] = ()
    rate: float | None = None
    serving: int = 0


@dataclass(frozen=True, slots=True)
class Scale:
    """So many workers. `needed_at`: when as many were last needed; `pressed_since`: since when they are too few."""

    workers: int
    needed_at: float
    pressed_since: float | None = None


def decide(policy: ScalingPolicy, scale: Scale, demand: Demand, now: float) -> Scale:
    """How many there are to be from `now` on, in seconds of any clock that `scale` was made with.

    The first one, and those that a job asks for, are started at once; others when the present ones stay behind. A model
    that is expensive to load is not unloaded for a moment's rest.
    """
    needed = _clamp(policy, _needed_at_once(scale, demand))
    by_lag = _clamp(policy, _needed_by_lag(policy, scale, demand))
    pressed_since = None
    if by_lag <= max(needed, scale.workers):
        needed = max(needed, by_lag)
    elif now - (pressed_since := now if scale.pressed_since is None else scale.pressed_since) >= _PRESSED_S:
        needed, pressed_since = by_lag, None
    else:
        needed = max(needed, scale.workers)
    if needed >= scale.workers:
        return Scale(needed, now, pressed_since)
    if now - scale.needed_at < policy.idle_s:
        return replace(scale, pressed_since=pressed_since)
    return Scale(needed, now, pressed_since)


def _clamp(policy: ScalingPolicy, number: int) -> int:
    return max(policy.least, min(policy.most, number))


def _needed_at_once(scale: Scale, demand: Demand) -> int:
    """One for whatever there is, and as many as the jobs ask for together.

    Where nothing lies behind the group's place, a row that speaks of items in the topic is late. What it cannot know
    may be anything: as many as there are.
    """
    lag = demand.lag
    jobs = [job for job in demand.jobs if not job.exhausted or lag is None or not lag.is_drained or job.is_halted]
    asked = sum(job.wanted for job in jobs if job.workers is not None)
    if lag is None:
        return max(asked, scale.workers, 1 if jobs else 0)
    return max(asked, 1 if jobs or not lag.is_drained else 0)


def _needed_by_lag(policy: ScalingPolicy, scale: Scale, demand: Demand) -> int:
    """As many as get done in `behind_s` what no job that says how many it wants lays claim to.

    Nothing is known while not all of them serve, or nothing has ended yet; then there are enough.
    """
    if demand.lag is None:
        return 0
    left = demand.lag.items - sum(job.waiting for job in demand.jobs if job.workers is not None)
    if left <= 0:
        return 0
    most = max(1, min(left, demand.lag.partitions))
    if not demand.rate or demand.serving < max(1, scale.workers):
        return min(scale.workers, most)
    each = demand.rate / demand.serving
    return min(math.ceil(left / (each * policy.behind_s)), most)


@dataclass(slots=True)
class Progress:
    """How fast the group's places move, while the same number of workers serves."""

    _seen: deque[tuple[float, int]] = field(default_factory=deque)
    _serving: int = 0

    def rate(self, place: int, serving: int, now: float) -> float | None:
        """Records a second, with the sum of all places now at `place`; None while that cannot be said."""
        if serving != self._serving:
            self._seen.clear()
            self._serving = serving
        self._seen.append((now, place))
        while self._seen[0][0] < now - _RATE_OVER_S:
            self._seen.popleft()
        began, first = self._seen[0]
        if now - began < _RATE_FROM_S or place <= first:
            return None
        return (place - first) / (now - began)


def describe(demand: Demand) -> str:
    """Why, in words."""
    said = []
    if demand.jobs:
        asked = sum(job.wanted for job in demand.jobs if job.workers is not None)
        jobs = "1 job" if len(demand.jobs) == 1 else f"{len(demand.jobs)} jobs"
        said.append(f"{jobs} under way" + (f" that want{'s' * (len(demand.jobs) == 1)} {asked}" if asked else ""))
    if demand.lag is None:
        said.append("Kafka does not say how many items wait")
    elif not demand.lag.is_drained:
        said.append(f"lag {demand.lag.items + demand.lag.retries:,}")
    return ", ".join(said) or "nothing to do"
