"""A job's life as all roles make it together, each in its own time and from an old picture of the job's status.

What is said on `progress` is said in the transaction that makes it true, so the machine keeps the truth beside it:
items with their ends, records written and stored. The tracker lags behind, is killed, and folds again what it had.
"""

from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from stream_infer.headers import item_headers
from stream_infer.jobs.counts import Counts
from stream_infer.jobs.events import (
    Counted,
    EnqueuingStarted,
    Event,
    Exhausted,
    Failed,
    Finalized,
    Hindered,
    HookEnded,
    HookPublished,
    Reopened,
    StopRequested,
    Submitted,
    decode_event,
    encode_event,
)
from stream_infer.jobs.lifecycle import ERRORS_KEPT, fold
from stream_infer.jobs.status import Cause, JobStatus, Phase, State, decode_status, encode_status
from stream_infer.records import Control, Item
from stream_infer.tracker.rows import PartitionRows
from stream_infer.worker.retry import RetryPolicy
from stream_infer.worker.triage import Moment, RunHook, Wait, triage
from tests.support.items import item_at

JOB = "job-1"
NO_RETRY = RetryPolicy(1, (), 0.0)
ORDER = [State.VALIDATING, State.ENQUEUING, State.RUNNING, State.STOPPING, State.FINALIZING]
BEHIND = st.integers(0, 3)
SKEW = st.sampled_from([0.0, 0.0, -2.0, 1.5])


def rank(state: State) -> int:
    return len(ORDER) if state.is_final else ORDER.index(state)


@dataclass
class Truth:
    """An item that was published: its generation, and its end in that."""

    generation: int = 1
    end: str | None = None


class OneJob:
    """What a worker knows, as its view of `status` shows it."""

    def __init__(self, status: JobStatus) -> None:
        self._status = status

    def status(self, job_id: str) -> JobStatus:
        return self._status

    def is_known(self, job_id: str) -> bool:
        return True

    def is_skipping(self, item: Item) -> bool:
        return self._status.skips(item.generation)


