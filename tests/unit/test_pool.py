"""Calls that may block, on threads that nobody waits for."""

import threading
from contextvars import ContextVar
from threading import Barrier

import pytest

from stream_infer.pool import DaemonPool


def test_calls_beyond_the_threads_wait_for_their_turn() -> None:
    pool, both, gate, begun = DaemonPool(2, "test"), Barrier(3, timeout=10), threading.Event(), []

    def call(number: int) -> int:
        begun.append(number)
        if number < 2:
            both.wait()
        gate.wait(10)
        return number

    futures = [pool.submit(call, number) for number in range(4)]
    both.wait()
    assert sorted(begun) == [0, 1]
    gate.set()
    assert [future.result(10) for future in futures] == [0, 1, 2, 3]
    pool.close(10)


def test_what_a_call_raises_is_raised_where_its_result_is_asked_for() -> None:
    pool = DaemonPool(1, "test")
    with pytest.raises(ZeroDivisionError):
        pool.submit(lambda: 1 // 0).result(10)
    assert pool.submit(lambda: 5).result(10) == 5  # and its thread goes on
    pool.close(10)


def test_what_waits_for_its_turn_can_be_cancelled_together_and_what_comes_later_has_a_thread() -> None:
    pool, begun, gate = DaemonPool(1, "test"), threading.Event(), threading.Event()

    def hold() -> bool:
        begun.set()
        return gate.wait(10)

    first = pool.submit(hold)
    assert begun.wait(10)
    queued = [pool.submit(hold) for _ in range(3)]
    pool.cancel_queued()
    assert [future.cancelled() for future in queued] == [True] * 3
    gate.set()
    assert first.result(10)
    assert pool.submit(lambda: 5).result(10) == 5
    pool.close(10)


def test_what_was_cancelled_before_its_turn_does_not_run() -> None:
    pool, gate = DaemonPool(1, "test"), threading.Event()
    first, second = pool.submit(gate.wait, 10), pool.submit(gate.wait, 10)
    assert second.cancel()
    gate.set()
    assert first.result(10)
    pool.close(10)


def test_each_call_runs_in_the_context_in_which_it_was_submitted_and_leaves_none_behind() -> None:
    whose = ContextVar("whose", default="nobody's")
    pool = DaemonPool(1, "t")
    token = whose.set("a request's")
    first = pool.submit(whose.get)
    whose.reset(token)

    assert (first.result(5), pool.submit(whose.get).result(5)) == ("a request's", "nobody's")
    pool.close(5)
