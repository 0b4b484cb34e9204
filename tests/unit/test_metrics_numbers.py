"""Distributions, ages of lag, exceptions as labels: the arithmetic below the metrics."""

import math

import pytest

from stream_infer.telemetry.distribution import Distribution
from stream_infer.telemetry.exceptions import OTHER, as_label
from stream_infer.telemetry.lag_age import LagAge


def test_a_value_counts_in_its_bucket_and_in_all_above_it_and_one_at_a_bound_below_that():
    distribution = Distribution((1.0, 10.0))
    for value in (0.5, 1.0, 1.5, 10.0, 99.0):
        distribution.note(value)

    assert distribution.buckets() == [(1.0, 2), (10.0, 4), (math.inf, 5)]
    assert (distribution.count, distribution.total) == (5, 112.0)


def test_nothing_waits_where_the_group_is_at_the_end():
    age = LagAge()

    assert [age.note(10, 10, now) for now in (0.0, 5.0)] == [0.0, 0.0]


def test_a_record_came_at_the_look_before_it_was_seen_at_the_earliest():
    age = LagAge()
    age.note(10, 10, 100.0)

    assert age.note(10, 12, 105.0) == 5.0  # it may have come right behind the look at 100
    assert age.note(10, 12, 125.0) == 25.0
    assert age.note(11, 12, 130.0) == 30.0  # the second one came with it
    assert age.note(12, 12, 135.0) == 0.0


def test_what_was_there_at_the_first_look_is_as_old_as_that():
    age = LagAge()

    assert age.note(0, 500, 100.0) == 0.0
    assert age.note(0, 500, 160.0) == 60.0


def test_the_next_record_is_as_old_as_the_look_that_saw_it_first():
    age = LagAge()
    age.note(0, 10, 0.0)
    age.note(0, 20, 10.0)
    age.note(0, 30, 20.0)

    assert age.note(10, 30, 30.0) == 30.0  # the one at 10 came between the looks at 0 and at 10
    assert age.note(20, 30, 30.0) == 20.0
    assert age.note(30, 30, 30.0) == 0.0


def test_an_end_that_moved_back_leaves_nothing_behind_that_would_age_for_ever():
    age = LagAge()
    age.note(0, 1000, 0.0)
    age.note(0, 2000, 10.0)

    assert age.note(0, 0, 20.0) == 0.0  # the topic was made anew
    assert age.note(0, 3, 30.0) == 10.0
    assert age.note(3, 3, 40.0) == 0.0
    assert age.note(3, 3, 4000.0) == 0.0


def test_a_broker_that_knows_a_little_less_for_a_moment_makes_no_record_younger():
    age = LagAge()
    age.note(0, 10, 0.0)

    assert age.note(0, 9, 50.0) == 50.0
    assert age.note(0, 10, 60.0) == 60.0
    assert age.note(9, 10, 60.0) <= 10.0


def test_a_long_backlog_takes_no_more_memory_and_its_first_record_stays_as_old_as_it_is():
    age = LagAge()
    for look in range(10_000):
        age.note(0, look + 1, float(look))

    assert len(age._marks) <= 513
    assert age.note(0, 10_000, 10_000.0) == 10_000.0


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("KeyError", "KeyError"),
        ("stream_infer.errors.UndecodableItem", "stream_infer.errors.UndecodableItem"),
        ("torch.OutOfMemoryError", "torch.OutOfMemoryError"),
        ("model.JobsOwnError", OTHER),
        ("torchlike.Error", OTHER),
        ("int", OTHER),
        ("", OTHER),
    ],
)
def test_an_exception_is_a_label_by_its_name_where_others_have_written_its_class(name, label):
    assert as_label(name) == label
