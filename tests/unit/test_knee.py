"""How the size of a micro-batch is found by itself."""

import pytest

from stream_infer.engine.knee import NoMemory, TooMany, find_knee


def never() -> bool:
    return False


def model(overhead: float, per_item: float, fits: int = 1 << 20):
    def seconds(size: int) -> float:
        if size > fits:
            raise NoMemory
        return overhead + per_item * size

    return seconds


def knee(measure, most=1024, longest_s=60.0, is_over=never):
    return find_knee(measure, most, longest_s, is_over)


def test_a_model_that_gains_nothing_from_batches_gets_one_item_at_a_time() -> None:
    found = knee(model(0.0, 0.01))

    assert found.size == 1
    assert [one.size for one in found.measured] == [1, 2, 4], "and it is not tried for long"


def test_one_that_calls_cost_much_gets_so_many_that_this_is_a_twentieth() -> None:
    assert knee(model(0.032, 0.001)).size == 512


def test_what_is_barely_faster_is_not_worth_twice_the_wait() -> None:
    rates = {1: 10.0, 2: 20.0, 4: 39.0, 8: 40.0, 16: 40.5, 32: 41.0}
    assert knee(lambda size: size / rates[size], most=32).size == 4


def test_memory_is_the_limit_where_it_ends_first() -> None:
    found = knee(model(1.0, 0.001, fits=40))

    assert (found.size, found.why) == (32, "64 do not fit into memory")


def test_a_single_item_that_does_not_fit_is_an_error() -> None:
    with pytest.raises(NoMemory):
        knee(model(1.0, 0.001, fits=0))


def test_a_size_that_cannot_be_called_says_why_there_is_none_larger() -> None:
    def seconds(size: int) -> float:
        if size > 8:
            raise TooMany("are refused")
        return 1.0

    found = knee(seconds)

    assert (found.size, found.why) == (8, "16 are refused")


def test_no_call_is_made_that_might_take_too_long() -> None:
    found = knee(model(1.0, 0.1), longest_s=5.0)

    assert found.measured[-1].size == 16
    assert "5 s" in found.why


def test_a_slow_model_is_not_searched_for_ever() -> None:
    calls = iter([False, False, True])

    assert knee(model(1.0, 0.001), is_over=lambda: next(calls)).size == 4


def test_one_bad_measure_does_not_end_the_search() -> None:
    seconds = model(0.032, 0.001)
    assert knee(lambda size: 2 * seconds(size) if size == 8 else seconds(size)).size == 512


def test_it_says_what_was_seen() -> None:
    assert str(knee(model(0.0, 0.01), most=2)) == "1 item a call (1: 100/s, 2: 100/s; 2 are the most)"
