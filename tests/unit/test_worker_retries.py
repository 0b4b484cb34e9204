"""What a worker does with items that failed and with those that wait."""

import time
from dataclasses import replace
from typing import Any

import pytest

from stream_infer.engine.keeper import Readiness
from stream_infer.engine.keeper import State as EngineState
from stream_infer.errors import Stage
from stream_infer.headers import item_headers
from stream_infer.jobs.events import Counted, HookEnded
from stream_infer.jobs.status import Cause, JobStatus, Phase, State
from stream_infer.ports import Reference
from stream_infer.records import REFERENCE, Control, Failure, Output, Payload
from stream_infer.worker.held import Entry
from tests.support.worker_bench import PACE, TOPICS, WorkerBench

BAD = Failure(Stage.PREDICT, "builtins.ValueError", "bad item")
RUNNING = JobStatus(job_id="j", api="a", state=State.RUNNING)


def picky(data: bytes) -> Output | Failure:
    return BAD if data.startswith(b"bad") else Output(data)


def job(generation: int = 1) -> Any:
    return (("si-job-id", b"j"), ("si-item-id", b"j-0"), ("si-generation", str(generation).encode()))


def test_a_failed_item_goes_through_each_tier_and_then_ends_as_a_dead_letter() -> None:
    bench = WorkerBench(picky)
    bench.feed(b"bad", b"good")
    bench.run()
    assert bench.values(TOPICS.results) == [b"good"]
    assert bench.producer.offsets[TOPICS.items, 0] == 2

    for tier, delay in ((1, 5.0), (2, 30.0)):
        bench.pass_on(tier)
        bench.now += delay - 0.1
        bench.run()
        assert len(bench.engine.called) == tier + 1, "it is not due yet"
        bench.now += 0.2
        bench.run()

    [letter] = bench.written(TOPICS.dlq)
    headers = dict(letter.headers)
    assert letter.value == b"bad"
    assert headers["si-attempt"] == b"3"
    assert headers["__connect.errors.topic"] == TOPICS.items.encode()
    assert bench.ledger.held == 0


def test_a_stop_skips_what_waits_in_a_tier_at_once_whoever_waits_before_it() -> None:
    bench = WorkerBench(picky)
    bench.views.status["j"] = RUNNING
    bench.feed(b"bad of nobody")
    bench.feed(b"bad", headers=job())
    bench.run()
    bench.pass_on(1)
    bench.run()
    assert bench.ledger.in_work == 0

    stopped = RUNNING.model_copy(update={"cause": Cause.STOP, "state": State.STOPPING})
    bench.views.status["j"] = stopped
    bench.ending.note("j", stopped)
    bench.now += 1.0
    bench.run()

    [counted] = bench.events()
    assert (counted.job_id, counted.model_dump()["delta"]["skipped"]) == ("j", 1)
    assert bench.values(TOPICS.retry(1)) == [b"bad of nobody"], "the other one waits on, behind"
    assert bench.producer.offsets[TOPICS.retry(1), 0] == 2


@pytest.mark.parametrize("scoped", [True, False])
def test_what_of_a_stopped_job_has_not_reached_the_model_is_skipped_at_once(scoped: bool) -> None:
    bench = WorkerBench(picky, scoped=scoped)
    for job_id in ("j", "k"):
        bench.views.status[job_id] = RUNNING.model_copy(update={"job_id": job_id})
    bench.engine.readiness = Readiness(EngineState.LOADING)
    bench.feed(*[b"1"] * 12, headers=job())
    bench.feed(*[b"2"] * 12, headers=(("si-job-id", b"k"),))
    bench.feed(b"3", headers=job(generation=2))
    bench.run()
    assert bench.engine.in_flight == 25

    bench.views.status["j"] = stopped = RUNNING.model_copy(update={"cause": Cause.STOP, "state": State.STOPPING})
    bench.ending.note("j", stopped)
    bench.run()

    assert (bench.engine.in_flight, bench.ledger.in_work) == (13, 13)
    bench.engine.readiness = Readiness(EngineState.READY)
    bench.run()
    assert sorted(bench.engine.called) == [b"2"] * 12 + [b"3"]
    assert sum(event.delta.skipped for event in bench.events() if isinstance(event, Counted)) == 12


def test_what_was_fetched_for_a_job_that_was_stopped_meanwhile_is_skipped() -> None:
    bench = WorkerBench(picky)
    bench.views.status["j"] = RUNNING

    def bring(_: Reference) -> Payload:
        bench.views.status["j"] = RUNNING.model_copy(update={"cause": Cause.STOP, "state": State.STOPPING})
        return Payload(b"fetched")

    bench.fetch.bring = bring
    bench.feed(b'{"uri": "s3://b/k"}', headers=item_headers(job_id="j", item_id="j-0", content_type=REFERENCE))
    bench.run()

    assert not bench.engine.called
    assert sum(event.delta.skipped for event in bench.events() if isinstance(event, Counted)) == 1


