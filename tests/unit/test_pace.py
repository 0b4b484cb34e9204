"""How much a worker reads ahead, and when it commits."""

import pytest

from stream_infer.worker.pace import Pace, PacePolicy

POLICY = PacePolicy(batches_ahead=4, max_held=1000, max_held_bytes=5000, commit_interval=0.2)


@pytest.mark.parametrize(
    ("pending", "held", "held_bytes", "room"),
    [(0, 0, 0, 100), (40, 40, 0, 60), (100, 100, 0, 0), (0, 990, 0, 10), (0, 1000, 0, 0), (0, 5, 5000, 0)],
)
def test_room_is_what_the_tightest_bound_leaves(pending: int, held: int, held_bytes: int, room: int) -> None:
    assert Pace(POLICY).room(pending, held, held_bytes, batch_size=25) == room


def test_the_first_commit_is_due_at_once() -> None:
    assert Pace(POLICY).is_commit_due(10.0, idle=False, held=1)


def test_under_load_a_commit_is_due_once_an_interval() -> None:
    pace = Pace(POLICY)
    pace.committed(10.0)

    assert not pace.is_commit_due(10.1, idle=False, held=1)
    assert pace.is_commit_due(10.2, idle=False, held=1)


def test_an_idle_or_full_worker_commits_at_once() -> None:
    pace = Pace(POLICY)
    pace.committed(10.0)

    assert pace.is_commit_due(10.01, idle=True, held=1)
    assert pace.is_commit_due(10.01, idle=False, held=1000)


def test_after_an_abort_even_an_idle_worker_waits_longer_each_time() -> None:
    pace = Pace(POLICY)

    delays = [pace.aborted(10.0) for _ in range(7)]

    assert delays == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    assert not pace.is_commit_due(14.9, idle=True, held=1000)
    assert pace.is_commit_due(15.0, idle=True, held=1)


@pytest.mark.parametrize(
    ("partitions", "each"),
    [(0, (500, 2500)), (1, (500, 2500)), (4, (125, 625)), (3, (166, 833)), (9000, (1, 1))],
)
def test_what_waits_has_half_of_what_is_held_divided_among_its_partitions(
    partitions: int, each: tuple[int, int]
) -> None:
    assert POLICY.may_wait(partitions) == each
