"""How many workers an API gets, as tables. Times are in seconds; 10 is now unless it says otherwise."""

from __future__ import annotations

import pytest

from stream_infer.jobs.counts import Counts
from stream_infer.jobs.demand import JobDemand, job_demand
from stream_infer.jobs.status import HinderedRole, JobStatus, State
from stream_infer.local.scaling import (
    Demand,
    Lag,
    Progress,
    Scale,
    ScalingPolicy,
    decide,
    describe,
)

POLICY = ScalingPolicy(least=0, most=4, idle_s=60.0, behind_s=2.5)
DRAINED = Lag(0, 0)
NOW = 10.0


def job(workers: int | None = None, waiting: int = 100, *, exhausted: bool = False, halted: bool = False) -> JobDemand:
    return JobDemand(workers, waiting, exhausted, halted)


@pytest.mark.parametrize(
    ("lag", "jobs", "expected", "why"),
    [
        (DRAINED, (), 0, "nothing to do"),
        (Lag(1, 1), (), 1, "an item that was produced without a job"),
        (Lag(0, 0, retries=1), (), 1, "an item that waits for its next attempt"),
        (DRAINED, (job(waiting=0),), 1, "a job whose items will come"),
        (DRAINED, (job(waiting=5, exhausted=True),), 0, "a row that is late: all of it has ended"),
        (Lag(5, 1), (job(waiting=5, exhausted=True),), 1, "a job without a wish"),
        (Lag(100, 4), (job(3),), 3, "a job's wish"),
        (Lag(200, 4), (job(1), job(2)), 3, "two jobs' wishes, together"),
        (Lag(200, 4), (job(3), job(3)), 4, "no more than there may be"),
        (Lag(2, 2), (job(4, waiting=2, exhausted=True),), 2, "no more than the job has items"),
        (Lag(2, 2), (job(4, waiting=2),), 4, "more of the job's items may come"),
        (Lag(300, 4), (job(1), job()), 1, "a wish, and one without"),
        (None, (), 0, "nobody knows, and nobody works"),
        (None, (job(2),), 2, "a wish while Kafka says nothing"),
    ],
)
def test_what_wakes_an_api_at_zero(lag: Lag | None, jobs: tuple[JobDemand, ...], expected: int, why: str) -> None:
    assert decide(POLICY, Scale(0, 0.0), Demand(lag, jobs), NOW).workers == expected, why


@pytest.mark.parametrize(
    ("least", "most", "jobs", "expected"), [(1, 4, (), 1), (2, 4, (job(1),), 2), (0, 2, (job(4),), 2)]
)
def test_there_are_never_less_than_the_least_nor_more_than_the_most(
    least: int, most: int, jobs: tuple[JobDemand, ...], expected: int
) -> None:
    policy = ScalingPolicy(least, most, idle_s=60.0, behind_s=2.5)

    assert decide(policy, Scale(least, 0.0), Demand(Lag(0, 0), jobs), NOW).workers == expected


@pytest.mark.parametrize(
    ("needed_at", "now", "expected"),
    [(0.0, 0.0, 2), (0.0, 59.9, 2), (0.0, 60.0, 0), (5.0, 60.0, 2), (5.0, 65.0, 0)],
)
def test_who_is_not_needed_goes_when_that_has_been_so_for_long(needed_at: float, now: float, expected: int) -> None:
    assert decide(POLICY, Scale(2, needed_at), Demand(DRAINED), now).workers == expected


def test_while_any_work_is_there_one_worker_stays_however_long_it_takes() -> None:
    scale = Scale(1, 0.0)
    for now in range(0, 10_000, 100):
        scale = decide(POLICY, scale, Demand(Lag(1, 1), rate=None, serving=1), float(now))

    assert scale.workers == 1


def test_a_halted_api_keeps_a_worker_to_find_out_when_it_goes_on() -> None:
    halted = Demand(DRAINED, (job(waiting=3, exhausted=True, halted=True),))

    assert decide(POLICY, Scale(1, 0.0), halted, 1000.0).workers == 1
    assert decide(POLICY, Scale(0, 0.0), halted, 1000.0).workers == 1


def test_many_are_kept_while_nobody_says_how_much_waits() -> None:
    assert decide(POLICY, Scale(3, 0.0), Demand(None), 1000.0) == Scale(3, 1000.0)


def test_when_less_are_needed_for_long_there_are_as_many_as_are_needed_then() -> None:
    scale = decide(POLICY, Scale(4, 0.0), Demand(Lag(50, 4), (job(2),)), 60.0)

    assert scale == Scale(2, 60.0)
    assert decide(POLICY, scale, Demand(DRAINED), 119.0).workers == 2
    assert decide(POLICY, scale, Demand(DRAINED), 120.0).workers == 0


