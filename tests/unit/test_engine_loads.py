"""A job whose instance cannot be made: how often it is tried, what its items are answered with, and who is spared."""

from dataclasses import replace

import pytest

from stream_infer.engine.court import Court
from stream_infer.engine.failures import describe
from stream_infer.engine.isolation import DEATHS_ALONE, Died, Exhausted
from stream_infer.engine.policy import EnginePolicy
from stream_infer.engine.task import Scope, Task
from stream_infer.engine.wire import ToParent, pack_failure
from stream_infer.errors import JobRefused, RetryableError, Stage
from stream_infer.records import Failure, Output, Payload

POLICY = EnginePolicy(load_attempts=3, load_delays_s=(5.0, 30.0), load_timeout_s=60.0)
ABORTED = Died("was killed by SIGABRT", "last words")
HUNG = Died("hung for 60 s, its deadline for loading,", "where it hung", timed_out=True)
KILLED = Died("was killed by SIGKILL", "", killed=True)
EXHAUSTED = Exhausted(Failure(Stage.PREDICT, "OutOfMemory", "the predictor's process was ended: memory is full"))


def refused(error=None):
    cause = error or TimeoutError("S3 is away")
    refusal = JobRefused("job j cannot be served: the constructor raised TimeoutError: S3 is away")
    refusal.__cause__ = cause
    return describe(refusal, Stage.PREDICT)


class Bench:
    """A court whose child is told what to say."""

    def __init__(self, policy=POLICY):
        self.court = Court(policy, None)
        self.tokens = iter(range(1000))

    def add(self, job="j", items=2, hook=False):
        if hook:
            tasks = [Task(next(self.tokens), Payload(b"{}"), hook=job)]
        else:
            tasks = [Task(next(self.tokens), Payload(b"1"), Scope(job, 0)) for _ in range(items)]
        self.court.admit(tasks)
        self.court.dispatch.add(tasks)

    def load(self, now):
        """The next call, at whose job's instance the child is now."""
        call = self.court.next_call(now)
        assert call is not None
        self.court.hear((ToParent.LOADS, call.id), "p", now)
        return call

    def raises(self, call, now, failure=None):
        self.court.hear((ToParent.RAISED, call.id, pack_failure(failure or refused()), {}), "p", now)

    def succeeds(self, call, now):
        self.court.hear((ToParent.BEGINS, call.id), "p", now)
        self.court.hear((ToParent.DONE, call.id, [b"1"] * len(call.tasks), "text/plain", {}, 0.1), "p", now)

    def take(self):
        answers, self.court.answers = self.court.answers, []
        return [answer.outcome for answer in answers]

    def only(self):
        """The one failure that all have been answered with."""
        [failure] = set(self.take())
        assert isinstance(failure, Failure)
        return failure


def fail(bench, call, ending, now):
    if isinstance(ending, Failure):
        bench.raises(call, now, ending)
    else:
        assert bench.court.lose(ending, None, now) == 1


@pytest.mark.parametrize("ending", [refused(), ABORTED], ids=["raises", "crashes"])
def test_an_instance_is_tried_again_after_each_delay_and_the_last_failure_is_the_jobs(ending):
    bench = Bench()
    waits = []
    for now in (0.0, 6.0, 40.0):
        bench.add()
        fail(bench, bench.load(now), ending, now + 1.0)
        failure = bench.only()
        assert failure.of_job
        waits.append((failure.retryable, failure.final, failure.retry_after))

    assert waits == [(True, False, 5.0), (True, False, 30.0), (False, True, None)]
    assert failure.message.endswith(" (3 times)")
    assert failure.message.startswith("job j cannot be served: ")
    assert bench.court.in_flight == 0


def test_the_reason_of_a_crash_is_how_the_process_ended_and_what_it_last_said():
    bench = Bench(EnginePolicy())
    bench.add()
    bench.load(0.0)
    bench.court.lose(ABORTED, None, 1.0)

    failure = bench.only()
    assert failure.message == (
        "job j cannot be served: the predictor's process was killed by SIGABRT while it made its instance"
    )
    assert (failure.exception.rpartition(".")[2], failure.stacktrace) == ("PredictorCrashed", "last words")


