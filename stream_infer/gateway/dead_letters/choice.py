"""Which dead letters a replay is about, and how far it has come with them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from stream_infer.dead_letters import DeadLetter
from stream_infer.errors import StreamInferError
from stream_infer.gateway.board import KnownJob
from stream_infer.gateway.dead_letters.search import Filter, all_letters, letters_at
from stream_infer.jobs.replays import Replays
from stream_infer.jobs.status import JobStatus
from stream_infer.settings import KafkaSettings

log = structlog.get_logger(__name__)

REFUSED_TOLD = 100


class JobIsRunning(StreamInferError):
    """Only the dead letters of a job in a final state are replayed."""


class ReplayStopped(StreamInferError):
    """The job was stopped, or ran out of time, while its dead letters were being replayed."""


class Jobs(Protocol):
    """What is known of jobs. `find` reads to the present first, and blocks; `peek` answers as far as was read."""

    def find(self, job_id: str) -> KnownJob | None: ...

    def peek(self, job_id: str) -> KnownJob | None: ...


@dataclass(frozen=True, slots=True)
class Request:
    """Of whose dead letters which are to be replayed: those at `refs`, or those that `wanted` takes.

    `job_id` None means those of no job.
    """

    api: str
    job_id: str | None = None
    refs: frozenset[tuple[int, int]] | None = None
    wanted: Filter = field(default_factory=Filter)


@dataclass(slots=True)
class Progress:
    """How far a replay has come: written by its thread, read by any."""

    generation: int | None = None
    replayed: int = 0
    already_replayed: int = 0
    of_jobs: int = 0
    refused: dict[str, str] = field(default_factory=dict)
    found: set[tuple[int, int]] = field(default_factory=set)

    def refuse(self, letter: DeadLetter, reason: str) -> None:
        if len(self.refused) < REFUSED_TOLD:
            self.refused[letter.ref] = reason
        log.warning("replay_refused", ref=letter.ref, reason=reason)


def letters_for(kafka: KafkaSettings, topic: str, request: Request) -> Iterator[DeadLetter]:
    """Whatever has to be looked at, a partition of the dead-letter topic after the other. Blocks."""
    return all_letters(kafka, topic) if request.refs is None else letters_at(kafka, topic, set(request.refs))


def to_replay(
    letters: Iterable[DeadLetter], request: Request, replays: Replays, progress: Progress, jobs: Jobs
) -> Iterator[DeadLetter]:
    """Those of `letters` that are asked for and were not replayed yet."""
    refs = request.refs
    unknown: set[str] = set()
    for letter in letters:
        if not request.wanted.takes(letter):
            continue
        is_meant = _is_meant(letter, request.job_id, jobs, unknown)
        if refs is not None and (is_meant or request.job_id is None):
            progress.found.add((letter.position.partition, letter.position.offset))
        if not is_meant:
            progress.of_jobs += request.job_id is None
        elif replays.has(letter.position):
            progress.already_replayed += 1
        else:
            yield letter


def _is_meant(letter: DeadLetter, job_id: str | None, jobs: Jobs, unknown: set[str]) -> bool:
    """Whether it is of the job; or of none, as one that names a job which nobody knows. `unknown` remembers those."""
    if job_id is not None or letter.job_id is None:
        return letter.job_id == job_id
    if letter.job_id not in unknown and jobs.peek(letter.job_id) is None and jobs.find(letter.job_id) is None:
        unknown.add(letter.job_id)
    return letter.job_id in unknown


def running(status: JobStatus) -> JobIsRunning:
    return JobIsRunning(
        f"job {status.job_id} is {status.state.value}; its dead letters are replayed once it has reached a final state"
    )


def stopped(status: JobStatus) -> ReplayStopped:
    why = "ended" if status.cause is None else status.cause.value.replace("_", " ")
    return ReplayStopped(f"job {status.job_id} was {why} meanwhile")
