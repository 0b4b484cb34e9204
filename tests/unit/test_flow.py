"""How much of a job an intake may publish."""

from stream_infer.intake.flow import FlowPolicy, allowance
from stream_infer.jobs.counts import Counts
from stream_infer.jobs.status import JobStatus, State

POLICY = FlowPolicy(ahead_s=10.0, floor=64)


def job(name: str = "j", *, enqueued: int = 0, ended: int = 0, rate: float = 0.0) -> JobStatus:
    counts = Counts(enqueued=enqueued, succeeded=ended)
    return JobStatus(job_id=name, api="a", state=State.RUNNING, counts=counts, rate=rate)


def test_a_job_of_unknown_rate_gets_two_micro_batches_for_each_worker() -> None:
    status = job()

    assert allowance(POLICY, status, 0, [status]) == 64


def test_what_is_published_and_has_not_ended_counts_against_it() -> None:
    status = job(enqueued=64, ended=14)

    assert allowance(POLICY, status, 64, [status]) == 14
    assert allowance(POLICY, status, 200, [status]) == 0


def test_seconds_of_work_ahead_are_allowed_at_the_apis_rate() -> None:
    status = job(enqueued=1000, ended=1000, rate=50.0)

    assert allowance(POLICY, status, 1000, [status]) == 500


def test_the_jobs_of_one_api_share_what_may_wait() -> None:
    small, large = job("small"), job("large", enqueued=5000, ended=4000, rate=100.0)

    assert allowance(POLICY, small, 0, [small, large]) == 500
    assert allowance(POLICY, large, 5000, [small, large]) == 0
