"""What bodies may take of a server's memory, all together and each caller's."""

import pytest

from stream_infer.http.budget import BodyBudget
from stream_infer.http.callers import ANONYMOUS, Caller
from stream_infer.http.problems import Problem

A, B, NOBODY = Caller("a", "1"), Caller("b", "2"), Caller(ANONYMOUS)


@pytest.fixture
def budget() -> BodyBudget:
    return BodyBudget(most=100, share=60)


def refusal(budget: BodyBudget, caller: Caller, size: int) -> str:
    before = budget.held, dict(budget.of)
    with pytest.raises(Problem) as caught:
        budget.hold(caller).take(size)
    assert caught.value.status == 503
    assert caught.value.all_headers()["Retry-After"].isdecimal()
    assert (budget.held, dict(budget.of)) == before
    return caught.value.document.detail


def test_all_bodies_together_have_so_much(budget: BodyBudget) -> None:
    first, second = budget.hold(A), budget.hold(B)
    first.take(50)
    first.take(10)
    second.take(40)
    assert "limits.bodies_bytes" in refusal(budget, B, 1)

    first.release()
    second.take(1)
    assert (budget.held, dict(budget.of)) == (41, {"b": 41})


def test_one_caller_leaves_something_to_the_others(budget: BodyBudget) -> None:
    budget.hold(A).take(60)
    assert "a has bodies of 60 bytes" in refusal(budget, A, 1)
    assert "limits.caller_bodies_bytes" in refusal(budget, Caller("a", "another key"), 1)
    budget.hold(B).take(40)


def test_where_nobody_has_a_key_there_are_no_shares(budget: BodyBudget) -> None:
    budget.hold(NOBODY).take(100)
    assert "limits.bodies_bytes" in refusal(budget, NOBODY, 1)


def test_a_length_is_refused_before_anything_is_read_and_takes_nothing(budget: BodyBudget) -> None:
    budget.hold(A).expect(60)
    assert budget.held == 0
    with pytest.raises(Problem):
        budget.hold(A).expect(61)


def test_nothing_is_left_of_who_has_gone(budget: BodyBudget) -> None:
    for _ in range(3):
        held = budget.hold(A)
        held.take(7)
        held.take(0)
        held.release()
        held.release()
    assert (budget.held, dict(budget.of)) == (0, {})
