"""A worker of a predictor with an instance for each job: what its items share a call with, and how a job fails."""

from dataclasses import replace

import pytest

from stream_infer.engine.wire import read_job
from stream_infer.errors import Stage
from stream_infer.headers import Header, item_headers, item_id_of
from stream_infer.jobs.events import Counted, Failed, Hindered, HookEnded
from stream_infer.jobs.spec import Job
from stream_infer.jobs.status import JobStatus, Phase, State
from stream_infer.records import Control, Failure, Output
from stream_infer.worker.known_jobs import EndedJobs
from tests.support.worker_bench import TOPICS, WorkerBench

REFUSED = Failure(Stage.PREDICT, "KeyError", "job j cannot be served", "", final=True, of_job=True)
NOT_YET = replace(REFUSED, final=False, retryable=True, retry_after=7.0)


def job(job_id, **changes):
    return Job(job_id=job_id, api="a", submitted_at=1.0, **changes)


def running(job_id):
    return JobStatus(job_id=job_id, api="a", state=State.RUNNING)


@pytest.fixture
def bench():
    outcomes = {b"refused": REFUSED, b"not yet": NOT_YET}
    bench = WorkerBench(lambda data: outcomes.get(data) or Output(data), scoped=True)
    for job_id, size in (("j", 3), ("k", None), ("huge", 1000)):
        bench.views.jobs[job_id] = job(job_id, batch_size=size, config={"of": job_id}, workers=2, items=9)
        bench.views.status[job_id] = running(job_id)
    return bench


def feed(bench, job_id, *ordinals, value=b"1"):
    for ordinal in ordinals:
        bench.feed(value, headers=item_headers(job_id=job_id, item_id=item_id_of(job_id, ordinal)))


def test_an_item_is_in_the_part_of_its_job_that_its_ordinal_says(bench):
    feed(bench, "j", 0, 1, 2, 3)
    feed(bench, "k", 4, 5)
    feed(bench, "huge", 31, 32)
    bench.run()

    scopes = [(task.name, task.scope.job_id, task.scope.part, task.scope.most) for task in bench.engine.given]
    assert scopes == [
        ("j-0", "j", 0, 3),
        ("j-1", "j", 0, 3),
        ("j-2", "j", 0, 3),
        ("j-3", "j", 1, 3),
        ("k-4", "k", 2, 2),
        ("k-5", "k", 2, 2),
        ("huge-31", "huge", 0, 32),
        ("huge-32", "huge", 1, 32),
    ]
    described = read_job(bench.engine.given[0].scope.job)
    assert (described.id, described.api, described.config) == ("j", "a", {"of": "j"})
    assert (described.workers, described.batch_size, described.items) == (2, 3, 9)
    assert len(bench.values(TOPICS.results)) == 8


def test_many_items_that_are_alike_have_a_scope_each(bench):
    feed(bench, "j", *range(50))
    bench.run()

    assert {task.scope.part for task in bench.engine.given} == set(range(17))
    assert len(bench.values(TOPICS.results)) == 50


def test_items_without_a_job_share_one_scope(bench):
    bench.feed(b"1", b"2")
    feed(bench, "nobody's", 0)
    bench.run()

    assert {task.scope.job_id for task in bench.engine.given} == {None}
    assert {task.scope.part for task in bench.engine.given} == {None}


def test_an_unscoped_worker_gives_no_scope():
    bench = WorkerBench(Output)
    bench.feed(b"1")
    bench.run()

    assert bench.engine.given == []
    assert bench.engine.called == [b"1"]


def test_a_job_whose_instance_cannot_be_made_fails_once_and_its_rest_is_skipped(bench):
    feed(bench, "j", 0, 1, value=b"refused")
    bench.run()
    feed(bench, "j", 2, 3)
    bench.run()

    failed = [event for event in bench.events() if isinstance(event, Failed)]
    assert [(event.job_id, event.error) for event in failed] == [("j", "job j cannot be served")]
    deltas = [event.delta for event in bench.events() if isinstance(event, Counted)]
    assert (sum(delta.rejected for delta in deltas), sum(delta.skipped for delta in deltas)) == (2, 2)
    assert len(bench.values(TOPICS.dlq)) == 2
    assert bench.circuit.is_serving


def test_a_job_whose_instance_is_to_be_made_once_more_goes_on_and_its_items_wait_without_losing_an_attempt(bench):
    feed(bench, "j", *range(50), value=b"not yet")
    bench.run()

    waiting = [dict(record.headers) for record in bench.written(TOPICS.retry(1))]
    assert [headers[Header.ITEM_ID.value].decode() for headers in waiting] == [item_id_of("j", n) for n in range(50)]
    assert {headers[Header.ATTEMPT.value] for headers in waiting} == {b"1"}
    assert bench.values(TOPICS.dlq) == []
    assert not [event for event in bench.events() if isinstance(event, Failed)]
    [hindered] = [event for event in bench.events() if isinstance(event, Hindered)]
    assert (hindered.job_id, hindered.reason) == ("j", "job j cannot be served; it is tried again")
    assert bench.circuit.is_serving


def test_a_hook_says_which_job_it_is_of(bench):
    bench.views.status["j"] = running("j").model_copy(update={"phase": Phase.HOOK, "state": State.FINALIZING})
    bench.feed(b"", headers=item_headers(job_id="j", control=Control.ON_JOB_COMPLETE))
    bench.run()

    [task] = bench.engine.given
    assert task.hook == "j"
    assert read_job(task.payload.data).config == {"of": "j"}
    assert [event for event in bench.events() if isinstance(event, HookEnded)]


def test_the_predictor_may_forget_a_job_that_has_ended_if_it_had_items_of_it(bench):
    feed(bench, "j", 0)
    bench.run()
    for job_id in ("j", "k"):
        bench.jobs.ended.note(job_id, running(job_id))
        bench.jobs.ended.note(job_id, running(job_id).model_copy(update={"state": State.STOPPED}))
    bench.run()

    assert bench.engine.forgotten == ["j"]


def test_a_job_that_is_replayed_is_forgotten_again(bench):
    for ordinal in (0, 1):
        feed(bench, "j", ordinal)
        bench.run()
        bench.jobs.ended.note("j", running("j").model_copy(update={"state": State.SUCCEEDED}))
        bench.run()

    assert bench.engine.forgotten == ["j", "j"]


def test_a_job_is_forgotten_once():
    ended = EndedJobs()
    ended.served.add("j")
    ended.note("j", None)

    assert ended.take() == {"j"}
    ended.note("j", None)
    assert ended.take() == set()
