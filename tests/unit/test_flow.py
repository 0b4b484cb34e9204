"""How much of a job an intake may publish."""

from collections.abc import Sequence

import pytest

from stream_infer.intake.flow import FlowPolicy, allowance, flow_policy
from stream_infer.jobs.counts import Counts
from stream_infer.jobs.status import JobStatus, State
from stream_infer.predictor_settings import CortexPredictor, NativePredictor
from stream_infer.settings import ApiSettings, BatchingSettings, WorkerSettings

POLICY = FlowPolicy(ahead_s=10.0, floor=64)
SCOPED = FlowPolicy(ahead_s=10.0, floor=64, least=64, step=32)


def job(name: str = "j", *, enqueued: int = 0, ended: int = 0, rate: float = 0.0, exhausted: bool = False) -> JobStatus:
    counts = Counts(enqueued=enqueued, succeeded=ended)
    return JobStatus(job_id=name, api="a", state=State.RUNNING, counts=counts, rate=rate, exhausted=exhausted)


def allowed(policy: FlowPolicy, status: JobStatus, enqueued: int, active: Sequence[JobStatus]) -> int:
    """At the rate that the jobs say."""
    return allowance(policy, status, enqueued, active, sum(job.rate for job in active if job.has_work))


def test_a_job_of_unknown_rate_gets_two_micro_batches_for_each_worker() -> None:
    status = job()

    assert allowed(POLICY, status, 0, [status]) == 64


def test_what_is_published_and_has_not_ended_counts_against_it() -> None:
    status = job(enqueued=64, ended=14)

    assert allowed(POLICY, status, 64, [status]) == 14
    assert allowed(POLICY, status, 200, [status]) == 0


def test_one_job_alone_has_half_of_the_seconds_that_may_wait_and_leaves_half_for_whoever_comes() -> None:
    """10 s at 50 a second are 500: while 250 wait, 250 are free."""
    status = job(enqueued=1000, ended=1000, rate=50.0)

    assert allowed(POLICY, status, 1000, [status]) == 500
    assert allowed(POLICY, status, 1200, [status]) == 100
    assert allowed(POLICY, status, 1250, [status]) == 0


def test_a_small_job_finds_its_part_free_behind_a_large_one() -> None:
    small, large = job("small"), job("large", enqueued=5000, ended=4500, rate=100.0)

    assert allowed(POLICY, small, 0, [small, large]) == 500
    assert allowed(POLICY, large, 5000, [small, large]) == 0


@pytest.mark.parametrize("number", [1, 2, 9])
def test_so_many_large_jobs_come_to_equal_parts_and_leave_one(number: int) -> None:
    """Each turn publishes what is allowed, as an intake does."""
    published = dict.fromkeys(map(str, range(number)), 0)

    def row(name: str) -> JobStatus:
        return job(name, enqueued=published[name], rate=100.0 / number)

    for _ in range(100):
        for name in published:
            rows = [row(other) for other in published]
            published[name] += min(10, allowed(POLICY, row(name), published[name], rows))

    part = 1000 / (number + 1)
    assert all(part - 12 <= waiting <= part + 12 for waiting in published.values()), published


def test_jobs_whose_sources_give_nothing_take_nothing_from_the_others() -> None:
    large = job("large", enqueued=1000, ended=900, rate=100.0)
    stuck = [job(f"stuck-{n}") for n in range(50)]

    assert allowed(POLICY, large, 1000, [large, *stuck]) == allowed(POLICY, large, 1000, [large])


def test_however_many_jobs_there_are_the_least_of_all_together_stays_the_same_and_none_has_nothing() -> None:
    full = [job(f"{n}", enqueued=64) for n in range(15)]
    new = job("new")

    assert allowed(POLICY, new, 0, [*full, new]) == 4
    assert allowed(POLICY, new, 0, [*full * 10, new]) == 1


def test_where_calls_never_mix_jobs_each_job_can_fill_one_while_another_is_in_the_model() -> None:
    full = [job(f"{n}", enqueued=64) for n in range(15)]
    new = job("new")

    assert allowed(SCOPED, new, 0, [*full, new]) == 64
    assert allowed(SCOPED, new, 32, [*full, new]) == 32
    assert allowed(SCOPED, new, 40, [*full, new]) == 24, "up to where a micro-batch ends"
    assert allowed(SCOPED, job("new", enqueued=96, ended=40), 96, [*full, new]) == 0, "no part of one"


def test_the_policy_follows_from_the_apis_batching_and_workers() -> None:
    batching, workers = BatchingSettings(max_batch_size=8), WorkerSettings(max=3)
    native = ApiSettings(name="a", predictor=NativePredictor(target="m:M"), batching=batching, workers=workers)
    scoped = native.model_copy(update={"predictor": CortexPredictor.model_validate({"type": "cortex", "path": "m.py"})})

    assert flow_policy(native, 5.0, 2) == FlowPolicy(5.0, 48), "calls mix jobs: theirs is the API's size"
    assert flow_policy(scoped, 5.0) == FlowPolicy(5.0, 48, 16, 8)
    assert flow_policy(scoped, 5.0, 2) == FlowPolicy(5.0, 12, 4, 2)
    assert flow_policy(scoped, 5.0, 100) == FlowPolicy(5.0, 48, 16, 8)
