"""What the child gets next, and when it has had it for too long."""

import math

import pytest

from stream_infer.engine.dispatch import Dispatch
from stream_infer.engine.isolation import Died, Verdict, judge
from stream_infer.engine.policy import EnginePolicy
from stream_infer.engine.task import Task
from stream_infer.records import Payload

CRASH = Died("was killed by SIGSEGV", "")


def task(token, hook=None):
    return Task(token, Payload(b""), hook=hook)


def tokens(call):
    return call and [each.token for each in call.tasks]


@pytest.fixture
def dispatch():
    return Dispatch(EnginePolicy(pipeline_depth=2, call_timeout_s=10, hook_timeout_s=100))


def fill(dispatch, count):
    for token in range(count):
        dispatch.add([task(token)])


def test_no_more_calls_than_the_depth_are_in_the_child(dispatch):
    fill(dispatch, 3)
    first = dispatch.take(0.0)
    assert tokens(dispatch.take(0.0)) == [1]
    assert dispatch.take(0.0) is None
    dispatch.finish(first.id, 1.0)
    assert tokens(dispatch.take(1.0)) == [2]


def test_a_hook_waits_until_all_before_it_is_answered_and_nothing_passes_it(dispatch):
    fill(dispatch, 1)
    dispatch.add([task(1, hook="job")])
    dispatch.add([task(2)])
    first = dispatch.take(0.0)
    assert dispatch.take(0.0) is None
    dispatch.finish(first.id, 1.0)
    hook = dispatch.take(1.0)
    assert tokens(hook) == [1]
    assert dispatch.take(1.0) is None
    assert dispatch.next_deadline() == 101.0
    dispatch.finish(hook.id, 2.0)
    assert tokens(dispatch.take(2.0)) == [2]


def test_a_lost_child_accuses_the_call_that_it_had_marked_and_no_other(dispatch):
    fill(dispatch, 2)
    first, second = dispatch.take(0.0), dispatch.take(0.0)

    assert dispatch.lose(None, begun=first.id) == [first]
    assert tokens(dispatch.take(1.0)) == [1]
    assert dispatch.lose(None, begun=first.id) == []  # that was another child's
    assert dispatch.take(2.0) is second
    assert dispatch.lose(second, begun=second.id) == [second]


def test_the_deadline_counts_from_the_announcement_of_the_first_call(dispatch):
    fill(dispatch, 2)
    first, second = dispatch.take(0.0), dispatch.take(0.0)
    dispatch.begin(first.id, 3.0)
    dispatch.begin(second.id, 4.0)  # it is prepared while the first one is predicted
    assert dispatch.next_deadline() == 13.0
    assert dispatch.overrun(12.9) is None
    assert dispatch.overrun(13.0) is first
    dispatch.finish(first.id, 9.0)
    assert dispatch.next_deadline() == 19.0
    dispatch.finish(second.id, 9.5)
    assert dispatch.next_deadline() == math.inf


def test_a_crash_blames_only_what_had_begun(dispatch):
    fill(dispatch, 3)
    first, _ = dispatch.take(0.0), dispatch.take(0.0)
    dispatch.begin(first.id, 0.0)
    assert dispatch.lose(None) == [first]
    assert [tokens(dispatch.take(1.0)), tokens(dispatch.take(1.0))] == [[1], [2]]


def test_a_timeout_blames_only_what_overran(dispatch):
    fill(dispatch, 2)
    first, second = dispatch.take(0.0), dispatch.take(0.0)
    dispatch.begin(first.id, 0.0)
    dispatch.begin(second.id, 0.0)
    assert dispatch.lose(dispatch.overrun(10.0)) == [first]
    assert dispatch.take(11.0) is second


def test_suspects_run_alone_and_before_all_others(dispatch):
    dispatch.add([task(0), task(1)])
    dispatch.add([task(2)])
    first = dispatch.take(0.0)
    dispatch.begin(first.id, 0.0)
    (blamed,) = dispatch.lose(None)
    dispatch.again(judge(blamed, CRASH))
    for expected in ([0], [1]):
        suspect = dispatch.take(1.0)
        assert tokens(suspect) == expected
        assert suspect.suspect
        assert dispatch.take(1.0) is None
        dispatch.finish(suspect.id, 2.0)
    assert tokens(dispatch.take(3.0)) == [2]


