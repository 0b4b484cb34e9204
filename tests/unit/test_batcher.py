"""The batcher: what closes a micro-batch, and what never shares one."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_infer.engine.batcher import Batcher
from stream_infer.engine.cost import bytes_of, length_of_field
from stream_infer.engine.policy import EnginePolicy
from stream_infer.engine.task import AlikeTasks, Scope, Task, size_of
from stream_infer.records import JSON, Payload


def task(token, size=1, scope=None):
    return Task(token, Payload(b"x" * size), None if scope is None else Scope(scope))


def tokens(batches):
    return [[each.token for each in batch] for batch in batches]


def batcher(**changes):
    return Batcher(EnginePolicy(**{"max_batch_size": 3, "max_batch_bytes": 10, "max_wait_s": 0.5, **changes}))


def test_a_full_micro_batch_is_closed_at_once():
    assert tokens(batcher().add(map(task, range(7)), now=0.0)) == [[0, 1, 2], [3, 4, 5]]


def test_what_is_left_over_waits_for_its_time():
    waiting = batcher()
    waiting.add(map(task, range(4)), now=10.0)
    assert waiting.next_deadline() == 10.5
    assert waiting.close_due(10.4) is None
    assert tokens([waiting.close_due(10.5)]) == [[3]]
    assert not waiting
    assert waiting.next_deadline() == math.inf


def test_the_wait_counts_from_the_first_item_of_the_micro_batch():
    waiting = batcher()
    waiting.add([task(1)], now=10.0)
    waiting.add([task(2)], now=10.4)
    assert tokens([waiting.close_due(10.5)]) == [[1, 2]]


def test_a_micro_batch_never_exceeds_its_bytes():
    assert tokens(batcher().add([task(1, 6), task(2, 6), task(3, 4)], now=0.0)) == [[1], [2, 3]]


def test_an_item_beyond_the_bytes_goes_alone():
    waiting = batcher()
    assert tokens(waiting.add([task(1, 2), task(2, 99), task(3, 2)], now=0.0)) == [[1], [2]]
    assert tokens(waiting.close_all()) == [[3]]


def test_items_that_are_about_as_long_share_a_micro_batch():
    waiting = batcher(max_batch_bytes=10_000, length=bytes_of)
    given = [task(1, 40), task(2, 900), task(3, 50), task(4, 600), task(5, 60), task(6, 1000)]
    assert tokens(waiting.add(given, now=0.0)) == [[1, 3, 5], [2, 4, 6]]


def test_the_longest_item_times_how_many_there_are_is_bounded():
    waiting = batcher(max_batch_size=9, max_batch_bytes=10_000, length=bytes_of, max_batch_cost=100)
    assert tokens(waiting.add([task(1, 32), task(2, 40), task(3, 50), task(4, 33)], now=0.0)) == [[1, 2], [3, 4]]


def test_an_item_beyond_the_cost_goes_alone():
    waiting = batcher(max_batch_bytes=10_000, length=bytes_of, max_batch_cost=100)
    assert tokens(waiting.add([task(1, 70), task(2, 500), task(3, 60)], now=0.0)) == [[1], [2], [3]]


@pytest.mark.parametrize(
    ("data", "length"),
    [
        (b'{"text": "abc"}', 3),
        (b'{"text": ["a", "b"]}', 2),
        (b'{"text": ""}', 1),
        (b'{"text": 7}', 11),
        (b'{"other": 1}', 12),
        (b"[1, 2]", 6),
        (b"no JSON", 7),
        (b"", 1),
    ],
)
def test_the_length_of_an_item_is_that_of_its_field_or_else_its_bytes(data, length):
    assert length_of_field("text")(Payload(data)) == length


def test_scopes_never_share_a_micro_batch():
    waiting = batcher(max_batch_size=2)
    given = [task(1, scope="a"), task(2, scope="b"), task(3, scope="a"), task(4), task(5, scope="b")]
    assert tokens(waiting.add(given, now=0.0)) == [[1, 3], [2, 5]]
    assert tokens(waiting.close_all()) == [[4]]


def test_an_idle_model_gets_the_micro_batch_that_was_opened_first():
    waiting = batcher()
    waiting.add([task(1, scope="a"), task(2, scope="b"), task(3, scope="a")], now=0.0)
    assert [each.token for each in waiting.close_oldest()] == [1, 3]
    assert [each.token for each in waiting.close_oldest()] == [2]
    assert waiting.close_oldest() is None


def test_a_suspect_goes_alone_and_at_once():
    waiting = batcher()
    suspect = Task(2, Payload(b""), suspect=True)
    assert tokens(waiting.add([task(1), suspect, task(3)], now=0.0)) == [[2]]
    assert tokens(waiting.close_all()) == [[1, 3]]


def test_a_hook_goes_alone_and_at_once_since_it_is_no_item():
    waiting = batcher()
    hook = Task(2, Payload(b"{}"), hook="job")
    assert tokens(waiting.add([task(1), hook, task(3)], now=0.0)) == [[2]]
    assert tokens(waiting.close_all()) == [[1, 3]]


def test_what_is_withdrawn_takes_no_room():
    waiting = batcher()
    waiting.add([task(1, 6), task(2, 3), task(3, 1, scope="a")], now=0.0)
    assert [each.token for each in waiting.withdraw({1, 3, 99})] == [1, 3]
    assert tokens(waiting.add([task(4, 6)], now=0.0)) == []
    assert [each.token for each in waiting.withdraw(None)] == [2, 4]
    assert not waiting


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["alike", "texts", "one by one"]), st.lists(st.integers(1, 14), min_size=1, max_size=9)
        ),
        max_size=6,
    ),
    st.integers(1, 4),
)
def test_tasks_in_whichever_form_are_batched_each_once_in_order_within_the_bounds(groups, max_size):
    """A size above 10 is beyond the bytes."""
    filling, closed, sizes = batcher(max_batch_size=max_size), [], {}
    for form, group in groups:
        first = len(sizes)
        sizes |= dict(enumerate(group, first))
        content_type = "text/plain" if form == "texts" else JSON
        alike = AlikeTasks([*range(first, len(sizes))], [b"x" * size for size in group], content_type)
        closed += filling.add(list(alike), now=0.0) if form == "one by one" else filling.add_alike(alike, now=0.0)
        assert (filling.next_deadline() < math.inf) == bool(filling)
    while (batch := filling.close_due(now=0.5)) is not None:
        closed.append(batch)

    assert not filling
    assert [token for batch in tokens(closed) for token in batch] == list(sizes)
    for batch in closed:
        assert 1 <= len(batch) <= max_size
        assert size_of(batch) <= 10 or len(batch) == 1
