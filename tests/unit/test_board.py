import asyncio
import time
from collections.abc import Iterator

import pytest

from stream_infer.gateway.board import JobBoard
from stream_infer.jobs.spec import Job, encode_job
from stream_infer.jobs.status import JobStatus, State, encode_status
from stream_infer.records import Message
from stream_infer.settings import KafkaSettings

NOW = time.time()
ALL = ("all",)


@pytest.fixture
def board() -> Iterator[JobBoard]:
    loop = asyncio.new_event_loop()
    yield JobBoard(KafkaSettings(), loop, retention_s=100_000.0)
    loop.close()


def job(job_id: str, age: float = 0.0, api: str = "a") -> Job:
    return Job(job_id=job_id, api=api, submitted_at=NOW - age)


def submit(board: JobBoard, *jobs: Job) -> None:
    for one in jobs:
        board._jobs._see(Message("jobs", 0, 0, one.job_id.encode(), encode_job(one), (), 0))


def newest_first(board: JobBoard) -> list[str]:
    return [known.job.job_id for _, known in board.walk(ALL, is_up=False)]


def behind(board: JobBoard, one: Job) -> list[str]:
    return [known.job.job_id for known in board.behind(one)]


def test_the_newest_comes_first_and_those_of_one_moment_by_their_id(board: JobBoard) -> None:
    submit(board, job("old", 5), job("z", 1), job("new"), job("b", 1))

    assert newest_first(board) == ["new", "z", "b", "old"]


def test_what_comes_and_goes_after_a_list_is_in_the_next_one(board: JobBoard) -> None:
    submit(board, job("one", 5))
    assert newest_first(board) == ["one"]

    submit(board, job("two"))
    assert newest_first(board) == ["two", "one"]

    board._jobs._see(Message("jobs", 0, 0, b"one", None, (), 0))
    assert newest_first(board) == ["two"]


def test_behind_a_job_come_the_older_ones_also_where_it_is_gone_itself(board: JobBoard) -> None:
    first, middle, last = job("first"), job("middle", 1), job("last", 2)
    submit(board, first, last)

    assert behind(board, first) == ["last"]
    assert behind(board, middle) == ["last"]
    assert behind(board, last) == []


def test_a_row_is_shown_as_it_stands_and_before_there_is_one_as_just_submitted(board: JobBoard) -> None:
    submit(board, job("j", 5), job("k"))
    row = JobStatus(job_id="j", api="a", state=State.RUNNING)
    board._statuses._see(Message("status", 0, 0, b"j", encode_status(row), (), 0))

    assert [known.status.state for _, known in board.walk(ALL)] == [State.RUNNING, State.VALIDATING]


def test_a_job_that_the_tracker_has_forgotten_is_not_listed(board: JobBoard) -> None:
    submit(board, job("j"), job("ancient", 200_000.0))

    assert newest_first(board) == ["j"]


def test_it_knows_whether_an_api_had_jobs(board: JobBoard) -> None:
    submit(board, job("j", api="a"))

    assert board.has_job_of("a")
    assert not board.has_job_of("b")


def see_row(board: JobBoard, job_id: str, **fields: object) -> None:
    row = JobStatus(job_id=job_id, api="a").model_copy(update=fields)
    board._statuses._see(Message("status", 0, 0, job_id.encode(), encode_status(row), (), 0))


def test_followers_are_told_once_of_what_has_changed_since_they_looked(board: JobBoard) -> None:
    async def taken() -> list[list[str]]:
        with board.followers.following() as of_all, board.followers.following("k") as of_one:
            submit(board, job("j"), job("k"))
            see_row(board, "j")
            see_row(board, "k")
            return [await of_all.take(5), await of_one.take(5), await of_all.take(0), await of_one.take(0)]

    assert board._loop.run_until_complete(taken()) == [["j", "k"], ["k"], [], []]
    assert not board.followers._following


def test_a_jobs_history_is_forgotten_with_its_row(board: JobBoard) -> None:
    see_row(board, "j", rate_since=5.0, rate_ended=9)
    history = board.history("j")
    assert history is not None
    assert history.points[-1] == (5.0, 9)

    board._statuses._see(Message("status", 0, 0, b"j", None, (), 0))
    assert board.history("j") is None
