"""A transaction that grows while results come: what is in it, and what becomes of that where it comes to nothing."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from stream_infer.errors import Stage
from stream_infer.headers import item_headers
from stream_infer.jobs.counts import Counts
from stream_infer.jobs.events import Counted
from stream_infer.jobs.status import Cause, JobStatus, State
from stream_infer.kafka.errors import RecordTooLarge
from stream_infer.records import JSON, Failure, OutgoingRecord, Output
from tests.support.worker_bench import PACE, TOPICS, WorkerBench

ALL = [(TOPICS.items, 0), (TOPICS.retry(1), 0), (TOPICS.retry(2), 0)]
REFUSED = RecordTooLarge("the broker takes less")
BAD = Failure(Stage.PREDICT, "E", "bad", final=True)
RUNNING = JobStatus(job_id="j", api="a", state=State.RUNNING)
NOT_YET = replace(PACE, commit_interval=3600.0)


def keep_busy(bench: WorkerBench) -> None:
    """One item of a tier is never answered: nothing is committed for idleness."""
    poll, engine = bench.engine.poll, bench.engine

    def without(timeout_s: float, waiting_upstream: int = 0) -> Any:
        tasks = [task for some in engine._held for task in some if task.payload.data == b"hangs"]
        engine._held = [some for some in engine._held if some[0].payload.data != b"hangs"]
        answers = poll(timeout_s, waiting_upstream)
        engine._held = [tasks] if tasks else []
        return answers

    engine.poll = without  # type: ignore[method-assign]
    bench.feed(b"hangs", topic=TOPICS.retry(1))
    bench.run(2)


def growing(predict: Callable[[bytes], Any] = Output) -> WorkerBench:
    """A worker that is busy, and whose next commit is far away."""
    bench = WorkerBench(predict, pace=NOT_YET)
    bench.feed(b"the first commit comes at once")
    bench.run(3)
    bench.producer.records.clear()
    keep_busy(bench)
    return bench


def test_results_are_written_as_they_come_and_seen_by_nobody_until_the_commit() -> None:
    bench = growing()

    bench.feed(b"1", b"2")
    bench.run(3)

    assert [record.value for record in bench.producer.written_now or []] == [b"1", b"2"]
    assert bench.producer.records == []


def test_what_has_failed_is_not_written_before_the_commit() -> None:
    bench = growing(lambda value: BAD if value == b"bad" else Output(value))

    bench.feed(b"1", b"bad", b"2")
    bench.run(3)

    assert [record.topic for record in bench.producer.written_now or []] == [TOPICS.results]


def test_an_open_transaction_is_aborted_where_a_partition_in_it_is_lost() -> None:
    bench = growing()
    bench.feed(b"1")
    bench.run(3)
    committed = dict(bench.producer.offsets)

    bench.loop.lost([(TOPICS.items, 0)])

    assert (bench.producer.written_now, bench.producer.records, bench.producer.offsets) == (None, [], committed)


def test_a_transaction_that_ends_in_a_way_that_nothing_mends_keeps_its_items_for_those_who_clear_up() -> None:
    bench = WorkerBench(Output)
    bench.producer.holds = True
    bench.feed(b"1")
    bench.run(2)
    bench.feed(b"2")
    bench.run(3)
    bench.producer.end(REFUSED)
    bench.producer.holds = False

    with pytest.raises(RecordTooLarge):
        bench.run(3)
    bench.loop.revoked(ALL)

    assert (bench.values(TOPICS.results), bench.producer.offsets[TOPICS.items, 0]) == ([b"1", b"2"], 2)


def test_a_fault_in_the_middle_of_writing_leaves_a_transaction_that_is_never_committed() -> None:
    bench = WorkerBench(Output)
    write, faults = bench.producer.write, [MemoryError("by the test")]

    def failing(records: Sequence[OutgoingRecord]) -> None:
        if records and faults:
            raise faults.pop()
        write(records)

    bench.producer.write = failing  # type: ignore[method-assign]
    bench.feed(b"1")
    with pytest.raises(MemoryError):
        bench.run(3)

    bench.loop.revoked(ALL)

    assert (bench.values(TOPICS.results), bench.producer.offsets[TOPICS.items, 0]) == ([b"1"], 1)


def test_a_partition_is_forgotten_though_the_transaction_with_it_ends_in_a_fault() -> None:
    bench = WorkerBench(Output)
    bench.producer.holds = True
    bench.feed(b"1")
    bench.run(2)
    bench.loop._times = replace(bench.loop._times, drain=0.0)
    threading.Timer(0.05, lambda: bench.producer.end(REFUSED)).start()

    with pytest.raises(RecordTooLarge):
        bench.loop.revoked([(TOPICS.items, 0)])
    bench.producer.holds = False
    bench.loop.revoked([(TOPICS.retry(1), 0), (TOPICS.retry(2), 0)])

    assert (bench.producer.records, bench.producer.offsets, bench.ledger.partitions()) == ([], {}, [])


# Items in a row that are alike, enough of them to be held as one.

MANY = [b"%d" % number for number in range(10)]


def feed_many_of_a_job(bench: WorkerBench) -> None:
    for number, value in enumerate(MANY):
        bench.feed(value, headers=item_headers(content_type=JSON, job_id="j", item_id=f"j-{number}", generation=1))


def test_items_that_are_alike_are_counted_for_their_job() -> None:
    bench = WorkerBench(Output)
    bench.views.status["j"] = RUNNING

    feed_many_of_a_job(bench)
    bench.run()

    assert bench.values(TOPICS.results) == MANY
    [counted] = bench.events()
    assert isinstance(counted, Counted)
    assert (counted.job_id, counted.delta) == ("j", Counts(succeeded=10, written=10))


def test_items_that_are_alike_of_a_stopped_job_are_skipped() -> None:
    bench = WorkerBench(Output)
    bench.views.status["j"] = RUNNING.model_copy(update={"cause": Cause.STOP, "state": State.STOPPING})

    feed_many_of_a_job(bench)
    bench.run()

    [counted] = bench.events()
    assert isinstance(counted, Counted)
    assert (bench.engine.called, counted.delta) == ([], Counts(skipped=10))


def test_those_of_a_job_that_nobody_has_heard_of_yet_wait_until_it_is_known() -> None:
    bench = WorkerBench(Output)
    bench.views.unread["j"] = RUNNING

    feed_many_of_a_job(bench)
    bench.run(2)

    assert bench.values(TOPICS.results) == MANY
    assert [event.job_id for event in bench.events()] == ["j"]


def test_the_successes_of_items_that_are_alike_count_for_the_breaker() -> None:
    bench = WorkerBench(lambda value: BAD if value == b"bad" else Output(value), window=20)
    for _ in range(4):
        bench.feed(*[b"good"] * 12)
        bench.run()
        bench.feed(*[b"bad"] * 8)
        bench.run()

    assert (bench.circuit.is_serving, bench.engine.restarts) == (True, [])


def test_a_commit_that_is_due_does_not_wait_for_the_whole_of_a_stretch() -> None:
    bench = WorkerBench(Output, pace=replace(PACE, commit_interval=0.0, rest=0.0))
    engine = bench.engine

    def two_at_a_time(timeout_s: float, waiting_upstream: int = 0) -> Any:
        tasks = engine._held.pop(0) if engine._held else []
        engine._held[:0] = [tasks[2:]] if len(tasks) > 2 else []
        return engine._answer(tasks[:2])

    engine.poll = two_at_a_time  # type: ignore[method-assign]
    bench.feed(*MANY)
    committed = []
    for _ in range(6):
        bench.run(1)
        committed.append(len(bench.values(TOPICS.results)))

    assert committed[-1] == 10
    assert [few for few in committed if 0 < few < 10], "some of it has been committed meanwhile"
