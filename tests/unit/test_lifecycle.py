"""The life of a job as a table: `(status, event) -> status`."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_infer.jobs.assembling import Assemble
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
    TimeoutReached,
    Unhindered,
    decode_event,
    encode_event,
)
from stream_infer.jobs.lifecycle import ERRORS_KEPT, fold, is_timed_out
from stream_infer.jobs.status import Cause, HinderedRole, JobStatus, Phase, State, decode_status, encode_status

JOB = "job-1"
START = 1000.0
LATE = START + 60.0


def counted(at: float = START + 3, **delta: int) -> Counted:
    return Counted(job_id=JOB, at=at, delta=Counts(**delta))


SUBMITTED = Submitted(job_id=JOB, at=START, api="cats", timeout_s=60.0)
SUBMITTED_WITH_HOOK = SUBMITTED.model_copy(update={"has_hook": True})
STARTED = EnqueuingStarted(job_id=JOB, at=START + 1)
ENQUEUED = counted(enqueued=3)
OUTCOME = counted(succeeded=1, written=1)
REST = counted(succeeded=1, rejected=1, written=2)
REST_CLEAN = counted(succeeded=2, written=2)
SUNK = counted(sunk=3)
EXHAUSTED = Exhausted(job_id=JOB, at=START + 4)
BROKEN = Exhausted(job_id=JOB, at=START + 4, error="s3://b/k is gone")
STOP = StopRequested(job_id=JOB, at=START + 5)
TIMEOUT = TimeoutReached(job_id=JOB, at=LATE)
PUBLISHED = HookPublished(job_id=JOB, at=START + 6)
HOOKED = HookEnded(job_id=JOB, at=START + 7)
HOOK_FAILED = HookEnded(job_id=JOB, at=START + 7, error="ValueError: no")
FAILED = Failed(job_id=JOB, at=START + 5, error="not for this model")
HINDERED = Hindered(job_id=JOB, at=START + 5, reason="no model")
FINALIZED = Finalized(job_id=JOB, at=START + 8, manifest="file:///m.json", objects=2, bytes=10)

TO_RUNNING = [SUBMITTED, STARTED, ENQUEUED, OUTCOME]
TO_ASSEMBLE = [*TO_RUNNING, EXHAUSTED, REST, SUNK]
TO_HOOK = [SUBMITTED_WITH_HOOK, *TO_ASSEMBLE[1:]]


def life(events: Iterable[Event], status: JobStatus | None = None, first_offset: int = 0) -> JobStatus:
    for offset, event in enumerate(events, first_offset):
        status = fold(status, event, offset)
    assert status is not None
    return status


@pytest.mark.parametrize(
    ("events", "state", "phase"),
    [
        pytest.param([SUBMITTED], State.VALIDATING, None, id="a submitted job is validating"),
        pytest.param([SUBMITTED, STARTED], State.ENQUEUING, None, id="intake has opened the source"),
        pytest.param([SUBMITTED, ENQUEUED], State.ENQUEUING, None, id="items are proof of enqueuing"),
        pytest.param([SUBMITTED, STARTED, ENQUEUED], State.ENQUEUING, None, id="items without outcome"),
        pytest.param(TO_RUNNING, State.RUNNING, None, id="the first outcome makes it running"),
        pytest.param([SUBMITTED, ENQUEUED, OUTCOME], State.RUNNING, None, id="two doors open one after the other"),
        pytest.param([*TO_RUNNING, STARTED], State.RUNNING, None, id="enqueuing does not come back"),
        pytest.param([*TO_RUNNING, EXHAUSTED], State.RUNNING, None, id="exhausted with items on their way"),
        pytest.param([*TO_RUNNING, REST, SUNK], State.RUNNING, None, id="all have ended and more may come"),
        pytest.param([*TO_RUNNING, EXHAUSTED, REST], State.RUNNING, None, id="written and not sunk"),
        pytest.param(TO_ASSEMBLE, State.FINALIZING, Phase.ASSEMBLE, id="drained"),
        pytest.param([*TO_RUNNING, REST, SUNK, EXHAUSTED], State.FINALIZING, Phase.ASSEMBLE, id="exhausted comes last"),
        pytest.param([SUBMITTED, STARTED, EXHAUSTED], State.FINALIZING, Phase.ASSEMBLE, id="an empty source"),
        pytest.param(TO_HOOK, State.FINALIZING, Phase.HOOK, id="drained with a hook"),
        pytest.param([*TO_HOOK, PUBLISHED], State.FINALIZING, Phase.HOOK_RUNNING, id="the hook is published"),
        pytest.param([*TO_HOOK, PUBLISHED, HOOKED], State.FINALIZING, Phase.ASSEMBLE, id="the hook is done"),
        pytest.param([*TO_HOOK, HOOKED], State.FINALIZING, Phase.ASSEMBLE, id="the hook's end overtakes its start"),
        pytest.param([*TO_HOOK, FINALIZED], State.FINALIZING, Phase.HOOK, id="nothing is finalized before its hook"),
        pytest.param([*TO_ASSEMBLE, HOOKED], State.FINALIZING, Phase.ASSEMBLE, id="a hook that nobody asked for"),
        pytest.param([*TO_RUNNING, FINALIZED], State.RUNNING, None, id="nothing is finalized while items run"),
        pytest.param([*TO_ASSEMBLE, FINALIZED], State.COMPLETED_WITH_FAILURES, None, id="an item was rejected"),
        pytest.param(
            [*TO_RUNNING, REST_CLEAN, SUNK, EXHAUSTED, FINALIZED], State.SUCCEEDED, None, id="every item succeeded"
        ),
        pytest.param([SUBMITTED, EXHAUSTED, FINALIZED], State.SUCCEEDED, None, id="no item, no failure"),
        pytest.param(
            [SUBMITTED_WITH_HOOK, EXHAUSTED, PUBLISHED, HOOK_FAILED, FINALIZED],
            State.COMPLETED_WITH_FAILURES,
            None,
            id="a hook that failed is a failure",
        ),
    ],
)
def test_a_job_moves_as_its_events_say(events: list[Event], state: State, phase: Phase | None) -> None:
    status = life(events)
    assert (status.state, status.phase) == (state, phase)


AWAY = {
    role: Hindered(job_id=JOB, at=START + 5, role=role, reason=f"{role} waits")
    for role in (HinderedRole.SINK, HinderedRole.INTAKE, HinderedRole.WORKER)
}


@pytest.mark.parametrize(
    ("event", "left"),
    [
        pytest.param(Unhindered(job_id=JOB, at=START + 6), "intake waits; sink waits", id="a predictor serves again"),
        pytest.param(counted(skipped=1), "intake waits; sink waits", id="an item has ended"),
        pytest.param(counted(enqueued=1), "worker waits; sink waits", id="the source gives items again"),
        pytest.param(EXHAUSTED, "worker waits; sink waits", id="the source has ended"),
        pytest.param(counted(sunk=1), "intake waits; worker waits", id="the store takes objects again"),
        pytest.param(counted(rejected=-1, reopened=1), "intake waits; worker waits; sink waits", id="a replay"),
    ],
)
def test_what_a_role_gets_done_takes_back_what_hindered_it_and_nothing_else(event: Event, left: str) -> None:
    status = life([*TO_RUNNING, *AWAY.values()])
    assert life([event], status, 100).hindrance == left


def test_a_hook_that_is_published_takes_back_that_the_sink_waited_for_the_store_before_it() -> None:
    status = life([SUBMITTED_WITH_HOOK, EXHAUSTED, AWAY[HinderedRole.SINK]])
    assert (status.phase, status.hindrance) == (Phase.HOOK, "sink waits")
    assert life([PUBLISHED], status, 100).hindrance is None


def test_a_job_that_is_final_is_hindered_by_nothing() -> None:
    status = life([*TO_RUNNING, *AWAY.values(), EXHAUSTED, REST, SUNK, AWAY[HinderedRole.WORKER]])
    assert status.hindrance == "worker waits"
    assert life([FINALIZED, AWAY[HinderedRole.WORKER]], status, 100).hindrance is None


BEFORE_THE_END = {
    "validating": [SUBMITTED],
    "enqueuing": [SUBMITTED, STARTED],
    "running": TO_RUNNING,
}
ENDINGS = {"stop": (STOP, State.STOPPED), "timeout": (TIMEOUT, State.TIMED_OUT), "failure": (BROKEN, State.FAILED)}


@pytest.mark.parametrize("before", BEFORE_THE_END)
@pytest.mark.parametrize("ending", ENDINGS)
def test_an_ending_goes_through_stopping_and_finalizing_without_a_hook(before: str, ending: str) -> None:
    event, final = ENDINGS[ending]
    events = BEFORE_THE_END[before]
    status = life([SUBMITTED_WITH_HOOK, *events[1:], event])
    waiting = status.counts.waiting
    assert status.cause is Cause(final.value)
    assert status.is_skipping
    if waiting:
        assert status.state is State.STOPPING
    left = [counted(skipped=waiting), EXHAUSTED, counted(sunk=status.counts.written)]
    status = life(left, status, len(events) + 1)
    assert (status.state, status.phase) == (State.FINALIZING, Phase.ASSEMBLE)
    status = life([FINALIZED], status, 100)
    assert (status.state, status.phase) == (final, None)
    assert {"stopping", "finalizing", final.value} <= status.times.keys()


@pytest.mark.parametrize("before", [[SUBMITTED], TO_RUNNING])
def test_a_stopping_job_waits_for_its_intake_to_say_that_it_has_ended(before: list[Event]) -> None:
    status = life([*before, STOP, counted(skipped=2), counted(sunk=1)])
    assert status.state is State.STOPPING


@pytest.mark.parametrize("hook", [[], [PUBLISHED]])
@pytest.mark.parametrize(("event", "final"), [(STOP, State.STOPPED), (TIMEOUT, State.TIMED_OUT)])
def test_a_stop_or_timeout_ends_the_hook(hook: list[Event], event: Event, final: State) -> None:
    status = life([*TO_HOOK, *hook, event])
    assert (status.state, status.phase) == (State.FINALIZING, Phase.ASSEMBLE)
    assert life([HOOK_FAILED, FINALIZED], status, 100).state is final


@pytest.mark.parametrize("event", [STOP, TIMEOUT, BROKEN])
def test_once_assembly_has_begun_nothing_is_left_to_end(event: Event) -> None:
    status = life([*TO_ASSEMBLE, event])
    assert status.cause is None
    assert life([FINALIZED], status, 100).state is State.COMPLETED_WITH_FAILURES


@pytest.mark.parametrize(
    ("first", "second", "cause"),
    [(STOP, TIMEOUT, Cause.STOP), (TIMEOUT, STOP, Cause.TIMEOUT), (BROKEN, STOP, Cause.FAILURE)],
)
def test_the_first_cause_wins(first: Event, second: Event, cause: Cause) -> None:
    assert life([*TO_RUNNING, first, second]).cause is cause


def test_a_source_that_fails_says_why_and_is_exhausted() -> None:
    status = life([*TO_RUNNING, BROKEN])
    assert status.errors == ("s3://b/k is gone",)
    assert status.exhausted


def test_a_hook_that_failed_says_why() -> None:
    status = life([*TO_HOOK, PUBLISHED, HOOK_FAILED])
    assert status.hook_failed
    assert status.errors == ("ValueError: no",)
    assert len(life([HOOK_FAILED] * (2 * ERRORS_KEPT), status, 100).errors) == 1


FINAL = {
    "succeeded": [*TO_RUNNING, REST_CLEAN, SUNK, EXHAUSTED, FINALIZED],
    "completed_with_failures": [*TO_ASSEMBLE, FINALIZED],
    **{
        final.value: [*TO_RUNNING, event, EXHAUSTED, counted(skipped=2), counted(sunk=1), FINALIZED]
        for event, final in ENDINGS.values()
    },
}


@pytest.mark.parametrize("state", FINAL)
@pytest.mark.parametrize(
    "event", [SUBMITTED, STARTED, EXHAUSTED, BROKEN, STOP, TIMEOUT, PUBLISHED, HOOKED, HOOK_FAILED, FINALIZED]
)
def test_a_final_state_is_final(state: str, event: Event) -> None:
    status = life(FINAL[state])
    assert status.state == state
    assert life([event], status, 100) == status.model_copy(update={"offset": 100})


def test_what_cannot_be_assembled_is_a_failure_and_says_why() -> None:
    said = FINALIZED.model_copy(update={"error": "no such bucket"})
    status = life([*TO_ASSEMBLE, said])

    assert (status.state, status.errors) == (State.COMPLETED_WITH_FAILURES, ("no such bucket",))


def test_what_is_to_be_assembled_stays_with_the_job() -> None:
    wanted = Assemble(separator="line", output="s3://b/out", base="s3://b/in/")

    assert life([SUBMITTED.model_copy(update={"assemble": wanted}), *TO_ASSEMBLE[1:]]).assemble == wanted


def test_finalized_keeps_where_the_manifest_is() -> None:
    status = life([*TO_ASSEMBLE, FINALIZED])
    assert (status.manifest, status.objects, status.bytes) == ("file:///m.json", 2, 10)
    assert status.times["completed_with_failures"] == FINALIZED.at


@pytest.mark.parametrize("event", [EXHAUSTED, BROKEN, PUBLISHED, HOOKED, HOOK_FAILED, FINALIZED, TIMEOUT, STARTED])
@pytest.mark.parametrize("before", [[SUBMITTED], TO_RUNNING, TO_ASSEMBLE, TO_HOOK])
def test_an_event_of_another_generation_changes_nothing(before: list[Event], event: Event) -> None:
    status = life(before)
    other = event.model_copy(update={"generation": 2})
    assert life([other], status, 100) == status.model_copy(update={"offset": 100})


def test_a_replay_reopens_rejected_items_and_the_counts_stay_sane() -> None:
    status = life([*TO_ASSEMBLE, counted(rejected=-1, reopened=1)])
    assert (status.counts.rejected, status.counts.reopened, status.counts.waiting) == (0, 1, 1)
    status = life([counted(succeeded=1, written=1)], status, 100)
    assert (status.counts.ended, status.counts.enqueued, status.counts.waiting) == (3, 3, 0)
    assert (status.counts.written, status.counts.sunk) == (4, 3)
    assert not status.is_drained


@pytest.mark.parametrize("event", [BROKEN, HOOK_FAILED, Failed(job_id=JOB, at=1.0, error="")])
def test_no_error_of_a_job_tells_a_secret_whoever_says_it(event: Any) -> None:
    leaky = type(event)(**{**event.model_dump(), "error": "s3://me:hunter2@b: password=hunter2"})
    assert leaky.error == "s3://***@b: password=***"
    cut = type(event)(**{**event.model_dump(), "error": "x" * 4080 + " s3://me:hunter2@b"})
    assert len(cut.error) <= 4096 and cut.error.endswith(" s3://***@b")


REOPENED = Reopened(job_id=JOB, at=LATE + 100, generation=2, timeout_s=60.0)
TAKEN_BACK = counted(at=LATE + 100, rejected=-1, reopened=1)
EXHAUSTED_AGAIN = EXHAUSTED.model_copy(update={"generation": 2, "at": LATE + 101})
SUCCEEDED_AGAIN = counted(at=LATE + 102, succeeded=1, written=1, sunk=1)
FINALIZED_AGAIN = FINALIZED.model_copy(update={"generation": 2, "at": LATE + 103})
REPLAY = [REOPENED, TAKEN_BACK, EXHAUSTED_AGAIN]
ENDED_EARLY = {
    final.value: [*TO_RUNNING, event, EXHAUSTED, counted(skipped=1, rejected=1, written=1), counted(sunk=2), FINALIZED]
    for event, final in ENDINGS.values()
}


def test_a_replay_reopens_a_final_job_in_the_next_generation_and_it_succeeds() -> None:
    final = life([*TO_ASSEMBLE, FINALIZED])
    status = life([REOPENED, TAKEN_BACK], final, 100)
    assert (status.state.is_final, status.generation, status.exhausted) == (False, 2, False)
    assert (status.deadline, status.phase, status.rate) == (REOPENED.at + 60.0, None, 0.0)
    assert not {"finalizing", "completed_with_failures"} & status.times.keys()
    status = life([SUCCEEDED_AGAIN], status, 110)
    assert not status.state.is_final, "more may be replayed"
    assert status.rate >= 0
    status = life([EXHAUSTED_AGAIN], status, 120)
    assert (status.state, status.phase) == (State.FINALIZING, Phase.ASSEMBLE)
    status = life([FINALIZED_AGAIN], status, 130)
    assert (status.state, status.generation) == (State.SUCCEEDED, 2)
    assert status.counts == Counts(enqueued=3, succeeded=3, reopened=1, written=4, sunk=4)


def test_a_replay_that_fails_again_leaves_a_job_with_failures_which_may_be_replayed_again() -> None:
    again = counted(at=LATE + 102, rejected=1, written=1, sunk=1)
    status = life([*TO_ASSEMBLE, FINALIZED, *REPLAY, again, FINALIZED_AGAIN])
    assert (status.state, status.counts.rejected) == (State.COMPLETED_WITH_FAILURES, 1)
    third = REOPENED.model_copy(update={"generation": 3})
    assert life([third], status, 100).generation == 3


@pytest.mark.parametrize("before", [[SUBMITTED], TO_RUNNING, TO_ASSEMBLE, TO_HOOK])
def test_only_a_final_job_is_reopened(before: list[Event]) -> None:
    status = life(before)
    assert life([REOPENED], status, 100) == status.model_copy(update={"offset": 100})


@pytest.mark.parametrize("generation", [1, 3])
def test_a_job_is_reopened_in_its_next_generation_only(generation: int) -> None:
    status = life([*TO_ASSEMBLE, FINALIZED])
    other = REOPENED.model_copy(update={"generation": generation})
    assert life([other], status, 100) == status.model_copy(update={"offset": 100})


def test_being_reopened_twice_is_being_reopened_once() -> None:
    status = life([*TO_ASSEMBLE, FINALIZED, *REPLAY])
    assert life([REOPENED], status, 100) == status.model_copy(update={"offset": 100})


@pytest.mark.parametrize(
    "event", [EXHAUSTED, BROKEN, PUBLISHED, HOOKED, HOOK_FAILED, FINALIZED, TIMEOUT, STARTED, FAILED, HINDERED]
)
@pytest.mark.parametrize("before", [[REOPENED, TAKEN_BACK], [*REPLAY, SUCCEEDED_AGAIN]])
def test_late_words_of_the_generation_before_disturb_nothing(event: Event, before: list[Event]) -> None:
    status = life([*TO_ASSEMBLE, FINALIZED, *before])
    assert life([event], status, 100) == status.model_copy(update={"offset": 100})


@pytest.mark.parametrize("state", ENDED_EARLY)
def test_a_job_that_ended_early_ends_so_again_since_what_it_skipped_is_gone(state: str) -> None:
    first = life(ENDED_EARLY[state])
    assert first.state == state
    reopened = life([REOPENED, TAKEN_BACK], first, 100)
    assert (reopened.cause, reopened.is_skipping, reopened.errors) == (None, False, first.errors)
    status = life([EXHAUSTED_AGAIN, SUCCEEDED_AGAIN], reopened, 110)
    assert (status.state, status.phase) == (State.FINALIZING, Phase.ASSEMBLE)
    again = life([FINALIZED_AGAIN], status, 120)
    assert (again.state, again.cause) == (state, first.cause)


def test_a_hook_runs_again_in_each_generation_and_its_old_failure_counts_no_more() -> None:
    status = life([*TO_HOOK, PUBLISHED, HOOK_FAILED, FINALIZED, *REPLAY, SUCCEEDED_AGAIN])
    assert (status.phase, status.hook_failed, status.errors) == (Phase.HOOK, False, ())
    later = [event.model_copy(update={"generation": 2}) for event in (PUBLISHED, HOOKED)]
    assert life([*later, FINALIZED_AGAIN], status, 100).state is State.SUCCEEDED


@pytest.mark.parametrize(
    ("event", "final"),
    [
        (STOP, State.STOPPED),
        (TimeoutReached(job_id=JOB, at=LATE + 160, generation=2), State.TIMED_OUT),
    ],
)
def test_a_reopened_job_that_is_stopped_waits_for_the_word_that_nothing_more_is_replayed(
    event: Event, final: State
) -> None:
    status = life([*TO_ASSEMBLE, FINALIZED, REOPENED, TAKEN_BACK, event, counted(skipped=1)])
    assert (status.state, status.exhausted, status.counts.waiting) == (State.STOPPING, False, 0)
    status = life([TAKEN_BACK, EXHAUSTED_AGAIN], status, 100)
    assert status.state is State.STOPPING, "the replay had not seen the stop yet"
    status = life([counted(skipped=1)], status, 105)
    assert status.state is State.FINALIZING
    assert life([FINALIZED_AGAIN], status, 110).state is final


def test_items_of_a_later_generation_are_not_skipped_for_how_the_earlier_one_ended() -> None:
    stopped = life(FINAL["stopped"])
    assert [stopped.skips(generation) for generation in (1, 2)] == [True, False]
    running = life(TO_RUNNING)
    assert not running.skips(1)


def test_the_timeout_of_a_reopened_job_starts_anew() -> None:
    status = life([*TO_ASSEMBLE, FINALIZED, REOPENED, TAKEN_BACK])
    assert [is_timed_out(status, at) for at in (REOPENED.at, REOPENED.at + 59, REOPENED.at + 60)] == [
        False,
        False,
        True,
    ]
    endless = life([*TO_ASSEMBLE, FINALIZED, REOPENED.model_copy(update={"timeout_s": None})])
    assert endless.deadline is None


@pytest.mark.parametrize("event", [STARTED, ENQUEUED, EXHAUSTED, STOP, TIMEOUT, PUBLISHED, HOOKED, REOPENED, FINALIZED])
def test_an_event_of_an_unknown_job_makes_none(event: Event) -> None:
    assert fold(None, event, 7) is None


@pytest.mark.parametrize("offset", [0, 4, 5])
@pytest.mark.parametrize("event", [SUBMITTED, ENQUEUED, STOP, EXHAUSTED])
def test_what_lies_at_or_below_the_rows_own_offset_was_folded_before(offset: int, event: Event) -> None:
    status = life(TO_RUNNING, first_offset=2)
    assert status.offset == 5
    assert fold(status, event, offset) is status


@pytest.mark.parametrize(
    ("events", "now", "expected"),
    [
        ([SUBMITTED], LATE - 0.1, False),
        ([SUBMITTED], LATE, True),
        (TO_RUNNING, LATE, True),
        (TO_HOOK, LATE, True),
        (TO_ASSEMBLE, LATE, False),
        ([SUBMITTED, STOP], LATE, False),
        ([SUBMITTED.model_copy(update={"timeout_s": None})], LATE, False),
        ([*TO_ASSEMBLE, FINALIZED], LATE, False),
    ],
)
def test_the_timer_speaks_up_only_where_something_is_left_to_end(
    events: list[Event], now: float, expected: bool
) -> None:
    assert is_timed_out(life(events), now) is expected


def test_a_timeout_that_is_said_too_early_changes_nothing() -> None:
    early = TimeoutReached(job_id=JOB, at=LATE - 1)
    assert life([*TO_RUNNING, early]).cause is None


def test_the_rate_is_that_of_the_last_full_second_in_which_items_ended() -> None:
    status = life([SUBMITTED, counted(enqueued=30), counted(at=START + 2, succeeded=10)])
    assert status.rate == pytest.approx(5.0)
    status = life([counted(at=START + 2.5, succeeded=5), counted(at=START + 3, succeeded=5)], status, 100)
    assert status.rate == pytest.approx(10.0)


EVENTS = [
    STARTED,
    ENQUEUED,
    OUTCOME,
    REST,
    SUNK,
    EXHAUSTED,
    BROKEN,
    STOP,
    TIMEOUT,
    PUBLISHED,
    HOOKED,
    HOOK_FAILED,
    FINALIZED,
    REOPENED,
    TAKEN_BACK,
    EXHAUSTED_AGAIN,
    FINALIZED_AGAIN,
]


@given(
    has_hook=st.booleans(),
    tail=st.lists(st.sampled_from(EVENTS), max_size=25),
    jumps=st.lists(st.tuples(st.integers(0, 26), st.integers(0, 26)), max_size=6),
)
def test_any_redelivery_that_keeps_the_order_gives_the_same_row(
    has_hook: bool, tail: list[Event], jumps: list[tuple[int, int]]
) -> None:
    """At each jump the reader goes back, as after a kill, with its row restored from the topic."""
    log = list(enumerate([SUBMITTED_WITH_HOOK if has_hook else SUBMITTED, *tail], 5))
    status: JobStatus | None = None
    read = 0
    for until, back in jumps:
        for offset, event in log[read : max(read, until)]:
            status = fold(status, event, offset)
        read = min(max(read, until), len(log), back)
        status = None if status is None else decode_status(encode_status(status))
    for offset, event in log[read:]:
        status = fold(status, event, offset)
    assert status == life((event for _, event in log), first_offset=5)


@given(tail=st.lists(st.sampled_from(EVENTS), max_size=25))
def test_no_order_of_events_breaks_what_a_row_promises(tail: list[Event]) -> None:
    status = life([SUBMITTED])
    for offset, event in enumerate(tail, 1):
        before, status = status, life([event], status, offset)
        is_reopened = status.generation > before.generation
        assert not before.state.is_final or status.state is before.state or is_reopened
        assert (status.phase is not None) == (status.state is State.FINALIZING)
        assert before.cause is None or status.cause is before.cause or status.earlier is before.cause
        assert status.state.value in status.times
        assert status.counts.written >= before.counts.written


@pytest.mark.parametrize("event", [SUBMITTED_WITH_HOOK, *EVENTS])
def test_an_event_reads_as_it_was_written(event: Event) -> None:
    assert decode_event(encode_event(event)) == event


@pytest.mark.parametrize(
    "events", [[SUBMITTED], *(list(itertools.islice(TO_HOOK, n)) for n in range(1, 8)), *FINAL.values()]
)
def test_a_status_reads_as_it_was_written(events: list[Event]) -> None:
    status = life(events)
    assert decode_status(encode_status(status)) == status


@pytest.mark.parametrize(
    "value", [b"", b"null", b"{}", b'{"type":"counted"}', b"\xff", b'{"type":"no such","job_id":"x","at":1}']
)
def test_a_strangers_record_is_no_event(value: bytes) -> None:
    assert decode_event(value) is None


def test_how_many_workers_a_job_wants_stands_in_its_row() -> None:
    status = fold(None, Submitted(job_id=JOB, at=START, api="cats", workers=3), 0)

    assert status is not None and status.workers == 3


@pytest.mark.parametrize(
    ("state", "exhausted", "counts", "has_work"),
    [
        (State.VALIDATING, False, Counts(), True),
        (State.RUNNING, False, Counts(enqueued=5, succeeded=5), True),
        (State.RUNNING, True, Counts(enqueued=5, succeeded=4), True),
        (State.RUNNING, True, Counts(enqueued=5, succeeded=5), False),
        (State.SUCCEEDED, True, Counts(enqueued=5, succeeded=4), False),
    ],
)
def test_a_job_has_work_as_long_as_items_of_it_wait_or_may_come(
    state: State, exhausted: bool, counts: Counts, has_work: bool
) -> None:
    assert JobStatus(job_id=JOB, api="cats", state=state, exhausted=exhausted, counts=counts).has_work is has_work