def test_an_instance_that_is_not_made_in_time_fails_its_job_at_once():
    bench = Bench()
    bench.add()
    call = bench.load(0.0)
    assert bench.court.dispatch.overrun(60.0) is call

    bench.court.lose(HUNG, call, 60.0)

    failure = bench.only()
    assert (failure.of_job, failure.final) == (True, True)
    assert failure.message == (
        "job j cannot be served: the predictor's process hung for 60 s, its deadline for loading, while it made its "
        "instance"
    )
    assert failure.exception.endswith(".PredictorTimedOut")


def test_between_two_attempts_and_after_the_last_one_no_call_of_the_job_is_made_and_others_are():
    bench = Bench(EnginePolicy(load_attempts=2, load_delays_s=(5.0,)))
    bench.add()
    bench.raises(bench.load(0.0), 0.0)
    bench.take()

    bench.add()
    bench.add(job="other")
    other = bench.load(2.0)
    assert other.job_id == "other"
    assert bench.only().retry_after == 3.0
    bench.succeeds(other, 2.0)
    assert bench.take() == [Output(b"1", "text/plain")] * 2

    bench.add()
    bench.raises(bench.load(5.0), 5.0)
    assert bench.only().final
    bench.add()
    assert bench.court.next_call(1e6) is None
    assert bench.only().final


def test_what_had_begun_beside_a_failed_attempt_is_not_another_one():
    bench = Bench(replace(POLICY, pipeline_depth=3))
    for _ in range(3):
        bench.add(items=1)
    handed = [bench.court.next_call(0.0) for _ in range(3)]
    for at, call in enumerate(handed):
        bench.court.hear((ToParent.LOADS, call.id), "p", float(at))
        bench.raises(call, at + 0.5)

    assert [failure.retry_after for failure in bench.take()] == [5.0, 4.0, 3.0]


def test_an_attempt_that_succeeds_forgets_those_before():
    bench = Bench()
    bench.add()
    bench.raises(bench.load(0.0), 0.0)
    bench.take()
    bench.add()
    bench.succeeds(bench.load(10.0), 10.0)
    assert bench.take() == [Output(b"1", "text/plain")] * 2

    bench.add()
    bench.raises(bench.load(20.0), 20.0)
    assert bench.only().retry_after == 5.0


def test_a_job_that_is_run_again_after_its_end_has_all_its_attempts():
    bench = Bench(EnginePolicy())
    bench.add()
    bench.raises(bench.load(0.0), 0.0)
    assert bench.only().final

    bench.court.loads.forget("j")
    bench.add()
    bench.succeeds(bench.load(1.0), 1.0)
    assert bench.take() == [Output(b"1", "text/plain")] * 2


def test_what_was_away_is_nobodys_attempt_also_where_it_was_the_last_one():
    bench = Bench(EnginePolicy(load_attempts=2, load_delays_s=(5.0,)))
    for now in (0.0, 5.0):
        bench.add()
        bench.raises(bench.load(now), now)
    assert bench.take()[-1].final

    bench.court.loads.forget_all()

    bench.add()
    bench.raises(bench.load(5.1), 5.1)
    assert bench.only().retryable
    bench.court.loads.forget_all()
    bench.add()
    bench.succeeds(bench.load(5.2), 5.2)
    assert bench.take() == [Output(b"1", "text/plain")] * 2


def test_memory_that_runs_out_is_tried_again_at_once_and_alone_and_then_is_the_jobs():
    bench = Bench()
    bench.add(items=4)
    for death in range(1, DEATHS_ALONE):
        call = bench.load(float(death))
        bench.court.lose(KILLED if death == 1 else EXHAUSTED, None, float(death))
        assert bench.take() == []
        assert len(call.tasks) == 4
    call = bench.load(9.0)
    assert call.alone

    bench.court.lose(EXHAUSTED, None, 9.0)

    failure = bench.only()
    assert (failure.of_job, failure.final) == (True, True)
    assert failure.message.endswith("was ended: memory is full while it made its instance, 3 times")
    assert bench.court.cap.current(9.0) == EnginePolicy().max_batch_size


def test_kills_by_somebody_else_are_waited_out_like_crashes_once_they_do_not_stop():
    bench = Bench()
    waits = []
    for now in (0.0, 1.0, 2.0, 8.0, 40.0):
        bench.add()
        bench.load(now)
        bench.court.lose(KILLED, None, now)
        answers = bench.take()
        waits.append((answers[0].final, answers[0].retry_after) if answers else None)

    assert waits == [None, None, (False, 5.0), (False, 30.0), (True, None)]
    assert answers[0].message == (
        "job j cannot be served: the predictor's process was killed by SIGKILL while it made its instance (3 times)"
    )
    bench.court.loads.forget("j")
    bench.court.dispatch.withdraw(None)
    bench.add()
    bench.load(50.0)
    bench.court.lose(KILLED, None, 50.0)
    assert bench.take() == []


