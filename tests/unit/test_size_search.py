"""The search for a batch size outlives the processes that it costs."""

from stream_infer.engine.policy import EnginePolicy
from stream_infer.engine.search import SizeSearch

POLICY = EnginePolicy(max_batch_size=64, finds_batch_size=True, call_timeout_s=40.0, load_timeout_s=100.0)


def test_nothing_is_searched_where_the_size_is_given():
    assert SizeSearch(EnginePolicy(max_batch_size=8)).limits() is None


def test_a_quarter_of_the_timeouts_is_what_it_may_take():
    limits = SizeSearch(POLICY).limits()

    assert (limits.most, limits.longest_s, limits.budget_s) == (64, 10.0, 25.0)


def test_what_was_found_is_not_searched_again():
    search = SizeSearch(POLICY)
    search.limits()
    search.finds(16)

    assert (search.found, search.limits()) == (16, None)
    search.finds(None)
    assert search.found == 16, "a child that did not search says nothing of it"


def test_after_a_death_with_a_size_the_next_process_tries_half_of_it_at_most():
    search = SizeSearch(POLICY)
    search.limits()
    for size in (1, 2, 4, 8):
        search.tries(size)

    assert search.dies() == 8
    assert search.limits().most == 4


def test_a_death_before_any_size_or_with_a_single_item_is_none_of_the_search():
    search = SizeSearch(POLICY)
    search.limits()
    assert search.dies() == 0
    search.limits()
    search.tries(1)
    assert search.dies() == 0
    assert search.limits().most == 64


def test_a_size_is_to_blame_for_the_process_that_tried_it_alone():
    search = SizeSearch(POLICY)
    search.limits()
    search.tries(32)
    search.dies()
    search.limits()

    assert search.dies() == 0