# 100 records a second each, 2.5 s behind: 250 records are one worker's.
@pytest.mark.parametrize(
    ("lag", "rate", "serving", "expected", "why"),
    [
        (Lag(250, 4), 100.0, 1, 1, "2.5 s of work for one"),
        (Lag(251, 4), 100.0, 1, 2, "more than that"),
        (Lag(10_000, 4), 100.0, 1, 4, "much more than that"),
        (Lag(10_000, 2), 100.0, 1, 2, "in two partitions, which only two can read"),
        (Lag(3, 3), 0.1, 1, 3, "no more than there are items"),
        (Lag(10_000, 4), None, 1, 1, "nothing has ended yet: it may be fast"),
        (Lag(10_000, 4), 100.0, 0, 1, "the one there is does not serve yet"),
    ],
)
def test_a_lag_that_lasts_starts_more(lag: Lag, rate: float | None, serving: int, expected: int, why: str) -> None:
    demand = Demand(lag, (), rate, serving)
    scale = decide(POLICY, Scale(1, 0.0), demand, 10.0)
    assert scale.workers == 1, "a burst starts nobody"
    scale = decide(POLICY, scale, demand, 12.9)
    assert scale.workers == 1

    assert decide(POLICY, scale, demand, 13.0).workers == expected, why


def test_a_lag_that_goes_for_a_moment_begins_to_last_anew() -> None:
    behind, well = Demand(Lag(1000, 4), (), 100.0, 1), Demand(Lag(10, 1), (), 100.0, 1)
    scale = Scale(1, 0.0)
    for demand, now in [(behind, 10.0), (behind, 12.0), (well, 12.5), (behind, 13.0), (behind, 15.9)]:
        scale = decide(POLICY, scale, demand, now)
        assert scale.workers == 1

    assert decide(POLICY, scale, behind, 16.0).workers == 4


def test_what_a_job_lays_claim_to_is_no_reason_for_more_than_it_wants() -> None:
    demand = Demand(Lag(10_000, 4), (job(1, waiting=10_000),), 100.0, 1)
    scale = Scale(1, 0.0)
    for now in range(10, 100):
        scale = decide(POLICY, scale, demand, float(now))

    assert scale.workers == 1


def test_a_drip_of_items_holds_no_more_workers_than_it_can_use() -> None:
    scale = Scale(4, 0.0)
    for now in range(0, 200, 20):
        scale = decide(POLICY, scale, Demand(Lag(1, 1), (), None, scale.workers), float(now))

    assert scale.workers == 1


def status(**fields: object) -> JobStatus:
    return JobStatus.model_validate({"job_id": "j", "api": "cats", "state": State.RUNNING, **fields})


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (status(counts=Counts(enqueued=9, succeeded=2), workers=3), JobDemand(3, 7, exhausted=False)),
        (status(counts=Counts(enqueued=9, succeeded=9)), JobDemand(None, 0, exhausted=False)),
        (status(counts=Counts(enqueued=9, succeeded=9), exhausted=True), None),
        (status(state=State.SUCCEEDED, counts=Counts(enqueued=9)), None),
        (status(hindrances={HinderedRole.INTAKE: "the store is away"}), None),
        (
            status(hindrances={HinderedRole.INTAKE: "away"}, counts=Counts(enqueued=1)),
            JobDemand(None, 1, exhausted=False),
        ),
        (
            status(hindrances={HinderedRole.WORKER: "no model"}, counts=Counts(enqueued=1)),
            JobDemand(None, 1, exhausted=False, is_halted=True),
        ),
    ],
)
def test_a_job_demands_workers_as_long_as_it_has_work_for_them(row: JobStatus, expected: JobDemand | None) -> None:
    assert job_demand(row) == expected


def test_a_rate_is_made_of_the_last_seconds_and_of_one_number_of_workers() -> None:
    progress = Progress()

    assert progress.rate(100, 1, 0.0) is None
    assert progress.rate(150, 1, 1.0) is None, "too short"
    assert progress.rate(200, 1, 2.0) == 50.0
    assert progress.rate(200, 1, 16.0) == pytest.approx(50 / 15), "of (1.0, 150) and (16.0, 200)"
    assert progress.rate(200, 1, 40.0) is None, "nothing has ended for long"
    assert progress.rate(300, 2, 41.0) is None, "another number of workers"


@pytest.mark.parametrize(
    ("demand", "words"),
    [
        (Demand(DRAINED), "nothing to do"),
        (Demand(Lag(1200, 3, retries=3)), "lag 1,203"),
        (Demand(Lag(5, 1), (job(2, waiting=5),)), "1 job under way that wants 2, lag 5"),
        (Demand(Lag(5, 1), (job(), job())), "2 jobs under way, lag 5"),
        (Demand(None), "Kafka does not say how many items wait"),
    ],
)
def test_a_change_says_why(demand: Demand, words: str) -> None:
    assert describe(demand) == words
