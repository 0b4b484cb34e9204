"""When a partition counts as stalled."""

from stream_infer.kafka.stalls import NOWHERE, StallWatch

P, Q = ("items", 0), ("items", 1)


def watch() -> StallWatch:
    return StallWatch(look_every_s=10, ask_every_s=10, stalled_after_s=30)


def test_a_partition_that_stands_before_its_end_for_too_long_has_stalled() -> None:
    stalls = watch()
    for now in (0, 10, 20, 30):
        assert stalls.look({P: 5, Q: 7}, {P: 9, Q: 7}.get, now) == []
    assert stalls.look({P: 5, Q: 7}, {P: 9, Q: 7}.get, 40) == [P]


def test_one_that_moves_or_is_at_its_end_has_not() -> None:
    stalls = watch()
    for now in range(0, 100, 10):
        assert stalls.look({P: now, Q: 7}, {P: 1000, Q: 7}.get, now) == []


def test_one_that_was_quiet_for_long_has_not_when_a_record_has_just_come() -> None:
    stalls = watch()
    for now in range(0, 100, 10):
        assert stalls.look({P: 5}, {P: 5}.get, now) == []
    for now in (100, 110, 120):
        assert stalls.look({P: 5}, {P: 6}.get, now) == []
    assert stalls.look({P: 6}, {P: 6}.get, 130) == []


def test_one_that_never_found_its_place_has_stalled_even_where_there_is_nothing_to_read() -> None:
    stalls = watch()
    for now in (0, 10):
        assert stalls.look({P: NOWHERE}, {P: 0}.get, now) == []
    assert stalls.look({P: NOWHERE}, {P: 0}.get, 40) == [P]


def test_while_the_broker_does_not_answer_nobody_is_blamed_and_the_time_begins_anew() -> None:
    stalls = watch()
    stalls.look({P: 5}, {P: 9}.get, 0)
    stalls.look({P: 5}, {P: 9}.get, 10)
    assert stalls.look({P: 5}, {}.get, 40) == []
    for now in (50, 79):
        assert stalls.look({P: 5}, {P: 9}.get, now) == []
    assert stalls.look({P: 5}, {P: 9}.get, 80) == [P]


def test_where_one_broker_is_away_the_others_are_asked_at_the_next_look() -> None:
    stalls = watch()
    for now in (0, 10, 20):
        assert stalls.look({P: 5, Q: 5}, {P: 9, Q: 9}.get, now) == []
    assert stalls.look({P: 5, Q: 5}, {Q: 9}.get, 40) == []
    assert stalls.look({P: 5, Q: 5}, {Q: 9}.get, 50) == [Q]


def test_what_was_not_read_for_a_while_on_purpose_begins_anew() -> None:
    stalls = watch()
    stalls.look({P: 5}, {P: 9}.get, 0)
    stalls.look({P: 5}, {P: 9}.get, 10)
    stalls.look({}, {P: 9}.get, 20)
    for now in (30, 40, 50, 60):
        assert stalls.look({P: 5}, {P: 9}.get, now) == []


def test_the_broker_is_asked_only_about_what_stands_still() -> None:
    stalls, asked = watch(), []
    for now in range(0, 40, 10):
        stalls.look({P: now, Q: 7}, lambda partition: asked.append(partition) or 7, now)
    assert asked == [Q] * 3


def test_it_is_asked_no_more_often_than_it_has_to_be() -> None:
    stalls, asked = StallWatch(look_every_s=5, ask_every_s=10, stalled_after_s=30), []
    for now in range(0, 40, 5):
        stalls.look({P: 7}, lambda partition: asked.append(partition) or 7, now)
    assert len(asked) == 3


def test_looks_are_no_more_frequent_than_asked_for() -> None:
    stalls = watch()
    assert stalls.is_due(5)
    stalls.look({}, {}.get, 5)
    assert not stalls.is_due(14)
    assert stalls.is_due(15)
