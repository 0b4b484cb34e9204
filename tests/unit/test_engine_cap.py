"""The cap on micro-batches after memory ran out: halved at once, grown back in steps."""

from hypothesis import given
from hypothesis import strategies as st

from stream_infer.engine.cap import BatchCap


def test_half_of_what_failed_holds_for_a_period_then_twice_as_much_with_each_further_one():
    cap = BatchCap(32, 60.0)
    assert cap.current(0.0) == 32
    cap.shrink(32, 100.0)
    cap.shrink(16, 101.0)
    assert [cap.current(101.0 + t) for t in (0, 59, 60, 119, 120, 10_000)] == [8, 8, 16, 16, 32, 32]


def test_a_large_micro_batch_that_was_on_its_way_already_raises_no_cap():
    cap = BatchCap(32, 60.0)
    cap.shrink(4, 0.0)
    cap.shrink(32, 1.0)
    assert cap.current(1.0) == 2


def test_what_has_grown_back_can_be_halved_again():
    cap = BatchCap(32, 60.0)
    cap.shrink(32, 0.0)
    cap.shrink(32, 60.0)
    assert (cap.current(60.0), cap.current(119.0), cap.current(120.0)) == (16, 16, 32)


def test_another_full_size_forgets_nothing_that_memory_has_taught():
    cap = BatchCap(64, 60.0)
    cap.refit(32)
    assert cap.current(0.0) == 32
    cap.shrink(32, 0.0)
    cap.refit(24)
    assert (cap.current(0.0), cap.current(60.0)) == (16, 24)


def test_an_item_that_does_not_fit_alone_leaves_only_half_of_its_first_micro_batch_in_doubt():
    cap = BatchCap(32, 60.0)
    for size in (32, 16, 8, 4, 2, 1):
        cap.shrink(size, 0.0)
    assert cap.current(0.0) == 1
    cap.pardon(32, 1.0)
    assert (cap.current(1.0), cap.current(61.0)) == (16, 32)


@given(
    full=st.integers(1, 1000),
    steps=st.lists(st.tuples(st.integers(1, 1000), st.floats(0, 500), st.booleans()), max_size=20),
)
def test_it_stays_between_one_and_all_and_never_falls_by_itself(full, steps):
    cap, now = BatchCap(full, 10.0), 0.0
    for size, wait, pardoned in steps:
        before = cap.current(now)
        if pardoned:
            cap.pardon(size, now)
            assert cap.current(now) >= before
        else:
            cap.shrink(size, now)
            assert cap.current(now) <= max(1, size // 2)
        after = cap.current(now)
        now += wait
        assert 1 <= after <= cap.current(now) <= full
    assert cap.current(now + 10.0 * 11) == full