class JobMachine(RuleBasedStateMachine):
    @initialize(
        count=st.integers(0, 6), has_hook=st.booleans(), timeout=st.sampled_from([None, None, 20.0]), calm=st.booleans()
    )
    def submit(self, count: int, has_hook: bool, timeout: float | None, calm: bool) -> None:
        self.calm = calm  # nobody stops it
        self.now = 1000.0
        self.log: list[bytes] = []
        self.rows = PartitionRows({})
        self.read = 0
        self.committed = 0
        self.history: list[JobStatus] = []  # as the tracker has written them
        self.to_enqueue = count
        self.intake_done = self.intake_began = False
        self.has_hook, self.timeout = has_hook, timeout
        self.items: list[Truth] = []
        self.written = self.sunk = 0
        self.hooks: list[int] = []  # control records that nobody has read, by their generation
        self.hooks_run: list[int] = []
        self.hooks_failed: set[int] = set()
        self.steps_done: set[tuple[int, str]] = set()
        self.replaying: int | None = None  # the generation that a replay has opened and not closed
        self.mark = 1
        self.failed_by_worker = False
        self._say(Submitted(job_id=JOB, at=self.now, api="a", has_hook=has_hook, timeout_s=timeout))
        self._track(10)

    # The tracker.

    @rule(count=st.integers(1, 8))
    def track(self, count: int) -> None:
        self._track(count)

    @rule(count=st.integers(1, 4))
    def the_tracker_is_killed_before_it_writes(self, count: int) -> None:
        self._fold(count)
        self._restore()

    @rule(back=st.integers(1, 5))
    def events_are_delivered_again(self, back: int) -> None:
        """Faust's way after a crash: from below the offset that the rows show."""
        self._restore()
        self.read = max(0, self.read - back)

    @rule(seconds=st.sampled_from([0.5, 3.0, 8.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        for event in self.rows.overdue(self.now):
            self._say(event)

    @rule(
        roles=st.permutations(["enqueue", "work", "store", "finalize", "hook", "replay"]),
        behind=BEHIND,
        reads=st.sampled_from([1, 100, 100]),
        error=st.sampled_from([None, None, "ValueError: no"]),
        stops=st.sampled_from([False, False, True]),
    )
    def everybody_has_a_turn(
        self, roles: list[str], behind: int, reads: int, error: str | None, *, stops: bool
    ) -> None:
        """A job gets through its life in a few of these."""
        for role in roles:
            if role == "enqueue" and not self.intake_done:
                self.enqueue(6, behind, 0.0, None)
            elif role == "work" and self._waiting():
                self.work(["succeeded", "rejected", "none"] * 3, behind, 0.0, begun=False)
            elif role == "store" and self.written > self.sunk:
                self.store(20, 1)
            elif role == "finalize":
                self.finalize(behind)
            elif role == "hook" and self.hooks:
                self.run_the_hook(behind, error)
            elif role == "replay":
                self.replay(2, behind, dies=behind == 1)
                if stops and self.mark > 1 and not self.calm:
                    self._say(StopRequested(job_id=JOB, at=self.now))
            self._track(reads)

    # The roles, each with a status that may be old.

    @precondition(lambda self: not self.intake_done)
    @rule(most=st.integers(1, 3), behind=BEHIND, skew=SKEW, error=st.sampled_from([None, None, None, "source is gone"]))
    def enqueue(self, most: int, behind: int, skew: float, error: str | None) -> None:
        status, at = self._status(behind), self.now + skew
        if status.state.is_final:
            self.intake_done = True
            return
        said: list[Event] = [] if self.intake_began or status.is_skipping else [EnqueuingStarted(job_id=JOB, at=at)]
        count = 0 if status.is_skipping else min(most, self.to_enqueue)
        self.intake_began = True
        if count:
            self.to_enqueue -= count
            self.items += [Truth() for _ in range(count)]
            said.append(Counted(job_id=JOB, at=at, delta=Counts(enqueued=count)))
        if status.is_skipping or error or not self.to_enqueue:
            self.intake_done = True
            said.append(Exhausted(job_id=JOB, at=at, error=None if status.is_skipping else error))
        self._say(*said)

    @precondition(lambda self: self._waiting())
    @rule(
        ends=st.lists(st.sampled_from(["succeeded", "none", "rejected"]), min_size=1, max_size=4),
        behind=BEHIND,
        skew=SKEW,
        begun=st.booleans(),
    )
    def work(self, ends: list[str], behind: int, skew: float, begun: bool) -> None:
        """What has begun ends as it does, though the job is being stopped."""
        status = self._status(behind)
        deltas: dict[int, dict[str, int]] = {}
        for truth, drawn in zip(self._waiting(), ends, strict=False):
            skip = status.skips(truth.generation) or (self.failed_by_worker and truth.generation == 1)
            end = "skipped" if skip and not begun else drawn
            truth.end = "succeeded" if end == "none" else end
            delta = deltas.setdefault(truth.generation, {})
            delta[truth.end] = delta.get(truth.end, 0) + 1
            delta["written"] = delta.get("written", 0) + (end in ("succeeded", "rejected"))
            self.written += end in ("succeeded", "rejected")
        for generation, delta in deltas.items():
            self._say(Counted(job_id=JOB, generation=generation, at=self.now + skew, delta=Counts(**delta)))

    @precondition(lambda self: self.written > self.sunk)
    @rule(most=st.integers(1, 5), generation=st.integers(1, 2))
    def store(self, most: int, generation: int) -> None:
        count = min(most, self.written - self.sunk)
        self.sunk += count
        self._say(Counted(job_id=JOB, generation=generation, at=self.now, delta=Counts(sunk=count)))

    @rule(behind=BEHIND)
    def finalize(self, behind: int) -> None:
        status = self._status(behind)
        if status.phase is None or (status.generation, status.phase) in self.steps_done:
            return
        if status.phase is Phase.HOOK:
            self.hooks.append(status.generation)
            self._say(HookPublished(job_id=JOB, at=self.now, generation=status.generation))
        elif status.phase is Phase.ASSEMBLE:
            assert status.counts.written == status.counts.sunk
            ended = Finalized(
                job_id=JOB, at=self.now, generation=status.generation, manifest="m", objects=1, bytes=self.sunk
            )
            self._say(ended)
        self.steps_done.add((status.generation, status.phase))

    @precondition(lambda self: self.hooks)
    @rule(behind=BEHIND, error=st.sampled_from([None, None, "ValueError: no"]))
    def run_the_hook(self, behind: int, error: str | None) -> None:
        generation = self.hooks.pop(0)
        item = item_at(headers=item_headers(job_id=JOB, generation=generation, control=Control.ON_JOB_COMPLETE))
        moment = Moment(self.now, jobs_are_current=False, is_serving=True)
        verdict = triage(item, None, OneJob(self._status(behind)), NO_RETRY, moment)
        if verdict is Wait.FOR_JOB:
            moment = Moment(self.now, jobs_are_current=True, is_serving=True)
            verdict = triage(item, None, OneJob(self._status(0)), NO_RETRY, moment)
        if verdict == RunHook(JOB):
            self.hooks_run.append(generation)
            self.hooks_failed |= set() if error is None else {generation}
            self._say(HookEnded(job_id=JOB, at=self.now, generation=generation, error=error))

    # What hinders, and ends early.

    @precondition(lambda self: not self.calm)
    @rule(at=SKEW)
    def stop(self, at: float) -> None:
        self._say(StopRequested(job_id=JOB, at=self.now + at))

    @precondition(lambda self: not self.calm and any(truth.generation == 1 for truth in self._waiting()))
    @rule()
    def the_breaker_blames_the_job(self) -> None:
        self.failed_by_worker = True
        self._say(Failed(job_id=JOB, at=self.now, error="not for this model"))

    @rule(behind=BEHIND)
    def a_role_is_hindered(self, behind: int) -> None:
        self._say(Hindered(job_id=JOB, at=self.now, generation=self._status(behind).generation, reason="no model"))

    @rule(which=st.integers(0, 60))
    def somebody_says_it_again(self, which: int) -> None:
        """Whoever begins anew where its transaction was not seen; but for counts, and a stop, which is a new wish."""
        event = decode_event(self.log[which % len(self.log)])
        if event is not None and not isinstance(event, Counted | StopRequested):
            self._say(event)

    # Replays: see gateway/dead_letters/replay.py for who may.

    @rule(most=st.integers(1, 3), behind=BEHIND, dies=st.booleans())
    def replay(self, most: int, behind: int, dies: bool) -> None:
        status = self._status(behind)
        letters = [truth for truth in self.items if truth.end == "rejected"]
        said: list[Event] = []
        if status.generation < self.mark:
            return  # it waits for the tracker
        if status.state.is_final and letters:
            self.mark = self.replaying = status.generation + 1
            said.append(Reopened(job_id=JOB, at=self.now, generation=self.mark, timeout_s=self.timeout))
        elif self.replaying != status.generation or status.state.is_final:
            return
        elif status.cause is not None:
            self.replaying = None
            self._say(Exhausted(job_id=JOB, at=self.now, generation=self.mark))
            return
        chunk = letters[:most]
        for truth in chunk:
            truth.generation, truth.end = self.mark, None
        if chunk:
            delta = Counts(rejected=-len(chunk), reopened=len(chunk))
            said.append(Counted(job_id=JOB, at=self.now, generation=self.mark, delta=delta))
        if not dies and len(chunk) == len(letters):
            self.replaying = None
            said.append(Exhausted(job_id=JOB, at=self.now, generation=self.mark))
        self._say(*said)

    def teardown(self) -> None:
        """Left alone, every job comes to its end, and the end says what has become of its items."""
        if not hasattr(self, "log"):
            return
        before = -1
        while before != len(self.log):
            before = len(self.log)
            self._track(10_000)
            if not self.intake_done:
                self.enqueue(100, 0, 0.0, None)
            while self._waiting():
                self.work(["succeeded"] * 100, 0, 0.0, begun=False)
            if self.replaying is not None:
                self.replay(100, 0, dies=False)
            while self.hooks:
                self.run_the_hook(0, None)
            if self.written > self.sunk:
                self.store(100, 1)
            self.finalize(0)
        self._check_end(self.history[-1])

    def _check_end(self, row: JobStatus) -> None:
        assert row.state.is_final, row
        ends = [truth.end for truth in self.items]
        counts = row.counts
        assert (counts.enqueued, counts.waiting, counts.written, counts.sunk) == (
            len(ends), 0, self.written, self.written,
        )  # fmt: skip
        for end in ("succeeded", "rejected", "skipped"):
            assert getattr(counts, end) == ends.count(end)
        if row.ends_early is None:
            assert counts.skipped == 0 and self.to_enqueue == 0
            assert row.state in (State.SUCCEEDED, State.COMPLETED_WITH_FAILURES)
            assert (row.state is State.SUCCEEDED) == (not counts.rejected and row.generation not in self.hooks_failed)
        else:
            assert row.state.value == row.ends_early.value
        assert len(set(self.hooks_run)) == len(self.hooks_run), "once a generation"
        if self.has_hook and row.ends_early is None:
            assert self.hooks_run == list(range(1, row.generation + 1))
        if not self.has_hook:
            assert not self.hooks_run
        assert row == self._folded_at_once()

    # Steps.

    def _say(self, *events: Event) -> None:
        self.log += [encode_event(event) for event in events]

    def _waiting(self) -> list[Truth]:
        return [truth for truth in self.items if truth.end is None]

    def _status(self, behind: int) -> JobStatus:
        return self.history[max(0, len(self.history) - 1 - behind)]

    def _track(self, count: int) -> None:
        self._fold(count)
        changes = self.rows.take_changes()
        row = changes.rows.get(JOB)
        if row is not None:
            self.history.append(decode_status(encode_status(row)))
        if changes.next_offset is not None:
            self.committed = max(self.committed, changes.next_offset)

    def _restore(self) -> None:
        self.rows = PartitionRows({JOB: self.history[-1]})
        self.read = self.committed

    def _fold(self, count: int) -> None:
        for value in self.log[self.read : self.read + count]:
            before = self.rows.rows.get(JOB)
            self.rows.fold(decode_event(value), self.read)
            self.read += 1
            self._check(before, self.rows.rows[JOB])

    def _check(self, before: JobStatus | None, row: JobStatus) -> None:
        counts = row.counts
        assert min(counts.model_dump().values()) >= 0
        assert counts.ended <= counts.enqueued <= len(self.items)
        assert counts.sunk <= counts.written <= self.written and counts.sunk <= self.sunk
        assert (row.phase is not None) == (row.state is State.FINALIZING)
        assert row.rate >= 0
        assert len(row.errors) <= ERRORS_KEPT
        if before is None or row is before:
            return
        assert row.offset == before.offset + 1 or before.offset < 0
        if row.generation == before.generation:
            assert rank(row.state) >= rank(before.state)
            assert not before.state.is_final or row.state is before.state
            assert before.cause in (None, row.cause)
            assert not before.state.is_final or row.counts == before.counts, "what was told of its end stays true"
        else:
            assert before.state.is_final and row.generation == before.generation + 1
        if row.state is State.FINALIZING and before.state is not State.FINALIZING:
            assert row.exhausted and counts.waiting == 0 and counts.written == counts.sunk
        if row.state is State.STOPPING:
            assert row.cause is not None
        if before.phase is row.phase is Phase.ASSEMBLE:
            assert row.cause is before.cause, "nothing is left to end"

    def _folded_at_once(self) -> JobStatus | None:
        status: JobStatus | None = None
        for offset, value in enumerate(self.log):
            event = decode_event(value)
            assert event is not None
            status = fold(status, event, offset)
        return status


TestJob = JobMachine.TestCase
TestJob.settings = settings(max_examples=100, stateful_step_count=40)


COUNTS = st.builds(Counts, **dict.fromkeys(Counts.model_fields, st.integers(0, 5)))


@given(deltas=st.lists(COUNTS, max_size=8), data=st.data())
def test_deltas_add_up_alike_in_any_order(deltas: list[Counts], data: st.DataObject) -> None:
    def after(some: list[Counts]) -> JobStatus | None:
        status = fold(None, Submitted(job_id=JOB, at=0.0, api="a"), 0)
        for offset, delta in enumerate(some, 1):
            status = fold(status, Counted(job_id=JOB, at=0.0, delta=delta), offset)
        return status

    one, other = after(deltas), after(data.draw(st.permutations(deltas)))
    assert one is not None and other is not None
    assert (one.counts, one.state) == (other.counts, other.state)


@given(
    st.permutations(
        [
            StopRequested(job_id=JOB, at=5.0),
            Failed(job_id=JOB, at=5.0, error="bad"),
            Exhausted(job_id=JOB, at=5.0),
            Counted(job_id=JOB, at=5.0, delta=Counts(enqueued=2, skipped=2)),
        ]
    )
)
def test_whatever_comes_first_of_what_ends_a_job_it_ends_early(events: list[Event]) -> None:
    status = fold(None, Submitted(job_id=JOB, at=0.0, api="a", has_hook=True), 0)
    for offset, event in enumerate(events, 1):
        status = fold(status, event, offset)
    assert status is not None
    first = next(event for event in events if isinstance(event, StopRequested | Failed))
    assert (status.state, status.phase) == (State.FINALIZING, Phase.ASSEMBLE)
    assert status.cause is (Cause.STOP if isinstance(first, StopRequested) else Cause.FAILURE)
