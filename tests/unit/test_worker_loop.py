"""What the worker's loop does with what its group says."""

import threading
import time
from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import pytest

from stream_infer.engine.task import Answer
from stream_infer.errors import Fenced, Stage, TransactionAborted
from stream_infer.headers import item_headers
from stream_infer.jobs.events import Failed
from stream_infer.records import Failure, Headers, Output
from stream_infer.worker.loop import WorkerLoop
from tests.support.worker_bench import PACE, TOPICS, WorkerBench


@pytest.mark.parametrize(("member", "transactions"), [(True, 1), (False, 0)])
def test_nothing_is_committed_in_the_name_of_a_member_that_was_expelled(member: bool, transactions: int) -> None:
    bench = WorkerBench(Output)
    bench.consumer.is_member = lambda: member  # type: ignore[method-assign]
    bench.feed(b"1")

    bench.run()

    assert bench.producer.offsets == ({(TOPICS.items, 0): 1} if member else {})
    assert bench.ledger.held == 1 - transactions


class Stuck:
    """Makes an engine one whose child does not come back from what it holds."""

    def __init__(self, bench: WorkerBench) -> None:
        engine = bench.engine
        self.disowned: list[int] = []
        engine.poll = lambda *_: []  # type: ignore[method-assign, assignment, return-value]
        engine.withdraw = lambda _=None: []  # type: ignore[method-assign, assignment, misc]
        engine.disown = lambda tokens=None: self.disowned.extend(engine.in_child() if tokens is None else tokens)  # type: ignore[method-assign, assignment, misc]
        bench.loop._times = replace(bench.loop._times, drain=0.0)


@pytest.mark.parametrize("taken", [WorkerLoop.revoked, WorkerLoop.lost])
def test_the_engine_is_told_of_items_that_are_not_ours_any_more(taken: Callable[..., None]) -> None:
    bench = WorkerBench(Output)
    stuck = Stuck(bench)
    bench.feed(b"1", b"2")
    bench.feed(b"ours", topic=TOPICS.retry(1))
    bench.run()
    gone = bench.ledger.open_tokens([(TOPICS.items, 0)])

    taken(bench.loop, [(TOPICS.items, 0)])

    assert len(gone) == 2
    assert set(stuck.disowned) == gone


def test_the_engine_is_told_to_forget_everything_when_the_worker_begins_anew() -> None:
    bench = WorkerBench(Output)
    bench.feed(b"1")
    bench.run(1)
    stuck = Stuck(bench)
    bench.feed(b"2", topic=TOPICS.retry(1))
    bench.feed(b"3", headers=(("si-attempt", b"x"),))
    bench.producer.failure = Fenced("another has taken over")
    bench.consumer.committed = lambda _: {}  # type: ignore[attr-defined]
    bench.consumer.seek = lambda _: None  # type: ignore[attr-defined]
    bench.run()

    assert stuck.disowned == [2]
    assert bench.ledger.held == 0


def hang(bench: WorkerBench, value: bytes) -> None:
    """Makes the engine answer all items but this one."""
    poll, engine = bench.engine.poll, bench.engine

    def without(timeout_s: float, waiting_upstream: int = 0) -> list[Answer]:
        held = [task for tasks in engine._held for task in tasks]
        engine._held = [[task for task in held if task.payload.data != value]]
        answers = poll(timeout_s, waiting_upstream)
        engine._held = [[task for task in held if task.payload.data == value]]
        return answers

    engine.poll = without  # type: ignore[method-assign]


# What has more to say than most is held as an item of its own.
ONE_BY_ONE = item_headers(deadline=1e9)


def sizes_of_transactions(bench: WorkerBench) -> list[int]:
    """Fills up as the bench runs."""
    sizes: list[int] = []
    commit = bench.producer.commit

    def noted(*arguments: Any) -> Future[None]:
        sizes.append(len(bench.producer.written_now))
        return commit(*arguments)

    bench.producer.commit = noted  # type: ignore[method-assign]
    return sizes


def test_what_ends_while_a_revocation_is_drained_is_delivered_though_others_hang() -> None:
    bench = WorkerBench(Output)
    bench.feed(b"1", topic=TOPICS.retry(1))
    bench.feed(b"hangs")
    answering = bench.engine.poll
    bench.engine.poll = lambda *_: []  # type: ignore[method-assign, misc]
    bench.run()
    bench.engine.withdraw = lambda _=None: []  # type: ignore[method-assign, misc]
    bench.engine.poll = answering  # type: ignore[method-assign]
    hang(bench, b"hangs")
    bench.loop._times = replace(bench.loop._times, drain=0.05)

    bench.loop.revoked([(TOPICS.items, 0), (TOPICS.retry(1), 0)])

    assert bench.values(TOPICS.results) == [b"1"]