@pytest.mark.parametrize("is_known", [True, False])
def test_an_item_of_a_stopped_job_that_is_read_behind_a_waiting_one_is_skipped_at_once(is_known: bool) -> None:
    bench = WorkerBench(picky)
    stopped = RUNNING.model_copy(update={"cause": Cause.STOP, "state": State.STOPPING})
    (bench.views.status if is_known else bench.views.unread)["j"] = stopped
    bench.feed(b"later", topic=TOPICS.retry(1), headers=(("si-not-before", b"1004"),))
    bench.feed(b"1", topic=TOPICS.retry(1), headers=job())
    bench.run()

    [counted] = bench.events()
    assert (counted.job_id, counted.model_dump()["delta"]["skipped"]) == ("j", 1)
    assert bench.values(TOPICS.retry(1)) == [b"later"]
    assert bench.producer.offsets[TOPICS.retry(1), 0] == 2


def test_a_dead_letter_that_waits_for_the_items_before_it_bears_the_time_of_its_failure() -> None:
    bench = WorkerBench(lambda data: Failure(Stage.PREDICT, "E", "bad", final=True) if data == b"bad" else Output(data))
    bench.feed(b"later", topic=TOPICS.retry(1), headers=(("si-not-before", b"1004"),))
    bench.feed(b"bad", topic=TOPICS.retry(1))
    bench.run()
    assert not bench.written(TOPICS.dlq)

    bench.now += 5.0
    bench.run()

    [letter] = bench.written(TOPICS.dlq)
    assert dict(letter.headers)["si-failed-at"] == b"1000.000"


@pytest.mark.parametrize("max_attempts", [1, 3])
def test_an_item_that_is_to_wait_for_years_is_rejected_and_holds_nothing_up(max_attempts: int) -> None:
    bench = WorkerBench(picky, max_attempts=max_attempts)
    bench.feed(b"in 2033", headers=(("si-not-before", b"2000000000"),))
    bench.feed(b"now")
    bench.run()

    [letter] = bench.written(TOPICS.dlq)
    assert b"retry.max_wait is 3600 s" in (dict(letter.headers)["__connect.errors.exception.message"] or b"")
    assert [record.topic for record in bench.producer.records] == [TOPICS.dlq, TOPICS.results]
    assert bench.producer.offsets[TOPICS.items, 0] == 2


def test_a_hook_that_is_asked_for_before_the_view_has_seen_its_jobs_phase_runs() -> None:
    bench = WorkerBench(picky)
    bench.views.status["j"] = RUNNING
    bench.views.unread["j"] = RUNNING.model_copy(update={"phase": Phase.HOOK})
    bench.feed(b"", headers=item_headers(job_id="j", control=Control.ON_JOB_COMPLETE))
    bench.run()

    assert [event for event in bench.events() if isinstance(event, HookEnded)]


@pytest.mark.parametrize(("final", "tries"), [(True, 1), (False, 3)])
def test_a_hook_is_tried_again_unless_its_job_can_have_no_instance(final: bool, tries: int) -> None:
    bench = WorkerBench(lambda _: Failure(Stage.PREDICT, "E", "hung", final=final, of_job=True))
    bench.views.status["j"] = RUNNING.model_copy(update={"phase": Phase.HOOK})
    bench.feed(b"", headers=item_headers(job_id="j", control=Control.ON_JOB_COMPLETE))
    bench.run()

    assert [event.error for event in bench.events() if isinstance(event, HookEnded)] == ["hung"]
    assert len(bench.engine.given) == tries


def test_a_deadline_ends_what_waits_at_once() -> None:
    bench = WorkerBench(picky)
    headers = (("si-not-before", b"1050"), ("si-deadline", b"1010"))
    bench.feed(b"good", topic=TOPICS.retry(2), headers=headers)
    bench.run()
    assert not bench.written(TOPICS.dlq)

    bench.now += 10.0
    bench.run()

    [letter] = bench.written(TOPICS.dlq)
    assert dict(letter.headers)["__connect.errors.exception.class.name"] == b"stream_infer.DeadlinePassed"
    assert not bench.engine.called


def test_a_long_retry_after_laps_through_its_tier_without_costing_an_attempt() -> None:
    bench = WorkerBench(lambda _: Failure(Stage.PREDICT, "x.Busy", "busy", retryable=True, retry_after=8.0))
    bench.feed(b"1")
    bench.run()
    bench.pass_on(1)
    bench.now += 6.1
    bench.run()
    assert len(bench.engine.called) == 1
    bench.pass_on(1)
    bench.now += 2.0
    bench.run()
    assert len(bench.engine.called) == 2
    [again] = bench.written(TOPICS.retry(1))
    assert dict(again.headers)["si-attempt"] == b"1"
    assert dict(again.headers)["si-retry-since"] == b"1000.000"