@pytest.mark.parametrize("ending", [refused(), ABORTED, HUNG], ids=["raises", "crashes", "hangs"])
def test_a_verdict_that_nobody_waits_for_any_more_does_not_meet_the_jobs_next_items(ending):
    bench = Bench(EnginePolicy())
    bench.add()
    call = bench.load(0.0)
    bench.court.disown({task.token for task in call.tasks})

    fail(bench, call, ending, 60.0)

    assert (bench.take(), bench.court.in_flight) == ([], 0)
    bench.add()
    bench.succeeds(bench.load(61.0), 61.0)
    assert bench.take() == [Output(b"1", "text/plain")] * 2


def test_a_verdict_that_somebody_still_waits_for_is_the_jobs():
    bench = Bench(EnginePolicy())
    bench.add()
    call = bench.load(0.0)
    bench.court.disown({call.tasks[0].token})

    bench.court.lose(HUNG, call, 60.0)

    assert bench.only().final
    assert bench.court.in_flight == 0


def test_a_wish_of_what_the_instance_needs_is_granted():
    bench = Bench()
    bench.add()
    bench.raises(bench.load(0.0), 0.0, refused(RetryableError("429", retry_after=90)))

    assert bench.only().retry_after == 90.0


def test_items_without_a_job_have_attempts_of_their_own_and_the_instance_is_tried_again_and_again():
    bench = Bench(EnginePolicy(load_attempts=1, load_delays_s=(5.0,)))
    for now in (0.0, 5.0, 10.0):
        bench.add(job=None)
        bench.raises(bench.load(now), now)
        failure = bench.only()
        assert (failure.of_job, failure.final, failure.retryable, failure.retry_after) == (False, False, False, None)
        bench.add(job=None)
        assert bench.court.next_call(now + 4.0) is None
        assert bench.only() == replace(failure, of_job=True, retryable=True, retry_after=1.0), "no attempt of theirs"


def test_items_without_a_job_wait_for_a_service_that_is_away_as_for_any():
    bench = Bench()
    bench.add(job=None)
    bench.raises(bench.load(0.0), 0.0, refused(RetryableError("503", retry_after=90)))
    bench.take()

    bench.add(job=None)
    assert bench.court.next_call(30.0) is None
    failure = bench.only()
    assert (failure.of_job, failure.final, failure.retryable, failure.retry_after) == (True, False, True, 60.0)


def test_a_hook_that_finds_no_instance_fails_alone_and_may_be_called_again_at_once():
    bench = Bench(EnginePolicy())
    for now in (0.0, 0.1):
        bench.add(hook=True)
        bench.load(now)
        bench.court.lose(ABORTED, None, now)
        failure = bench.only()
        assert "while it made its instance" in failure.message
        assert (failure.of_job, failure.final) == (True, False)
    bench.add()
    bench.succeeds(bench.load(0.2), 0.2)


def test_a_hook_whose_instance_is_not_made_in_time_is_not_to_be_called_again():
    bench = Bench()
    bench.add(hook=True)
    call = bench.load(0.0)

    bench.court.lose(HUNG, call, 60.0)

    failure = bench.only()
    assert (failure.of_job, failure.final) == (True, True)


def test_a_call_whose_child_is_replaced_while_it_loads_blames_nobody():
    bench = Bench(EnginePolicy())
    bench.add()
    bench.load(0.0)

    bench.court.recall()

    call = bench.court.next_call(1.0)
    assert call is not None and call.loading_since is None
    bench.court.lose(ABORTED, None, 1.0)  # before it had begun
    assert bench.take() == []


def test_a_refused_call_leaves_the_clock_of_the_one_in_the_child_alone():
    bench = Bench(EnginePolicy(load_timeout_s=300.0, call_timeout_s=10.0))
    bench.add()
    bench.raises(bench.load(0.0), 0.0)
    bench.add(job="other")
    other = bench.court.next_call(1.0)
    bench.court.hear((ToParent.BEGINS, other.id), "p", 1.0)

    bench.add()
    assert bench.court.next_call(5.0) is None

    assert bench.court.dispatch.next_deadline() == 11.0
