"""Whether the predictor may have items, and what is done while it may not.

SERVING --too many failures--> EXAMINING (a fresh child loads and warms up)
    it cannot: HALTED until it can; it can, and jobs are to blame: they fail, SERVING
    it can, and no job is to blame (job-less items, or a service that is away): TRYING held items, until one succeeds
SERVING --the child cannot be had--> HALTED --it is ready--> SERVING

While it does not serve nothing that the predictor says is an item's end but a success. Nor does what fails until then
count against a job whose own instance is to be made: what it needs may be what is away.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

import structlog

from stream_infer.engine.keeper import Readiness
from stream_infer.engine.keeper import State as EngineState
from stream_infer.engine.task import Answer, Answers, Task
from stream_infer.jobs.events import Event, Failed, Hindered, Unhindered
from stream_infer.jobs.status import HinderedRole
from stream_infer.records import Failure, Output
from stream_infer.redaction import redact_text
from stream_infer.worker.breaker import Blame, Breaker
from stream_infer.worker.held import Entry
from stream_infer.worker.known_jobs import KnownJobs
from stream_infer.worker.ledger import Ledger
from stream_infer.worker.probing import Probing
from stream_infer.worker.waiting import Waiting

_LOG = structlog.get_logger(__name__)
# Of one item's error, in the reason that a whole job or API fails for.
_EXAMPLE_LIMIT = 300


class State(StrEnum):
    SERVING = "serving"
    EXAMINING = "examining"
    HALTED = "halted"
    TRYING = "trying"


class PredictorHost(Protocol):
    """What of the engine is needed here."""

    @property
    def readiness(self) -> Readiness: ...

    def withdraw(self, tokens: Container[int] | None = None) -> list[Task]: ...

    def restart(self, reason: str) -> None: ...

    def forgive_jobs(self) -> None: ...


@dataclass(frozen=True, slots=True)
class CircuitTimes:
    """Seconds: between two looks at who is held; and until a job is told again that shows no hindrance, of which
    nothing has ended meanwhile."""

    tell: float = 1.0
    tell_again: float = 10.0


@dataclass(frozen=True, slots=True)
class _Told:
    """When a job was told what hinders it, and how many of its items had ended by then."""

    at: float
    ended: int


@dataclass(slots=True)
class Turn:
    """What has to be done now: entries to be judged again, one of them as if the predictor served, and events."""

    released: list[Entry] = field(default_factory=list)
    probe: Entry | None = None
    events: list[Event] = field(default_factory=list)


class Circuit:
    """The state of one worker's predictor. Used on the loop's thread; `now` is in seconds since the epoch."""

    def __init__(
        self,
        engine: PredictorHost,
        ledger: Ledger,
        waiting: Waiting,
        breaker: Breaker,
        *,
        jobs: KnownJobs,
        max_ratio: float,
        times: CircuitTimes = CircuitTimes(),
        on_change: Callable[[State], None] = lambda _: None,
    ) -> None:
        self._engine = engine
        self._ledger = ledger
        self._waiting = waiting
        self._breaker = breaker
        self._jobs = jobs
        self._max_ratio = max_ratio
        self._times = times
        self._on_change = on_change
        self._probing = Probing()
        self._next_tell = 0.0
        self._told: dict[tuple[str, int], _Told] = {}
        self._hindering: set[tuple[str, int]] = set()
        self.state = State.SERVING
        self.reason = ""

    @property
    def is_serving(self) -> bool:
        return self.state is State.SERVING

    def admits(self, token: int) -> bool:
        return self.state is State.SERVING or token == self._probing.token

    def take_back(self, job_ids: Container[str]) -> None:
        """What the engine has of these jobs, and the model has not: it is skipped, or waits to be judged again."""
        self._take_back(self._engine.withdraw(self._ledger.open_of(job_ids)))

    def saw(self, answers: Answers, now: float) -> None:
        """Looks at answers once their items have been dealt with. An item that is tried comes alone."""
        probe = self._probing.token
        for answer in answers if probe is not None else ():
            if isinstance(answer, Answer) and answer.token == probe:
                if isinstance(answer.outcome, Output) and self.state is State.TRYING:
                    self._enter(State.SERVING, "an item succeeded")
                self._probing.ended(now)

    def turn(self, now: float) -> Turn:
        """Follows the engine and the breaker."""
        turn = Turn()
        ready = self._engine.readiness
        match self.state:
            case State.SERVING if ready.state is EngineState.UNAVAILABLE:
                self._halt(ready.reason)
            case State.SERVING if self._breaker.is_tripped:
                self._examine()
            case State.EXAMINING | State.TRYING if ready.state is EngineState.UNAVAILABLE:
                self._halt(ready.reason)
            case State.EXAMINING if ready.state is EngineState.READY:
                self._judge(turn, now)
            case State.HALTED if ready.state is EngineState.READY:
                self._enter(State.SERVING, "the predictor is ready")
            case State.TRYING:
                turn.probe = self._next_to_probe(now)
        if self.is_serving:
            turn.released = self._waiting.those_for_predictor()
            turn.events += self._unhindered(now)
        elif self.state is not State.EXAMINING and now >= self._next_tell:
            self._next_tell = now + self._times.tell
            turn.events += self._hindered(now)
        return turn

    def _halt(self, reason: str) -> None:
        self._take_back(self._engine.withdraw())
        self._enter(State.HALTED, reason)

    def _examine(self) -> None:
        self._enter(State.EXAMINING, f"{self._ratio()} failed in the predictor{self._example()}")
        self._reopen_failed()
        self._engine.restart("a fresh one is to show whether the model or its items are to blame")
        self._take_back(self._engine.withdraw())

    def delivery_failed(self) -> None:
        """What the transaction would have delivered has not been: what has failed in it is as open as all else."""
        if self.state in (State.EXAMINING, State.TRYING):
            self._reopen_failed()

    def _reopen_failed(self) -> None:
        for entry in self._ledger.reopen_failed():
            self._waiting.hold(entry, self._jobs.is_skipping)

    def _take_back(self, tasks: Iterable[Task]) -> None:
        for task in tasks:
            entry = self._ledger.get(task.token)
            if entry is not None:
                entry.suspect = task.suspect
                self._waiting.hold(entry, self._jobs.is_skipping)

    def _judge(self, turn: Turn, now: float) -> None:
        """The model loads: its items are to blame, or what it needs is away."""
        blamed = self._breaker.blame(lambda job_id: self._jobs.max_ratio(job_id, self._max_ratio))
        for blame in blamed:
            turn.events.append(Failed(job_id=blame.job_id, at=now, error=_reason(blame)))
            self._jobs.fail(blame.job_id, 1)
        if not blamed:
            self._enter(State.TRYING, f"{self.reason}, and no job is to blame; trying one item at a time")
            self._probing.begin(now)
            return
        self._reject({blame.job_id for blame in blamed})
        self._enter(State.SERVING, f"jobs to blame: {', '.join(blame.job_id for blame in blamed)}")

    def _reject(self, job_ids: set[str]) -> None:
        """What has failed of a job that is to blame ends as it failed, so that its owner sees why."""
        failed = [
            entry
            for entry in self._waiting.those_for_predictor()
            if entry.failure is not None and entry.item is not None and entry.item.job_id in job_ids
        ]
        for entry in self._waiting.release(failed):
            if entry.failure is not None:
                self._ledger.finish(entry.token, entry.failure)

    def _next_to_probe(self, now: float) -> Entry | None:
        probing = self._probing
        if probing.token is not None:
            entry = self._ledger.get(probing.token)
            if entry is None:
                probing.token = None
            elif entry.parked:  # it did not get as far as the predictor: it could not be fetched
                probing.ended(now)
        if not probing.is_due(now):
            return None
        found = probing.choose(self._waiting.those_for_predictor(), now)
        if found is not None:  # or the engine would refuse it for attempts that were made in vain
            self._engine.forgive_jobs()
        return found

    def _hindered(self, now: float) -> list[Event]:
        items = [entry.item for entry in self._waiting.those_for_predictor() if not entry.jobless]
        jobs = {(item.job_id, item.generation) for item in items if item is not None and item.job_id is not None}
        new = [job for job in jobs if self._is_to_be_told(job, now)]
        self._hindering.update(new)
        return [Hindered(job_id=job_id, generation=number, at=now, reason=self.reason) for job_id, number in new]

    def _is_to_be_told(self, job: tuple[str, int], now: float) -> bool:
        """Once, and again where another worker has taken it back, and then got nothing done for the job."""
        told, status = self._told.get(job), self._jobs.status(job[0])
        if told is not None and now < told.at + self._times.tell_again:
            return False
        ended = 0 if status is None else status.counts.ended
        self._told[job] = _Told(now, ended)
        is_shown = status is None or HinderedRole.WORKER in status.hindrances
        return told is None or (ended == told.ended and not is_shown)

    def _unhindered(self, now: float) -> list[Event]:
        over = [Unhindered(job_id=job_id, generation=number, at=now) for job_id, number in self._hindering]
        self._hindering.clear()
        return list(over)

    def _enter(self, state: State, reason: str) -> None:
        log = _LOG.info if state is State.SERVING else _LOG.error
        log("predictor_" + state.value, reason=reason, before=self.state.value)
        self.state, self.reason = state, redact_text(reason)
        self._probing.stop()
        self._told.clear()
        self._next_tell = 0.0
        if state is State.SERVING:
            self._breaker.clear()
            self._engine.forgive_jobs()
        self._on_change(state)

    def _ratio(self) -> str:
        return f"more than {self._max_ratio:.0%} of the last items"

    def _example(self) -> str:
        failure = self._breaker.last_failure
        return "" if failure is None else f", the last with {_said(failure)}"


def _reason(blame: Blame) -> str:
    return (
        f"{blame.failed} of its last {blame.seen} items failed in the predictor, which a fresh start did not mend; "
        f"for example {_said(blame.example)}. Its other items are skipped; set the job's breaker.max_ratio to 1 to run "
        "them all."
    )


def _said(failure: Failure) -> str:
    """Redacted before it is cut: half a secret is not known for one."""
    return f"{failure.exception}: {redact_text(failure.message)[:_EXAMPLE_LIMIT]}"
