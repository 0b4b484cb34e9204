"""What a worker tells: once a transaction, and the sums are those of its items."""

from collections import Counter
from dataclasses import replace

import pytest

from stream_infer.errors import Fenced, Stage, TransactionAborted
from stream_infer.headers import item_headers
from stream_infer.jobs.status import Cause, JobStatus, State
from stream_infer.records import JSON, Failure, Output
from stream_infer.telemetry.catalogue import items
from stream_infer.telemetry.exposure import Exposure
from stream_infer.worker.circuit import State as CircuitState
from stream_infer.worker.metrics import CircuitNumbers, HeldItems, WorkerMetrics
from stream_infer.worker.observer import Ends, ends_of
from stream_infer.worker.retry import Retried
from tests.support.metrics import shown_by, value
from tests.support.worker_bench import PACE, TOPICS, WorkerBench

BAD = Failure(Stage.PREDICT, "ValueError", "bad", final=True)
OWN = Failure(Stage.DECODE, "model.MyOwnError", "bad", final=True)
AWAY = Failure(Stage.PREDICT, "stream_infer.errors.RetryableError", "away", retryable=True)


class FakeObserver:
    """Keeps what it is told."""

    def __init__(self):
        self.ends: list[Ends] = []
        self.told: list[str] = []
        self.first: list[float] = []

    def committed(self, ends, seconds, prefixes):
        assert seconds >= 0
        self.ends.append(ends)

    def aborted(self):
        self.told.append("aborted")

    def fenced(self):
        self.told.append("fenced")

    def first_result(self, seconds):
        self.first.append(seconds)


@pytest.fixture
def observer():
    return FakeObserver()


def judging(value: bytes):
    return {b"bad": BAD, b"own": OWN, b"away": AWAY}.get(value, Output(value))


def test_a_transaction_is_told_once_with_how_its_items_ended(observer):
    bench = WorkerBench(judging, observer=observer)
    bench.feed(b"1", b"bad", b"2", b"own", b"away", b"bad")
    bench.run()

    [ends] = observer.ends
    assert (ends.succeeded, ends.skipped) == (2, 0)
    assert ends.rejected == Counter({(Stage.PREDICT, "ValueError"): 2, (Stage.DECODE, "model.MyOwnError"): 1})
    assert ends.retried == Counter({1: 1})


def test_items_that_are_alike_are_counted_without_being_looked_at(observer):
    bench = WorkerBench(Output, observer=observer)
    bench.feed(*[b"%d" % number for number in range(100)])
    bench.run()

    assert sum(ends.succeeded for ends in observer.ends) == 100
    assert len(observer.ends) < 5


def test_skipped_items_and_those_without_an_output_are_counted(observer):
    bench = WorkerBench(lambda value: Output(None), observer=observer)
    bench.views.status["gone"] = JobStatus(job_id="gone", api="a", state=State.STOPPING, cause=Cause.STOP)
    bench.feed(b"1")
    bench.feed(b"2", headers=item_headers(content_type=JSON, job_id="gone", item_id="gone-0", generation=1))
    bench.run()

    assert sum(ends.succeeded for ends in observer.ends) == 1
    assert sum(ends.skipped for ends in observer.ends) == 1


def test_what_a_transaction_that_failed_had_in_it_is_counted_by_the_one_that_does_not(observer):
    bench = WorkerBench(Output, observer=observer, pace=replace(PACE, retry_delay=0.0))
    bench.producer.failure = TransactionAborted("by the test")
    bench.feed(b"1", b"2")
    bench.run(3)
    bench.producer.failure = None
    bench.run(6)

    assert set(observer.told) == {"aborted"}
    assert sum(ends.succeeded for ends in observer.ends) == 2


def test_a_fencing_is_told(observer):
    bench = WorkerBench(Output, observer=observer)
    bench.producer.holds = True
    bench.feed(b"1")
    bench.run(3)
    bench.producer.end(Fenced("by the test"))
    bench.loop._commits.take_end(0.0)

    assert observer.told == ["fenced"]
    assert observer.ends == []


def test_ends_are_added_up():
    others = [Output(None), BAD, BAD, OWN, Retried(2, 3, 0.0)]

    assert ends_of(10, others) == Ends(
        11, 0, Counter({(Stage.PREDICT, "ValueError"): 2, (Stage.DECODE, "model.MyOwnError"): 1}), Counter({2: 1})
    )


