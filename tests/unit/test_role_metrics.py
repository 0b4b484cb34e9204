"""What sink, intake and tracker tell and show of themselves."""

from types import SimpleNamespace

import pytest

from stream_infer.intake.metrics import IntakeMetrics, source_readings
from stream_infer.jobs.checkpoints import Checkpoint
from stream_infer.jobs.counts import Counts
from stream_infer.jobs.manifest import Kind
from stream_infer.jobs.status import FINAL_STATES, Cause, HinderedRole, JobStatus, Phase, State
from stream_infer.settings import SinkSettings
from stream_infer.sink.backlog import Step
from stream_infer.sink.flush import Outlet, Stored, plan_flush
from stream_infer.sink.metrics import SinkMetrics, held_readings, step_readings
from stream_infer.sink.names import Destination
from stream_infer.sink.packed_lines import Line
from stream_infer.sink.share import Held, Shares
from stream_infer.sink.upload import Upload
from stream_infer.telemetry.catalogue import jobs, store
from stream_infer.telemetry.exposure import Exposure
from stream_infer.tracker.metrics import TrackerMetrics, row_readings
from tests.support.hand_worked_pool import HandWorkedPool
from tests.support.memory_store import MemoryStore
from tests.support.metrics import names, shown_by, value


@pytest.fixture
def exposure():
    return Exposure()


def held(*sizes, budget=1000):
    """A sink with a line of so many bytes in each of its partitions, the first of them read at 10 s, the next at 11."""
    shares = Shares()
    shares.assigned([("r", number) for number in range(len(sizes))])
    for at, (share, size) in enumerate(zip(shares.owned.values(), sizes, strict=True)):
        share.buffer.committed(0)
        if size:
            share.buffer.add(Destination("j"), Line(0, 0, b"x" * size), now=10.0 + at)
    return Held(shares, budget)


def flushed(share, began=0.0):
    since = share.buffer.since
    plan = plan_flush(Outlet("cats", Kind.RESULTS), share.partition, share.buffer.close(), "a" * 12, 1000)
    share.upload = Upload(plan, MemoryStore(), HandWorkedPool(), began=began, since=since)
    share.upload.stored = {planned.key: Stored(40, "") for planned in plan.objects}
    return share.upload


def test_a_sink_shows_what_it_holds_and_for_how_long(exposure):
    holding = held(100, 50, 0)
    exposure.show(lambda: held_readings(holding, lambda: 25.0))
    before = shown_by(exposure)
    flushed(holding.all()[0])
    during = shown_by(exposure)

    assert value(before, store.SINK_OLDEST_AGE) == value(during, store.SINK_OLDEST_AGE) == 15.0
    assert value(before, store.SINK_HELD_BYTES) == value(during, store.SINK_HELD_BYTES) > 150
    assert (value(before, store.SINK_UPLOADS), value(during, store.SINK_UPLOADS)) == (0, 1)
    assert value(before, store.SINK_PARTITIONS) == 3
    assert value(before, store.SINK_HELD_BYTES_LIMIT) == 1000


def test_a_sink_that_holds_nothing_has_nothing_that_is_old(exposure):
    exposure.show(lambda: held_readings(held(0, 0), lambda: 25.0))

    assert value(shown_by(exposure), store.SINK_OLDEST_AGE) == 0


def test_a_commit_is_counted_by_api_and_kind_and_a_flush_without_objects_is_none(exposure):
    metrics = SinkMetrics(lambda: ["cats"])
    exposure.show(metrics.readings)
    with_objects = held(100).all()[0]
    empty = held(100).all()[0]
    nothing = flushed(empty)
    nothing.plan = plan_flush(nothing.plan.outlet, empty.partition, empty.buffer.close(), "a" * 12, 1000)
    metrics.committed([flushed(with_objects, began=10.0), nothing], 10.5)
    metrics.aborted()
    metrics.store_kept_waiting()
    metrics.step_done(Step.ASSEMBLE)

    samples = shown_by(exposure)

    assert value(samples, store.SINK_FLUSHES, outcome="committed") == 1
    assert value(samples, store.SINK_FLUSHES, outcome="aborted") == 1
    assert value(samples, store.SINK_FLUSHES, outcome="begun_anew") == 0
    assert value(samples, store.SINK_OBJECTS, api="cats", kind="results") == 1
    assert value(samples, store.SINK_RECORDS, api="cats", kind="results") == 1
    assert value(samples, store.SINK_BYTES, api="cats", kind="results") == 40
    assert value(samples, "stream_infer_sink_flush_seconds_sum") == 0.5
    assert value(samples, store.SINK_STORE_FAILURES) == 1
    assert value(samples, store.FINALIZER_DONE, step="assemble") == 1