def test_a_tier_of_which_enough_waits_is_paused_and_read_on_when_it_is_due() -> None:
    bench = WorkerBench(picky, pace=replace(PACE, max_held=8))
    tier = (TOPICS.retry(1), 0)
    bench.feed(b"1", b"2", topic=tier[0], headers=(("si-not-before", b"1004"),))
    bench.run(2)
    bench.feed(b"3", topic=tier[0], headers=(("si-not-before", b"1004"),))
    bench.run()
    assert bench.consumer.paused == {tier}
    assert bench.ledger.held == 2

    bench.now += 4.5
    bench.run(8)
    assert not bench.consumer.paused
    assert bench.values(TOPICS.results) == [b"1", b"2", b"3"]


def test_waiting_items_do_not_keep_others_from_being_read() -> None:
    bench = WorkerBench(picky)
    bench.feed(*[b"later"] * 900, topic=TOPICS.retry(1), headers=(("si-not-before", b"1004"),))
    bench.run()
    bench.feed(*[b"now"] * 900)
    bench.run()
    assert bench.values(TOPICS.results) == [b"now"] * 900


def test_big_items_that_wait_in_all_tiers_leave_half_of_the_bytes_to_others() -> None:
    bench = WorkerBench(picky, pace=replace(PACE, max_held_bytes=2000))
    for tier in (1, 2):
        for _ in range(40):
            bench.feed(b"x" * 100, topic=TOPICS.retry(tier), headers=(("si-not-before", b"1004"),))
            bench.run(1)
    assert bench.consumer.paused == {(TOPICS.retry(1), 0), (TOPICS.retry(2), 0)}
    assert bench.ledger.held_bytes == 1000

    bench.feed(*[b"now"] * 100)
    bench.run()
    assert bench.values(TOPICS.results) == [b"now"] * 100


def test_a_tier_is_paused_as_soon_as_enough_of_it_waits_and_read_on_after_a_while() -> None:
    bench = WorkerBench(picky, pace=replace(PACE, max_held=8))
    bench.reading._look_at_full_s = 3600.0
    bench.reading._looked_at = time.monotonic()
    bench.feed(b"1", b"2", topic=TOPICS.retry(1), headers=(("si-not-before", b"1004"),))
    bench.run(2)
    assert bench.consumer.paused == {(TOPICS.retry(1), 0)}
    bench.feed(b"elsewhere", topic=TOPICS.retry(2), headers=(("si-not-before", b"1030"),))
    bench.now += 4.5
    bench.run()
    assert bench.consumer.paused == {(TOPICS.retry(1), 0)}, "pausing drops what was prefetched, so not at every item"

    bench.reading._looked_at = -3600.0
    bench.run()
    assert not bench.consumer.paused


def test_a_revoked_partition_takes_its_waiting_items_along() -> None:
    bench = WorkerBench(picky)
    bench.feed(b"1", topic=TOPICS.retry(1), headers=(("si-not-before", b"1004"),))
    bench.run()
    bench.loop.revoked([(TOPICS.retry(1), 0)])
    bench.now += 10
    bench.run()
    assert not bench.engine.called
    assert (bench.ledger.held, bench.ledger.in_work) == (0, 0)


def test_a_stopped_jobs_failed_item_is_skipped_instead_of_retried() -> None:
    bench = WorkerBench(picky)
    bench.views.status["j"] = RUNNING
    bench.feed(b"bad", headers=job())
    bench.engine.predict = lambda data: _stop(bench) or BAD
    bench.run()
    assert not bench.written(TOPICS.retry(1))
    assert bench.events()[0].model_dump()["delta"]["skipped"] == 1


def _stop(bench: WorkerBench) -> None:
    bench.views.status["j"] = RUNNING.model_copy(update={"cause": Cause.STOP, "state": State.STOPPING})


@pytest.mark.parametrize("ended", [BAD, Output(b"1")])
def test_parked_entries_are_counted_right_whatever_ends_them(ended: Any) -> None:
    bench = WorkerBench(picky)
    bench.feed(b"1", topic=TOPICS.retry(1), headers=(("si-not-before", b"1004"),))
    bench.run()
    [token] = bench.ledger.open_tokens([(TOPICS.retry(1), 0)])
    entry = bench.ledger.finish(token, ended)
    assert isinstance(entry, Entry)
    assert bench.ledger.in_work == 0
