"""Whose checkpoints an intake forgets."""

import pytest

from stream_infer.intake.named import NamedJobs
from stream_infer.jobs.checkpoints import Checkpoint

BEFORE = 1000.0
OLD = Checkpoint(job_id="j", submitted_at=999.0)


def forgotten(named: NamedJobs, checkpoint: Checkpoint, *, has_status: bool = False) -> list[str]:
    return named.forgotten({"j": checkpoint}, lambda _: has_status, BEFORE)


@pytest.fixture
def named() -> NamedJobs:
    """Read to its end, where a tombstone of the job was the last."""
    named = NamedJobs()
    named.see("j", is_there=True)
    named.see("j", is_there=False)
    named.end()
    return named


def test_one_that_neither_topic_names_and_that_is_old_goes(named: NamedJobs) -> None:
    assert forgotten(named, OLD) == ["j"]


def test_none_goes_before_all_was_read() -> None:
    assert forgotten(NamedJobs(), OLD) == []


def test_one_that_either_topic_names_stays(named: NamedJobs) -> None:
    assert forgotten(named, OLD, has_status=True) == []
    named.see("j", is_there=True)
    assert forgotten(named, OLD) == []


@pytest.mark.parametrize(
    ("checkpoint", "goes"),
    [
        (Checkpoint(job_id="j", submitted_at=BEFORE), False),
        (Checkpoint(job_id="j", exhausted=True), True),  # an older version did not say when
        (Checkpoint(job_id="j"), False),
    ],
)
def test_one_that_is_not_old_stays(named: NamedJobs, checkpoint: Checkpoint, goes: bool) -> None:
    assert forgotten(named, checkpoint) == ["j"] * goes