def test_what_a_sink_has_not_done_yet_is_there_at_0(exposure):
    exposure.show(SinkMetrics(lambda: ["cats"]).readings)
    samples = shown_by(exposure)

    for metric in (store.SINK_OBJECTS, store.SINK_RECORDS, store.SINK_BYTES):
        assert [value(samples, metric, api="cats", kind=kind) for kind in ("results", "errors")] == [0, 0]


def test_steps_are_shown_by_whether_they_wait(exposure):
    attempts = [
        SimpleNamespace(task=SimpleNamespace(step=Step.ASSEMBLE), waits=None),
        SimpleNamespace(task=SimpleNamespace(step=Step.ASSEMBLE), waits="for a store"),
    ]
    exposure.show(lambda: step_readings(attempts))
    samples = shown_by(exposure)

    assert value(samples, store.FINALIZER_STEPS, step="assemble", state="working") == 1
    assert value(samples, store.FINALIZER_STEPS, step="assemble", state="waiting") == 1
    assert value(samples, store.FINALIZER_STEPS, step="hook", state="working") == 0


def test_the_oldest_of_a_buffer_is_its_first_record_and_is_forgotten_when_it_is_closed():
    [share] = held(10).all()
    share.buffer.add(Destination("j"), Line(1, 1, b"x"), now=20.0)
    before = share.since
    share.buffer.close()

    assert (before, share.since) == (10.0, None)
    assert share.buffer.due_in(SinkSettings(), 30.0) is None


def test_an_intake_shows_how_far_its_jobs_are_and_which_are_put_off(exposure):
    def run(enqueued, failures=0):
        return SimpleNamespace(
            job=SimpleNamespace(api="cats"), checkpoint=Checkpoint(job_id="j", enqueued=enqueued), failures=failures
        )

    partitions = [SimpleNamespace(all_runs=lambda: [run(100), run(20, 1)]), SimpleNamespace(all_runs=list)]
    metrics = IntakeMetrics(lambda: ["cats", "dogs"])
    metrics.published("cats", 100)
    metrics.published("cats", 20)
    exposure.show(metrics.readings)
    exposure.show(lambda: source_readings(partitions, ["cats", "dogs"]))
    samples = shown_by(exposure)

    assert value(samples, jobs.INTAKE_ITEMS, api="cats") == 120
    assert value(samples, jobs.INTAKE_ITEMS, api="dogs") == 0
    assert value(samples, jobs.INTAKE_JOBS, api="cats", state="publishing") == 1
    assert value(samples, jobs.INTAKE_JOBS, api="cats", state="put_off") == 1
    assert value(samples, jobs.INTAKE_POSITION, api="cats") == 120
    assert value(samples, jobs.INTAKE_PARTITIONS) == 2


def row(job_id="a", **fields):
    return JobStatus(job_id=job_id, api="cats", submitted_at=100.0, **fields)


def test_a_tracker_shows_its_jobs_by_state_and_the_one_that_is_nearest_to_its_deadline(exposure):
    rows = [
        row("a", state=State.RUNNING, deadline=200.0, counts=Counts(enqueued=10, succeeded=4)),
        row("b", state=State.RUNNING, deadline=1100.0, hindrances={HinderedRole.SINK: "the store is away"}),
        row("c", state=State.SUCCEEDED, deadline=150.0),
        row("d", state=State.ENQUEUING),
    ]
    exposure.show(lambda: row_readings(rows, ["cats", "dogs"], lambda: 175.0))
    samples = shown_by(exposure)

    assert value(samples, jobs.JOBS, api="cats", state="running") == 2
    assert value(samples, jobs.JOBS, api="cats", state="succeeded") == 1
    assert value(samples, jobs.JOBS, api="dogs", state="running") == 0
    assert value(samples, jobs.JOBS_HINDERED, api="cats", by="sink") == 1
    assert value(samples, jobs.JOBS_HINDERED, api="cats", by="worker") == 0
    assert value(samples, jobs.JOB_ITEMS_WAITING, api="cats") == 6
    assert value(samples, jobs.JOB_DEADLINE_SECONDS, api="cats") == 25.0
    assert value(samples, jobs.JOB_TIME_USED_RATIO, api="cats") == 0.75


def test_workers_that_jobs_ask_for_are_counted_while_they_have_work_for_them(exposure):
    rows = [
        row("a", state=State.RUNNING, workers=4, counts=Counts(enqueued=100)),
        row("b", state=State.RUNNING, workers=3, exhausted=True, counts=Counts(enqueued=9, succeeded=7)),
        row("c", state=State.RUNNING, counts=Counts(enqueued=100)),
        row("d", state=State.SUCCEEDED, workers=8),
    ]
    exposure.show(lambda: row_readings(rows, ["cats", "dogs"], lambda: 175.0))
    samples = shown_by(exposure)

    assert value(samples, jobs.JOB_WORKERS_WANTED, api="cats") == 4 + 2
    assert value(samples, jobs.JOB_WORKERS_WANTED, api="dogs") == 0


