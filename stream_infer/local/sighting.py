"""What a lookout has seen, as lines of JSON: an API at one moment, and those that were deployed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from stream_infer.definitions import Definition
from stream_infer.jobs.demand import JobDemand, job_demand
from stream_infer.jobs.status import JobStatus, State
from stream_infer.kafka.lag import Standing
from stream_infer.local.scaling import Lag

# A job that has ended is told of for so long: it may have come and gone between two looks.
_TOLD_OF_S = 60.0


@dataclass(frozen=True)
class SeenJob:
    """`began`: when the first of its items ended, in seconds since the epoch; `demand` None: it has no work."""

    job_id: str
    submitted_at: float
    began: float | None
    demand: JobDemand | None


@dataclass(frozen=True)
class Sighting:
    """`lag` None: Kafka does not say, and `fault` why. `place`: the sum of all of the group's places."""

    api: str
    lag: Lag | None
    place: int = 0
    fault: str = ""
    jobs: tuple[SeenJob, ...] = ()

    @property
    def is_quiet(self) -> bool:
        return self.lag is not None and self.lag.is_drained and not any(job.demand for job in self.jobs)


_SIGHTING: TypeAdapter[Sighting] = TypeAdapter(Sighting)


def sight(api: str, items: str, standing: Standing | str, statuses: Iterable[JobStatus], now: float) -> Sighting:
    """`items` is the API's topic, `statuses` the rows of all jobs; a `standing` that is text says why there is none."""
    jobs = tuple(_seen(status) for status in statuses if status.api == api and _is_told_of(status, now))
    if isinstance(standing, str):
        return Sighting(api, None, fault=standing, jobs=jobs)
    of_items = [lag for (topic, _), lag in standing.lag.items() if topic == items]
    lag = Lag(sum(of_items), sum(one > 0 for one in of_items), sum(standing.lag.values()) - sum(of_items))
    return Sighting(api, lag, standing.place, jobs=jobs)


def encode_sighting(sighting: Sighting) -> bytes:
    return _SIGHTING.dump_json(sighting) + b"\n"


def decode_sighting(line: bytes) -> Sighting | None:
    """None for what is none: a lookout that was killed may have written a part of a line."""
    try:
        return _SIGHTING.validate_json(line)
    except ValidationError:
        return None


class _SeenDefinition(BaseModel):
    """One that was deployed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    definition: Definition


class _AllSeen(BaseModel):
    """The names of all that there are, behind each of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    defined: tuple[str, ...]


_PART: TypeAdapter[_SeenDefinition | _AllSeen] = TypeAdapter(_SeenDefinition | _AllSeen)


def encode_definitions(definitions: Mapping[str, Definition]) -> bytes:
    """A line each, and a last one: together they may be of any size."""
    parts = [*(_SeenDefinition(definition=one) for one in definitions.values()), _AllSeen(defined=tuple(definitions))]
    return b"".join(part.model_dump_json().encode() + b"\n" for part in parts)


class HeardDefinitions:
    """Puts the lines of one or several lookouts together, of which each begins with all definitions."""

    def __init__(self) -> None:
        self._told: dict[str, Definition] = {}

    def hear(self, line: bytes) -> Mapping[str, Definition] | None:
        """All that there are, by name, once the last of them was told; None for any other line.

        One whose line could not be read is as it was told before.
        """
        try:
            part = _PART.validate_json(line)
        except ValidationError:
            return None
        if isinstance(part, _SeenDefinition):
            self._told[part.definition.name] = part.definition
            return None
        self._told = {name: self._told[name] for name in part.defined if name in self._told}
        return self._told.copy()


def _is_told_of(status: JobStatus, now: float) -> bool:
    return not status.state.is_final or now - status.times.get(status.state.value, 0.0) < _TOLD_OF_S


def _seen(status: JobStatus) -> SeenJob:
    return SeenJob(status.job_id, status.submitted_at, status.times.get(State.RUNNING.value), job_demand(status))
