"""The numbers of an intake: told once a transaction, read when somebody asks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Protocol

from stream_infer.intake.partition import JobsPartition
from stream_infer.telemetry.catalogue import jobs
from stream_infer.telemetry.catalogue.metric import WHOLE, OfApi, Reading


class IntakeObserver(Protocol):
    """Told on the intake's thread; must not block."""

    def published(self, api: str, items: int) -> None:
        """So many items of a job, in one transaction."""
        ...


class Unobserved:
    """Nobody is told."""

    def published(self, api: str, items: int) -> None: ...


UNOBSERVED: Final = Unobserved()


class IntakeMetrics:
    """An IntakeObserver; `readings` is a source of an Exposure. `apis`: the names of those that there are by now, which
    are at 0 before anything comes of them: what is born with a value has not risen by it."""

    def __init__(self, apis: Callable[[], Iterable[str]]) -> None:
        self._apis = apis
        self._items: Counter[OfApi] = Counter()

    def published(self, api: str, items: int) -> None:
        self._items[OfApi(api)] += items

    def readings(self) -> Iterator[Reading]:
        for api in self._apis():
            self._items.setdefault(OfApi(api), 0)
        yield jobs.INTAKE_ITEMS.reading(dict(self._items))


def source_readings(partitions: Iterable[JobsPartition], apis: Iterable[str]) -> Iterator[Reading]:
    """How far the sources of these partitions' jobs are at this moment. Their thread goes on meanwhile."""
    owned, known = list(partitions), list(apis)
    found = Counter({jobs.IntakeState(api, state): 0 for api in known for state in ("publishing", "put_off")})
    position: Counter[OfApi] = Counter({OfApi(api): 0 for api in known})
    for partition in owned:
        for run in partition.all_runs():
            found[jobs.IntakeState(run.job.api, "put_off" if run.failures else "publishing")] += 1
            position[OfApi(run.job.api)] += run.checkpoint.enqueued
    yield jobs.INTAKE_JOBS.reading(found)
    yield jobs.INTAKE_POSITION.reading(position)
    yield jobs.INTAKE_PARTITIONS.reading({WHOLE: len(owned)})