def test_without_a_timeout_there_is_no_deadline_to_be_near(exposure):
    exposure.show(lambda: row_readings([row(state=State.RUNNING)], ["cats"], lambda: 175.0))

    assert jobs.JOB_DEADLINE_SECONDS.name not in names(shown_by(exposure))


@pytest.mark.parametrize(
    "fields",
    [
        {"state": State.STOPPING, "cause": Cause.STOP},
        {"state": State.FINALIZING, "phase": Phase.ASSEMBLE},
    ],
    ids=lambda fields: fields["state"],
)
def test_a_job_that_no_timeout_can_end_any_more_has_no_time_left(exposure, fields):
    rows = [row("a", deadline=200.0, **fields), row("b", state=State.RUNNING, deadline=1100.0)]
    exposure.show(lambda: row_readings(rows, ["cats"], lambda: 600.0))
    samples = shown_by(exposure)

    assert value(samples, jobs.JOB_DEADLINE_SECONDS, api="cats") == 500.0
    assert value(samples, jobs.JOB_TIME_USED_RATIO, api="cats") == 0.5


@pytest.mark.parametrize("fields", [{"state": State.ENQUEUING}, {"state": State.FINALIZING, "phase": Phase.HOOK}])
def test_a_job_that_waits_for_its_source_or_its_hook_is_as_near_to_its_deadline(exposure, fields):
    exposure.show(lambda: row_readings([row(deadline=200.0, **fields)], ["cats"], lambda: 175.0))

    assert value(shown_by(exposure), jobs.JOB_TIME_USED_RATIO, api="cats") == 0.75


def test_the_time_of_a_generation_that_a_replay_opened_began_with_the_replay(exposure):
    reopened = row(state=State.RUNNING, generation=2, deadline=1200.0, times={"enqueuing": 1000.0})
    exposure.show(lambda: row_readings([reopened], ["cats"], lambda: 1100.0))

    assert value(shown_by(exposure), jobs.JOB_TIME_USED_RATIO, api="cats") == 0.5


def test_a_first_job_is_one_more_than_before_it(exposure):
    exposure.show(TrackerMetrics(["cats"]).readings)
    samples = shown_by(exposure)

    assert value(samples, "stream_infer_job_first_result_seconds_count", api="cats") == 0
    for state in FINAL_STATES:
        assert value(samples, "stream_infer_job_seconds_count", api="cats", state=state.value) == 0


def test_first_results_and_whole_jobs_are_counted_with_what_they_took(exposure):
    metrics = TrackerMetrics(["cats"])
    exposure.show(metrics.readings)
    metrics.entered(row(state=State.ENQUEUING, times={"enqueuing": 100.5}))
    metrics.entered(row(state=State.RUNNING, times={"running": 103.0}))
    metrics.entered(row(state=State.RUNNING, generation=2, times={"running": 900.0}))
    metrics.entered(row(state=State.SUCCEEDED, times={"succeeded": 110.0}))
    metrics.folded(7)
    metrics.folded(3)
    samples = shown_by(exposure)

    assert value(samples, "stream_infer_job_first_result_seconds_count", api="cats") == 1
    assert value(samples, "stream_infer_job_first_result_seconds_sum", api="cats") == 3.0
    assert value(samples, "stream_infer_job_seconds_sum", api="cats", state="succeeded") == 10.0
    assert value(samples, jobs.EVENTS_FOLDED) == 10


def test_an_api_that_is_deployed_later_is_at_0_before_its_first_job(exposure):
    apis = []
    tracker = TrackerMetrics(apis)
    for metrics in (SinkMetrics(lambda: apis), IntakeMetrics(lambda: apis), tracker):
        exposure.show(metrics.readings)
    assert jobs.INTAKE_ITEMS.name not in names(shown_by(exposure))
    apis.append("cats")
    tracker.entered(row(state=State.ENQUEUING))
    samples = shown_by(exposure)

    assert value(samples, store.SINK_RECORDS, api="cats", kind="results") == 0
    assert value(samples, jobs.INTAKE_ITEMS, api="cats") == 0
    assert value(samples, "stream_infer_job_first_result_seconds_count", api="cats") == 0
    for state in FINAL_STATES:
        assert value(samples, "stream_infer_job_seconds_count", api="cats", state=state.value) == 0


def test_of_an_api_that_has_jobs_every_state_is_shown(exposure):
    exposure.show(lambda: row_readings([row(state=State.RUNNING)], [], lambda: 175.0))
    samples = shown_by(exposure)

    assert value(samples, jobs.JOBS, api="cats", state="running") == 1
    assert value(samples, jobs.JOBS, api="cats", state="succeeded") == 0
