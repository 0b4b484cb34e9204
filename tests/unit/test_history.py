"""How fast a job has gone, from the rows of its status."""

from sys import getsizeof

import pytest

from stream_infer.gateway.history import MOST_POINTS, History, Point, seen
from stream_infer.jobs.counts import Counts
from stream_infer.jobs.events import Counted, Event, Exhausted, Reopened, Submitted
from stream_infer.jobs.lifecycle import fold
from stream_infer.jobs.status import JobStatus, State


def row(at: float, ended: int, **fields: object) -> JobStatus:
    """As the tracker has it when it has just taken the rate."""
    counts = Counts(enqueued=1000, succeeded=ended)
    status = JobStatus(job_id="j", api="a", submitted_at=100.0, counts=counts, rate_since=at, rate_ended=ended)
    return status.model_copy(update=fields)


def history_of(*rows: JobStatus) -> History:
    history: History | None = None
    for one in rows:
        history = seen(history, one)
    assert history is not None
    return history


def test_a_stretch_has_the_rate_of_what_ended_in_it() -> None:
    history = history_of(row(100.0, 0), row(102.0, 20), row(104.0, 80))

    assert [tuple(one) for one in history.stretches()] == [(100.0, 0, 0.0), (102.0, 20, 10.0), (104.0, 80, 30.0)]


def test_a_row_that_says_nothing_new_adds_nothing() -> None:
    assert history_of(row(102.0, 20), row(102.0, 20), row(101.0, 5)) == history_of(row(102.0, 20))


def test_what_was_not_seen_is_one_long_stretch_from_the_submission() -> None:
    """A gateway that starts late finds the last row alone, once the topic is compacted."""
    assert history_of(row(150.0, 500)).points == (Point(100.0, 0), Point(150.0, 500))


def test_what_ended_after_the_last_rate_counts_up_to_when_the_job_was_drained() -> None:
    drained = row(
        104.0, 80, state=State.FINALIZING, counts=Counts(enqueued=90, succeeded=90), times={"finalizing": 106.0}
    )

    assert history_of(row(104.0, 80), drained).points[-1] == Point(106.0, 90)
    assert history_of(row(104.0, 80, times={"finalizing": 106.0})).points[-1] == Point(104.0, 80)


def test_a_job_of_hours_has_no_more_points_than_one_of_a_minute_and_ends_where_it_is() -> None:
    history = history_of(*(row(100.0 + second, second * 3) for second in range(10_000)))

    assert 60 <= len(history.points) <= MOST_POINTS
    assert getsizeof(history.pairs) < 2500, "a gateway keeps one of every job that it remembers"
    assert history.points[0] == Point(100.0, 0)
    assert history.points[-1] == Point(100.0 + 9_999, 9_999 * 3)
    assert {round(one.rate, 6) for one in history.stretches()} == {0.0, 3.0}
    gaps = [later.at - earlier.at for earlier, later in zip(history.points, history.points[1:], strict=False)]
    assert all(gap >= history.step for gap in gaps[:-1])


def test_the_last_point_moves_on_until_it_is_a_step_away() -> None:
    history = history_of(row(101.0, 1), row(101.3, 2), row(101.9, 3), row(102.4, 4))

    assert history.points == (Point(100.0, 0), Point(101.0, 1), Point(102.4, 4))


@pytest.mark.parametrize("reopened", [3, 10])
def test_another_run_begins_anew_with_what_it_runs_again(reopened: int) -> None:
    events: list[Event] = [
        Submitted(job_id="j", at=100.0, api="a"),
        Counted(job_id="j", at=100.0, delta=Counts(enqueued=10)),
        Exhausted(job_id="j", at=100.0),
        Counted(job_id="j", at=102.0, delta=Counts(rejected=10)),
    ]
    status, history = None, None
    for offset, event in enumerate(events):
        status = fold(status, event, offset)
        assert status is not None
        history = seen(history, status)
    assert history is not None
    assert history.points[-1] == Point(102.0, 10)

    status = status.model_copy(update={"state": State.COMPLETED_WITH_FAILURES})  # type: ignore[union-attr]
    later: list[Event] = [
        Reopened(job_id="j", at=200.0, generation=2),
        Counted(job_id="j", at=200.0, generation=2, delta=Counts(rejected=-reopened, reopened=reopened)),
        Counted(job_id="j", at=202.0, generation=2, delta=Counts(succeeded=reopened)),
    ]
    for offset, event in enumerate(later, len(events)):
        status = fold(status, event, offset)
        assert status is not None
        history = seen(history, status)

    assert history.generation == 2
    assert [tuple(one) for one in history.stretches()] == [(200.0, 10 - reopened, 0.0), (202.0, 10, reopened / 2)]
