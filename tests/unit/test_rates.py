"""How fast an API's items end. Times are in seconds."""

import pytest

from stream_infer.intake.rates import ApiRate
from stream_infer.jobs.counts import Counts
from stream_infer.jobs.status import JobStatus, State


def job(
    name: str = "j", *, ended: int = 0, waiting: int = 100, rate: float = 1000.0, exhausted: bool = False
) -> JobStatus:
    counts = Counts(enqueued=ended + waiting, succeeded=ended)
    return JobStatus(job_id=name, api="a", state=State.RUNNING, counts=counts, rate=rate, exhausted=exhausted)


def test_until_something_was_seen_to_end_for_a_second_the_jobs_own_word_counts() -> None:
    rate = ApiRate()

    assert rate.note([job(rate=70.0)], 0.0) == 70.0
    assert rate.note([job(rate=70.0, ended=10)], 0.5) == 70.0
    assert rate.note([], 1.0) == 0.0


def test_jobs_that_take_turns_in_one_line_have_the_rate_of_the_line() -> None:
    """Each has 100 a second, in every other second; while it has none its row shows the last one."""
    rate, ended = ApiRate(), {"a": 0, "b": 0}
    for tenth in range(101):
        now = tenth / 10
        ended["a" if int(now) % 2 else "b"] += 10
        found = rate.note([job(name, ended=count, rate=100.0) for name, count in ended.items()], now)

    assert found == pytest.approx(100.0, rel=0.02)


def test_a_job_that_calls_for_long_says_better_how_fast_it_is() -> None:
    """32 items every 20 s: in the second after they ended 32 a second were seen."""
    rate = ApiRate()
    for second in range(21):
        rate.note([job(rate=1.6, ended=0)], float(second))

    assert rate.note([job(rate=1.6, ended=32)], 21.0) == 1.6
    assert rate.note([job(rate=1.6, ended=32)], 22.0) == 1.6


def test_the_time_in_which_a_model_loads_does_not_count() -> None:
    rate = ApiRate()
    for second in range(9):
        rate.note([job()], float(second))
    rate.note([job(ended=50)], 9.0)

    assert rate.note([job(ended=100)], 10.0) == 50.0


def test_a_rest_does_not_count_either() -> None:
    rate = ApiRate()
    for second in range(5):
        rate.note([job(ended=100 * second)], float(second))
    rate.note([job(ended=400, waiting=0)], 5.0)
    rate.note([job(ended=400)], 8.0)
    rate.note([job(ended=500)], 9.0)

    assert rate.note([job(ended=600)], 10.0) == 100.0


def test_a_job_that_has_ended_but_for_the_sink_has_no_part_in_it() -> None:
    assert ApiRate().note([job("done", waiting=0, exhausted=True), job("slow", rate=5.0)], 0.0) == 5.0