def test_one_who_leaves_stays_a_member_until_what_the_model_was_at_is_committed() -> None:
    """The broker may refuse its commits until it has joined again, which takes a poll."""
    bench = WorkerBench(Output)
    bench.feed(b"1", b"2")
    answering = bench.engine.poll
    bench.engine.poll = lambda *_: []  # type: ignore[method-assign, misc]
    bench.run()
    bench.engine.withdraw = lambda _=None: []  # type: ignore[method-assign, misc]
    bench.engine.poll = answering  # type: ignore[method-assign]
    bench.feed(b"others'")
    bench.producer.failure = TransactionAborted("the generation is not valid")
    polling = bench.consumer.poll_runs

    def join_again(*arguments: Any) -> Any:
        if bench.producer.begun:
            bench.producer.failure = None
        return polling(*arguments)

    bench.consumer.poll_runs = join_again  # type: ignore[method-assign]

    bench.loop.finish(bench.consumer)  # type: ignore[arg-type]

    assert bench.producer.begun > 1
    assert bench.values(TOPICS.results) == [b"1", b"2"]
    assert len(bench.consumer.records) == 1, "it is left to others"


def test_one_who_leaves_for_good_has_its_own_time_for_what_the_model_is_at() -> None:
    bench = WorkerBench(Output)
    bench.feed(b"1")
    poll = bench.engine.poll
    Stuck(bench)  # a revocation would not wait at all
    bench.run()
    bench.engine.poll = poll  # type: ignore[method-assign]
    bench.loop._times = replace(bench.loop._times, leave=30.0)

    bench.loop.finish(bench.consumer)  # type: ignore[arg-type]

    assert bench.values(TOPICS.results) == [b"1"]


def test_one_who_leaves_waits_for_a_model_that_hangs_once_and_not_again_when_its_partitions_go() -> None:
    bench = WorkerBench(Output)
    bench.feed(b"1")
    Stuck(bench)
    bench.run()
    bench.loop._times = replace(bench.loop._times, leave=0.2)
    bench.loop.finish(bench.consumer)  # type: ignore[arg-type]
    bench.engine.poll = lambda *_: pytest.fail("it waits again")  # type: ignore[method-assign]

    bench.loop.revoked([(TOPICS.items, 0)])


def test_a_transaction_takes_so_many_bytes_and_the_next_one_comes_at_once_also_under_load() -> None:
    bench = WorkerBench(Output, pace=replace(PACE, commit_interval=3600.0, max_transaction_bytes=500))
    sizes = sizes_of_transactions(bench)
    hang(bench, b"hangs")
    bench.feed(b"hangs", topic=TOPICS.retry(1))
    bench.feed(*[b"x" * 100] * 10, headers=ONE_BY_ONE)
    bench.run(20)

    assert sizes == [3, 3, 3], "the last one is not full, and not due for an hour"


@pytest.mark.parametrize("headers", [(), ONE_BY_ONE], ids=["alike", "one by one"])
def test_what_was_sent_of_an_item_that_has_succeeded_is_not_held_until_its_commit(headers: Headers) -> None:
    bench = WorkerBench(lambda _: Output(b"short"))
    hang(bench, b"hangs")
    bench.feed(b"hangs", headers=ONE_BY_ONE)
    bench.run(1)
    freed: list[bytes] = []

    class Payload(bytes):
        def __del__(self) -> None:
            freed.append(self[:1])

    bench.feed(*[Payload(b"%d" % number + bytes(100_000)) for number in range(9)], headers=headers)
    bench.run(3)
    bench.engine.called.clear()

    assert (bench.ledger.held, sorted(freed)) == (10, [b"%d" % number for number in range(9)])
    assert bench.ledger.held_bytes == len(b"hangs") + 9 * len(b"short")


def test_a_key_that_leaves_no_room_for_a_result_keeps_its_value_for_a_dead_letter() -> None:
    bench = WorkerBench(lambda _: Output(b"short"))
    bench.feed(b"the item" * 100, key=b"k" * 1_200_000)
    bench.run(3)
    bench.pool.work()
    bench.run(3)

    assert len(bench.written(TOPICS.dlq)) == 1
    assert b64encode(b"the item" * 100) in bench.store.get("_payloads/dead-letters/p.a.items-0-0")


