"""A broken model is told from a job of bad items."""

from stream_infer.errors import Stage
from stream_infer.records import Failure
from stream_infer.worker.breaker import Breaker, BreakerPolicy

BAD = Failure(Stage.PREDICT, "builtins.ValueError", "bad item")
BUSY = Failure(Stage.PREDICT, "x.Busy", "busy", retryable=True)


def breaker(*attempts, ratio=0.5, window=10):
    """`attempts`: job, failure and how many of them."""
    made = Breaker(BreakerPolicy(ratio, window))
    for job_id, failure, number in attempts:
        for _ in range(number):
            made.note(job_id, failure)
    return made


def blamed(made, ratio=0.5):
    return [(blame.job_id, blame.failed, blame.seen) for blame in made.blame(lambda _: ratio)]


def test_it_trips_when_more_than_the_ratio_of_a_full_window_failed():
    assert not breaker(("j", BAD, 9)).is_tripped
    assert not breaker(("j", None, 5), ("j", BAD, 5)).is_tripped
    assert breaker(("j", None, 4), ("j", BAD, 6)).is_tripped


def test_old_attempts_leave_the_window():
    assert not breaker(("j", BAD, 10), ("j", None, 5)).is_tripped
    assert breaker(("j", BAD, 10), ("j", None, 4)).is_tripped


def test_ratio_one_never_trips():
    assert not breaker(("j", BAD, 10), ratio=1.0).is_tripped


def test_the_job_of_bad_items_is_to_blame_and_the_others_are_not():
    assert blamed(breaker(("good", None, 4), ("bad", BAD, 6))) == [("bad", 6, 6)]


def test_no_more_jobs_are_blamed_than_it_takes():
    made = breaker(("worst", BAD, 6), ("unlucky", BAD, 2), ("unlucky", None, 1), ("good", None, 1))
    assert blamed(made) == [("worst", 6, 6)]


def test_a_job_within_its_own_bound_is_not_to_blame():
    assert blamed(breaker(("j", None, 4), ("j", BAD, 6)), ratio=0.7) == []


def test_jobless_items_blame_no_job():
    assert blamed(breaker((None, BAD, 8), ("good", None, 2))) == []


def test_a_service_that_is_away_blames_no_job():
    made = breaker(("j", BUSY, 10))
    assert made.is_tripped
    assert blamed(made) == []


def test_a_cleared_window_starts_anew():
    made = breaker(("j", BAD, 10))
    made.clear()
    made.note("j", BAD)
    assert not made.is_tripped
    assert made.last_failure == BAD