def test_a_suspect_that_had_not_begun_when_the_child_died_is_still_one(dispatch):
    dispatch.add([task(0)])
    first = dispatch.take(0.0)
    dispatch.begin(first.id, 0.0)
    for blamed in dispatch.lose(None):
        dispatch.again(judge(blamed, CRASH))
    suspect = dispatch.take(1.0)
    assert dispatch.lose(None) == []
    assert dispatch.take(2.0) is suspect


def test_what_is_larger_than_the_cap_is_handed_in_parts(dispatch):
    dispatch.add([task(token) for token in range(5)])
    first, second = dispatch.take(0.0, 2), dispatch.take(0.0, 2)
    assert (tokens(first), tokens(second)) == ([0, 1], [2, 3])
    dispatch.finish(first.id, 1.0)
    assert tokens(dispatch.take(1.0)) == [4]


def test_a_task_that_comes_as_a_suspect_is_one(dispatch):
    dispatch.add([task(0)])
    dispatch.add([task(1)._replace(suspect=True)])
    suspect = dispatch.take(0.0)
    assert (tokens(suspect), suspect.suspect) == ([1], True)
    assert dispatch.take(0.0) is None


def test_withdrawn_suspects_say_that_they_are(dispatch):
    fill(dispatch, 1)
    dispatch.add([task(1), task(2)])
    blamed = dispatch.take(0.0)
    dispatch.begin(blamed.id, 0.0)
    dispatch.lose(None)
    dispatch.again(judge(blamed, CRASH))
    assert [(each.token, each.suspect) for each in dispatch.withdraw({0, 2})] == [(0, True), (2, False)]
    assert tokens(dispatch.take(1.0)) == [1]
    assert dispatch.withdraw(None) == []


def test_what_is_in_the_child_is_not_withdrawn(dispatch):
    fill(dispatch, 3)
    dispatch.take(0.0)
    assert [each.token for each in dispatch.withdraw(None)] == [1, 2]


def test_a_recall_puts_everything_back_in_order(dispatch):
    fill(dispatch, 3)
    first, second = dispatch.take(0.0), dispatch.take(0.0)
    dispatch.begin(first.id, 0.0)
    dispatch.recall()
    assert dispatch.running() is None
    assert dispatch.take(1.0) is first
    assert dispatch.take(1.0) is second


def test_a_call_that_children_are_lost_with_before_they_begin_it_is_to_blame_in_the_end(dispatch):
    fill(dispatch, 2)
    for _ in range(2):
        first, _second = dispatch.take(0.0), dispatch.take(0.0)
        assert dispatch.lose(None) == []
    assert dispatch.take(0.0) is first
    assert dispatch.lose(None) == [first]


def test_there_is_a_place_while_the_child_has_less_than_the_depth_and_nothing_has_to_be_alone(dispatch):
    assert dispatch.has_place
    fill(dispatch, 2)
    first, _ = dispatch.take(0.0), dispatch.take(0.0)
    assert not dispatch.has_place
    dispatch.finish(first.id, 1.0)
    assert dispatch.has_place
    dispatch.add([task(9, hook="job")])
    assert not dispatch.has_place


def test_what_waits_says_since_when_and_what_was_due_before_goes_before_it(dispatch):
    assert dispatch.waits_since == math.inf
    dispatch.add([task(1)], now=3.0)
    dispatch.add([task(2)], now=4.0)
    assert dispatch.waits_since == 3.0
    dispatch.add_before([task(0)])
    assert [tokens(dispatch.take(5.0)) for _ in range(2)] == [[0], [1]]
    assert dispatch.waits_since == 4.0


def test_what_is_called_again_waits_since_ever(dispatch):
    dispatch.add([task(1)], now=3.0)
    dispatch.take(3.0)
    dispatch.recall()
    dispatch.again(Verdict([], [[task(7)]]))
    assert dispatch.waits_since == -math.inf