def test_the_numbers_are_shown_by_api_outcome_stage_and_a_known_exception():
    metrics, exposure = WorkerMetrics("a"), Exposure()
    exposure.show(metrics.readings)
    metrics.committed(ends_of(10, [BAD, OWN, OWN, Retried(1, 2, 0.0)]), 0.2, ())
    metrics.committed(ends_of(5, []), 0.02, ())
    metrics.aborted()
    metrics.first_result(2.5)

    samples = shown_by(exposure)

    assert value(samples, items.ITEMS_ENDED, api="a", outcome="succeeded") == 15
    assert value(samples, items.ITEMS_ENDED, api="a", outcome="rejected") == 3
    assert value(samples, items.ITEMS_ENDED, api="a", outcome="skipped") == 0
    assert value(samples, items.ITEMS_REJECTED, api="a", stage="predict", exception="ValueError") == 1
    assert value(samples, items.ITEMS_REJECTED, api="a", stage="decode", exception="other") == 2
    assert value(samples, items.ITEMS_RETRIED, api="a", tier="1") == 1
    assert value(samples, items.TRANSACTIONS, api="a", outcome="committed") == 2
    assert value(samples, items.TRANSACTIONS, api="a", outcome="aborted") == 1
    assert value(samples, "stream_infer_transaction_seconds_count", api="a") == 2
    assert value(samples, items.FIRST_RESULT_SECONDS, api="a") == 2.5


def test_what_has_not_happened_yet_is_there_at_0():
    exposure = Exposure()
    exposure.show(WorkerMetrics("a", tiers=2).readings)
    samples = shown_by(exposure)

    assert [value(samples, items.ITEMS_RETRIED, api="a", tier=tier) for tier in "12"] == [0, 0]
    assert value(samples, items.ITEMS_ENDED, api="a", outcome="rejected") == 0


def test_what_is_held_and_since_when_is_read_when_somebody_asks():
    bench = WorkerBench(Output)
    exposure = Exposure()
    exposure.show(HeldItems("a", bench.ledger, PACE, TOPICS.items, lambda: bench.now))
    before = shown_by(exposure)
    bench.producer.holds = True
    bench.feed(b"first")
    bench.run(3)  # it is in a transaction under way, and so out of sight
    bench.feed(b"second", b"third")
    bench.run(3)
    bench.now += 30.0
    after = shown_by(exposure)

    assert value(before, items.OLDEST_ITEM_AGE, api="a") == 0
    assert value(before, items.ASSIGNED_PARTITIONS, api="a") == 1
    assert value(after, items.HELD_ITEMS, api="a") == 3
    assert value(after, items.HELD_ITEMS_LIMIT, api="a") == PACE.max_held
    assert value(after, items.OLDEST_ITEM_AGE, api="a") == 30


def test_the_breaker_shows_its_state_and_the_stages_what_they_took():
    bench = WorkerBench(judging)
    exposure = Exposure()
    bench.fetch.seconds, bench.fetch.items = 1.5, 3
    exposure.show(CircuitNumbers("a", bench.circuit, bench.breaker, bench.fetch, bench.shape))
    serving = shown_by(exposure)
    bench.circuit.state = CircuitState.HALTED
    halted = shown_by(exposure)

    assert value(serving, items.BREAKER_STATE, api="a", state="serving") == 1
    assert value(halted, items.BREAKER_STATE, api="a", state="serving") == 0
    assert value(halted, items.BREAKER_STATE, api="a", state="halted") == 1
    assert value(serving, items.ITEM_STAGE_SECONDS, api="a", stage="fetch") == 1.5
    assert value(serving, items.ITEM_STAGE_ITEMS, api="a", stage="fetch") == 3


def test_of_a_window_that_is_not_full_the_breaker_says_no_ratio():
    bench = WorkerBench(judging, window=4)
    bench.feed(b"bad", b"bad", b"1")
    bench.run()
    before = bench.breaker.failed_ratio
    bench.feed(b"2")
    bench.run()

    assert (before, bench.breaker.failed_ratio) == (0.0, 0.5)
