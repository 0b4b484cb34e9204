"""The small decisions of a batch: its overrides, its order, its failures, its places."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_infer.batch.judgement import Alarm, Attempts
from stream_infer.batch.order import Line, Order, in_stretches
from stream_infer.batch.overrides import overrides_of, value_of
from stream_infer.batch.run_folder import Places, differences, read_config, write_config
from stream_infer.errors import Stage, UsageError
from stream_infer.records import Failure
from stream_infer.settings import BreakerSettings, RetrySettings

NO = Failure(Stage.PREDICT, "ValueError", "no")
LATER = Failure(Stage.PREDICT, "RetryableError", "later", retryable=True)


def test_overrides_are_the_predictors_config_unless_they_name_a_section():
    assert overrides_of(["threshold=0.5", "model.name=lite0", "batching.max_batch_size=8", "config.retry.times=3"]) == {
        "predictor.config.threshold": 0.5,
        "predictor.config.model.name": "lite0",
        "batching.max_batch_size": 8,
        "predictor.config.retry.times": 3,
    }
    assert overrides_of(["batching=off"]) == {"predictor.config.batching": "off"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.5", 0.5),
        ("1e-3", 0.001),
        ("007", "007"),
        ("true", True),
        ("False", False),
        ("None", None),
        ("no", "no"),
        ("2026-01-02", "2026-01-02"),
        ('"7"', "7"),
        ("[a, b]", ["a", "b"]),
        ("{a: 1}", {"a": 1}),
        ("s3://bucket/net.pt", "s3://bucket/net.pt"),
        ("a=b", "a=b"),
        ("", ""),
    ],
)
def test_a_value_is_what_it_looks_like(text, value):
    assert value_of(text) == value


@pytest.mark.parametrize("pair", ["threshold", "=1", "a..b=1", ".a=1", "a.=1"])
def test_what_is_no_override_is_refused(pair):
    with pytest.raises(UsageError, match="is not KEY=VALUE"):
        overrides_of([pair])


def test_a_key_that_is_given_twice_is_refused():
    with pytest.raises(UsageError, match="a is given twice"):
        overrides_of(["a=1", "config.a=2"])


@given(st.permutations(range(12)))
def test_lines_come_out_in_order_and_as_soon_as_they_can(arrivals):
    order, out, arrived = Order(), [], set()
    for ordinal in arrivals:
        order.put(ordinal, Line(is_error=False, data=b"%d" % ordinal))
        arrived.add(ordinal)
        out += [int(line.data) for line in order.take()]
        first_missing = next(number for number in range(13) if number not in arrived)
        assert out == list(range(first_missing))
        assert order.written == len(out)
    assert order.held_bytes == 0


def test_lines_of_one_file_are_written_together():
    lines = [Line(False, b"a"), Line(False, b"b"), Line(True, b"c"), Line(False, b"d")]

    assert in_stretches(lines) == [(False, [b"a", b"b"]), (True, [b"c"]), (False, [b"d"])]


def test_only_what_is_retryable_is_tried_again():
    attempts = Attempts.of(RetrySettings(max_attempts=4, delays=[5, 30], max_wait=60))

    assert attempts.delay_after(1, NO) is None
    assert [attempts.delay_after(attempt, LATER) for attempt in (1, 2, 3, 4)] == [5, 30, 30, None]


@pytest.mark.parametrize(("wish", "waits"), [(None, 5), (1, 5), (20, 20), (1000, 60)])
def test_a_service_may_ask_for_more_time_up_to_a_limit(wish, waits):
    attempts = Attempts.of(RetrySettings(delays=[5], max_wait=60))
    failure = Failure(Stage.PREDICT, "RetryableError", "later", retryable=True, retry_after=wish)

    assert attempts.delay_after(1, failure) == waits


def test_the_alarm_rings_when_more_than_half_of_a_full_window_has_failed_in_the_predictor():
    alarm = Alarm(BreakerSettings(window=4))
    for failure in (NO, NO, None):
        alarm.note(failure)
    assert not alarm.rings
    alarm.note(None)
    assert not alarm.rings  # 2 of 4 is not more than half
    alarm.note(NO)
    assert not alarm.rings  # the first one has left the window: 2 of 4
    alarm.note(NO)
    assert not alarm.rings
    alarm.note(NO)
    assert alarm.rings
    assert str(alarm) == "3 of the last 4 files failed in the predictor"


def test_files_that_are_no_pictures_and_a_ratio_of_1_ring_no_alarm():
    undecodable, off = Alarm(BreakerSettings(window=2)), Alarm(BreakerSettings(window=2, max_ratio=1))
    for _ in range(3):
        undecodable.note(Failure(Stage.DECODE, "UndecodableItem", "no picture"))
        off.note(NO)

    assert not undecodable.rings
    assert not off.rings


@pytest.mark.parametrize("name", ["results.jsonl", "out.of.many.jsonl", "results", "results.txt"])
def test_everything_lies_beside_the_results(tmp_path, name):
    places = Places.beside(tmp_path / name)
    stem = name.removesuffix(".jsonl")

    assert places.results == tmp_path / name
    assert places.errors == tmp_path / f"{stem}.errors.jsonl"
    assert places.folder == tmp_path / f"{stem}.run"
    assert len({places.results, places.errors, places.folder}) == 3


def test_an_output_that_can_be_none_is_refused(tmp_path):
    with pytest.raises(UsageError, match="is a directory"):
        Places.beside(tmp_path)
    with pytest.raises(UsageError, match=r"name it results\.jsonl"):
        Places.beside(Path("results.parquet"))


def test_a_configuration_is_read_back_and_only_its_owner_may_read_it(tmp_path):
    path = tmp_path / "config.yaml"

    assert read_config(path) == {}
    write_config(path, {"predictor": {"config": {"name": "ü", "token": "x"}}})
    assert read_config(path) == {"predictor": {"config": {"name": "ü", "token": "x"}}}
    assert path.stat().st_mode & 0o077 == 0
    path.write_text("{")
    with pytest.raises(UsageError, match="cannot be read"):
        read_config(path)


def test_what_differs_is_said():
    before = {"target": "m.py:M", "config": {"a": 1, "b": {"c": 2}}}

    assert differences(before, before) == []
    assert differences(before, {"target": "m.py:M", "config": {"a": 2, "b": {}}}) == [
        "config.a was 1 and is 2",
        "config.b.c was 2 and is 'not set'",
    ]