def test_the_stacks_of_failed_items_count_as_bytes_of_a_transaction() -> None:
    bad = Failure(Stage.PREDICT, "E", "bad", stacktrace="s" * 100, final=True)
    bench = WorkerBench(lambda _: bad, window=1000, pace=replace(PACE, max_transaction_bytes=250))
    sizes = sizes_of_transactions(bench)
    bench.feed(*[b"1"] * 7)
    bench.run(20)

    assert sizes == [3, 3, 1]


def test_a_producer_that_is_fenced_in_the_middle_of_a_revoke_is_replaced_after_it() -> None:
    """Inside a callback the consumer must not be asked anything: the process would be aborted."""
    bench = WorkerBench(Output, pace=replace(PACE, commit_interval=3600.0))
    bench.loop._pace.committed(time.monotonic())
    bench.feed(b"1", b"2")
    bench.run(1)
    asked: list[str] = []
    consumer: Any = bench.consumer
    consumer.committed = lambda partitions: asked.append("committed") or dict.fromkeys(partitions, 0)
    consumer.seek = lambda _offsets: asked.append("seek")
    bench.producer.failure = Fenced("by the test")

    bench.loop.revoked([(TOPICS.retry(1), 0)])
    assert asked == []

    bench.producer.failure = None
    bench.run(1)
    assert asked == ["committed", "seek"]


def test_what_comes_while_a_transaction_is_under_way_is_predicted_and_goes_with_the_next_one() -> None:
    bench = WorkerBench(Output)
    bench.producer.holds = True
    bench.feed(b"1")
    bench.run(2)
    bench.feed(b"2")
    bench.run(3)
    assert (bench.engine.called, bench.producer.begun) == ([b"1", b"2"], 1)

    bench.producer.end()
    bench.run(2)
    bench.producer.end()

    assert bench.values(TOPICS.results) == [b"1", b"2"]
    assert bench.producer.offsets == {(TOPICS.items, 0): 2}


def test_an_aborted_transaction_is_repeated_before_what_has_ended_since() -> None:
    bench = WorkerBench(Output, pace=replace(PACE, retry_delay=0.0))
    bench.producer.holds = True
    bench.feed(b"1")
    bench.run(2)
    bench.feed(b"2")
    bench.run(3)

    bench.producer.end(TransactionAborted("by the test"))
    bench.producer.holds = False
    bench.run(3)

    assert bench.values(TOPICS.results) == [b"1", b"2"]
    assert bench.engine.called == [b"1", b"2"], "nothing is predicted again"


def test_what_a_job_is_told_is_told_again_after_an_abort() -> None:
    bench = WorkerBench(Output, pace=replace(PACE, retry_delay=0.0))
    told = Failed(job_id="j", at=1.0, error="by the test")
    bench.loop._commits.say([told])
    bench.producer.failure = TransactionAborted("by the test")
    bench.run(2)
    bench.producer.failure = None
    bench.run(2)

    assert bench.events() == [told]


@pytest.mark.parametrize("taken", [WorkerLoop.revoked, WorkerLoop.lost])
def test_a_partition_is_not_let_go_while_a_transaction_with_it_is_under_way(taken: Callable[..., None]) -> None:
    bench = WorkerBench(Output)
    bench.producer.holds = True
    bench.feed(b"1")
    bench.run(2)
    bench.loop._times = replace(bench.loop._times, drain=0.0)

    leaving = threading.Thread(target=taken, args=(bench.loop, [(TOPICS.items, 0)]))
    leaving.start()
    leaving.join(0.05)
    assert leaving.is_alive()
    bench.producer.end()
    leaving.join(10)

    assert not leaving.is_alive()
    assert (bench.ledger.held, bench.producer.offsets) == (0, {(TOPICS.items, 0): 1})


def test_what_failed_in_a_transaction_that_came_to_nothing_is_open_again_where_the_api_was_halted_meanwhile() -> None:
    bad = Failure(Stage.PREDICT, "E", "bad", final=True)
    bench = WorkerBench(lambda _: bad, window=4)
    bench.producer.holds = True
    bench.feed(b"1")
    bench.run(2)
    bench.feed(*[b"2"] * 8)
    bench.run(4)
    assert bench.engine.restarts

    bench.producer.end(TransactionAborted("by the test"))
    bench.producer.holds = False
    bench.run(4)

    assert bench.written(TOPICS.dlq) == []
    assert bench.ledger.pending() == 9
