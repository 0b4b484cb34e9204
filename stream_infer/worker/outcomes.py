"""What an answer of the predictor, or a failed fetch, means for its item: an end, a retry, or a wait."""

from __future__ import annotations

from collections.abc import Callable

from stream_infer.engine.task import AlikeAnswers, Answer, Answers, Task
from stream_infer.engine.wire import pack_job
from stream_infer.errors import Stage
from stream_infer.jobs.events import Event, Failed, Hindered, HookEnded
from stream_infer.predictors.protocol import Job
from stream_infer.records import Failure, Item, Output, Payload
from stream_infer.shaping.shaping import Shaping
from stream_infer.worker.breaker import Breaker
from stream_infer.worker.held import SKIPPED, Entry
from stream_infer.worker.known_jobs import KnownJobs
from stream_infer.worker.ledger import Ledger
from stream_infer.worker.retry import Retried, RetryPolicy, decide
from stream_infer.worker.scopes import described
from stream_infer.worker.shape import ShapeStage
from stream_infer.worker.waiting import Waiting


class Outcomes:
    """Ends items as the predictor has answered. Used on the loop's thread."""

    def __init__(
        self,
        ledger: Ledger,
        waiting: Waiting,
        breaker: Breaker,
        shape: ShapeStage,
        *,
        jobs: KnownJobs,
        policy: RetryPolicy,
        breaker_ratio: float,
        chance: Callable[[], float],
    ) -> None:
        self._ledger = ledger
        self._waiting = waiting
        self._breaker = breaker
        self._shape = shape
        self._jobs = jobs
        self._breaker_ratio = breaker_ratio
        self._chance = chance
        self._events: list[Event] = []
        self._told: dict[str, tuple[int, str]] = {}
        self.policy = policy

    def events(self) -> list[Event]:
        """What there is to say of jobs since the last call."""
        events, self._events = self._events, []
        return events

    def ended_jobs(self) -> set[str]:
        """Jobs that have ended since the last call, of those that the predictor may have an instance for."""
        ended = self._jobs.ended.take()
        for job_id in ended:
            self._told.pop(job_id, None)
        return ended

    def take(self, answer: Answer, now: float, *, is_serving: bool) -> Task | None:
        """Ends the item, or sends it on its detour; a hook that failed may come back as a task. `now` since the epoch.

        While the predictor does not serve, what fails is kept: it may be the predictor's fault, and nothing is rejected
        or moved to a tier meanwhile.
        """
        entry = self._ledger.get(answer.token)
        if entry is None:
            return None
        item, outcome = entry.item, answer.outcome
        if item is not None and item.control is not None:
            return self._take_hook(entry, item, outcome, now, is_serving=is_serving)
        if isinstance(outcome, Output):
            if entry.shaping is None or not self._begin_shaping(entry, entry.shaping, outcome):
                self._succeed(entry, outcome)
            if item is not None and is_serving:
                self._note(item, entry, None)
            return None
        entry.failure = outcome if outcome.stage is Stage.PREDICT else None
        entry.failed_at = now
        if not is_serving:
            self._waiting.hold(entry, self._jobs.is_skipping)
            return None
        if outcome.of_job and item is not None and item.job_id is not None and not entry.jobless:
            tell = self._fail_job if outcome.final else self._hinder_job
            tell(item.job_id, item.generation, outcome, now)
        elif item is not None and entry.failure is not None and not outcome.of_job:
            self._note(item, entry, outcome)
        self.fail(entry, outcome, now)
        return None

    def _fail_job(self, job_id: str, generation: int, failure: Failure, now: float) -> None:
        """No item of it can be predicted; what has not begun of it is skipped. Said once."""
        if self._jobs.has_failed(job_id, generation):
            return
        self._events.append(Failed(job_id=job_id, generation=generation, at=now, error=failure.message))
        self._jobs.fail(job_id, generation)

    def _hinder_job(self, job_id: str, generation: int, failure: Failure, now: float) -> None:
        """Its items wait for another attempt at what all of them need. Said once for each reason."""
        if self._told.get(job_id) != (told := (generation, failure.message)):
            self._told[job_id] = told
            reason = f"{failure.message}; it is tried again"
            self._events.append(Hindered(job_id=job_id, generation=generation, at=now, reason=reason))

    def _succeed(self, entry: Entry, output: Output) -> None:
        self._ledger.resize(entry, entry.let_go_of_payload() + len(output.value or b""))
        self._ledger.finish(entry.token, output)

    def _begin_shaping(self, entry: Entry, shaping: Shaping, output: Output) -> bool:
        """Whether the output is to be joined or filtered first. What was sent is held until then."""
        item = entry.item
        if item is None or not shaping.shapes_output or output.value is None:
            return False
        self._ledger.resize(entry, entry.held_input + len(output.value))
        self._shape.shape_output(entry.token, shaping, entry.sent or item.payload, output)
        return True

    @property
    def being_shaped(self) -> set[int]:
        """The tokens of items whose output is."""
        return self._shape.outputs_under_way

    def take_shaped(self, now: float, *, is_serving: bool) -> None:
        """Ends the items whose outputs have been joined or filtered. A failure is no fault of the predictor's."""
        for shaped in self._shape.take_outputs():
            entry = self._ledger.get(shaped.token)
            if entry is None:
                continue
            if isinstance(shaped.outcome, Output):
                self._succeed(entry, shaped.outcome)
            elif is_serving:
                self.fail(entry, shaped.outcome, now)
            else:
                self._waiting.hold(entry, self._jobs.is_skipping)

    def take_all(self, answers: Answers, now: float, *, is_serving: bool) -> list[Task]:
        """As `take`, for many: outputs of items that are alike, which most are, at once."""
        again: list[Task] = []
        for answer in answers:
            each = [answer] if isinstance(answer, Answer) else self._take_alike(answer, is_serving=is_serving)
            again += [task for one in each if (task := self.take(one, now, is_serving=is_serving)) is not None]
        return again

    def _take_alike(self, answers: AlikeAnswers, *, is_serving: bool) -> list[Answer]:
        """The answers that are to be taken one by one."""
        if not is_serving:
            return answers.each()
        ended, others = self._ledger.succeed_alike(answers)
        for job_id, count in ended.items():
            if self._is_watched(job_id):
                self._breaker.note_successes(job_id, count)
        return others

    def _is_watched(self, job_id: str | None) -> bool:
        """Whether the first attempts of the job's items count for the breaker."""
        if self._breaker_ratio >= 1:
            return False
        return job_id is None or self._jobs.max_ratio(job_id, self._breaker_ratio) < 1

    def _note(self, item: Item, entry: Entry, failure: Failure | None) -> None:
        """First attempts only: a retry has failed before, and so has what a replay brings back."""
        job_id = None if entry.jobless else item.job_id
        if item.attempt == 1 and item.generation == 1 and self._is_watched(job_id):
            self._breaker.note(job_id, failure)

    def fail(self, entry: Entry, failure: Failure, now: float) -> None:
        """Another attempt, or the end. A job that is ending gets none."""
        item = entry.item
        if item is None:
            return
        entry.failed_at = now
        decision = decide(failure, item, self.policy, now=now, chance=self._chance())
        skipped = isinstance(decision, Retried) and self._jobs.is_skipping(item)
        self._ledger.resize(entry, entry.size + len(failure.stacktrace))
        self._ledger.finish(entry.token, SKIPPED if skipped else decision)

    def nearest_tier(self, tier: int) -> int:
        """The tier that stands for `tier` in the present configuration."""
        return max(1, min(tier, self.policy.tiers))

    def hook(self, token: int, job_id: str) -> Task:
        """The call of a job's `on_job_complete`."""
        job = self._jobs.job(job_id)
        return Task(token, Payload(pack_job(Job(job_id, {}) if job is None else described(job))), hook=job_id)

    def _take_hook(
        self, entry: Entry, item: Item, outcome: Output | Failure, now: float, *, is_serving: bool
    ) -> Task | None:
        if item.job_id is None:
            self._ledger.finish(entry.token, outcome)
            return None
        error = None
        if isinstance(outcome, Failure):
            if not is_serving:
                self._waiting.hold(entry, self._jobs.is_skipping)
                return None
            error = outcome.message
            entry.tries += 1
            is_over = outcome.of_job and outcome.final
            if not is_over and entry.tries < self.policy.max_attempts:
                return self.hook(entry.token, item.job_id)
        event = HookEnded(job_id=item.job_id, generation=item.generation, at=now, error=error)
        self._ledger.finish(entry.token, event)
        return None
