"""What is said of jobs whose API nobody has defined."""

import pytest

from stream_infer.intake.unknown_apis import hindrances
from stream_infer.jobs.counts import Counts
from stream_infer.jobs.lifecycle import fold
from stream_infer.jobs.status import HinderedRole, JobStatus, State

WAITING = JobStatus(job_id="job-1", api="cats", generation=2)


def said_of(status: JobStatus, *apis: str) -> list[HinderedRole]:
    return [one.role for one in hindrances([status], apis, 5.0)]


def test_a_job_of_an_unknown_api_says_what_it_waits_for_and_what_to_do() -> None:
    [said] = hindrances([WAITING, WAITING.model_copy(update={"job_id": "job-2", "api": "dogs"})], ["dogs"], 5.0)

    assert (said.job_id, said.at, said.generation) == ("job-1", 5.0, 2)
    assert "there is no API 'cats'" in said.reason
    assert "deploy it again" in said.reason


def test_it_is_said_once_and_shows_until_the_role_goes_on() -> None:
    [said] = hindrances([WAITING], [], 5.0)
    told = fold(WAITING, said, 0)
    assert told is not None

    assert told.hindrance == said.reason
    assert said_of(told) == []


@pytest.mark.parametrize(
    ("exhausted", "counts", "role"),
    [
        (False, Counts(), HinderedRole.INTAKE),
        (False, Counts(enqueued=3), HinderedRole.INTAKE),
        (True, Counts(enqueued=3), HinderedRole.WORKER),
    ],
)
def test_it_is_said_for_the_role_that_takes_it_back_once_the_api_is_there(exhausted, counts, role) -> None:
    status = WAITING.model_copy(update={"exhausted": exhausted, "counts": counts})

    assert said_of(status) == [role]
    assert said_of(status, "cats") == []


@pytest.mark.parametrize(
    "change",
    [
        {"state": State.SUCCEEDED},
        {"exhausted": True, "counts": Counts(enqueued=3, succeeded=3)},
    ],
)
def test_nothing_is_said_where_nothing_is_left_to_publish_or_to_predict(change) -> None:
    assert said_of(WAITING.model_copy(update=change)) == []
