"""Lists of jobs in their orders, while jobs come and go; and what a page of one looks at."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_infer.gateway.board import JobBoard
from stream_infer.gateway.job_lists import JobLists, Place
from stream_infer.gateway.openai.files import OpenAiFilesResource
from stream_infer.gateway.openai.owned import Owned
from stream_infer.gateway.run import _lists_of
from stream_infer.gateway.sagemaker.jobs import TransformJobs
from stream_infer.gateway.sagemaker.lists import ListTransformJobs
from stream_infer.gateway.services import Services
from stream_infer.gateway.validation import validate
from stream_infer.jobs.batches import Batch, answers_key
from stream_infer.jobs.counts import Counts
from stream_infer.jobs.spec import Job, encode_job
from stream_infer.jobs.status import JobStatus, State, encode_status
from stream_infer.pool import DaemonPool
from stream_infer.records import Message
from stream_infer.settings import KafkaSettings, Settings
from stream_infer.topics import Topics
from tests.support.memory_store import MemoryStore

T = TypeVar("T")
NOW = time.time()
ONE = ("one",)
MANY = 400
NOTHING: Any = None


@given(st.lists(st.tuples(st.integers(0, 60), st.one_of(st.none(), st.integers(0, 5)), st.booleans()), max_size=300))
def test_a_list_is_sorted_whatever_comes_and_goes(changes: list[tuple[int, int | None, bool]]) -> None:
    lists, there = JobLists(), dict[str, Place]()
    for number, value, is_looked_at in changes:
        name = f"j{number:02}"
        there.pop(name, None)
        if value is not None:
            there[name] = (float(value), name)
        placed = {ONE: there[name]} if name in there else {}
        lists.put(name, lambda placed=placed: placed)
        if is_looked_at:
            assert list(lists.walk(ONE)) == sorted(there.values())
    lists.settle(ONE)
    up = sorted(there.values())
    assert list(lists.walk(ONE, is_up=False)) == up[::-1]
    for after in [*up[::7], (2.0, "j30")]:
        assert list(lists.walk(ONE, after)) == [place for place in up if place > after]
        assert list(lists.walk(ONE, after, is_up=False)) == [place for place in up[::-1] if place < after]
    assert bool(lists._orders) == bool(there), "a list that nothing stands in is kept"


def test_what_changes_while_a_list_is_walked_shows_nothing_twice() -> None:
    lists = JobLists()

    def put(number: int) -> None:
        lists.put(f"{number}", lambda: {ONE: (float(number), f"{number}")})

    for number in range(0, 400, 2):
        put(number)
    seen = []
    for place in lists.walk(ONE, is_up=False):
        seen.append(place[0])
        put(int(place[0]) + 1)
        put(1000 + len(seen))
    assert seen == [float(number) for number in range(398, -1, -2)]


# What a page looks at.


@pytest.fixture(scope="module")
def services() -> Iterator[Services]:
    loop, pool, store = asyncio.new_event_loop(), DaemonPool(1, "blocking"), MemoryStore()
    board = JobBoard(KafkaSettings(), loop, 1000.0, _lists_of)

    async def caught_up() -> None:
        """Without Kafka all is seen that there is."""

    board.catch_up = caught_up
    services = Services(Settings(), Topics("t"), store, board, *[NOTHING] * 4, pool, "cluster")
    for number in range(MANY):
        plain = Job(job_id=f"plain-{number}", api="a", submitted_at=NOW - number)
        transform = Job(job_id=f"t{number:04}", api="a", submitted_at=NOW - number, words={"ModelName": "a"})
        batches = [batch_job(number, caller) for caller in ("mine", "others")]
        for job in (plain, transform, *batches):
            board._jobs._see(Message("jobs", 0, 0, job.job_id.encode(), encode_job(job), (), 0))
            state = State.SUCCEEDED if number else State.RUNNING
            counts = Counts(enqueued=1, succeeded=1, written=1, sunk=1)
            row = JobStatus(job_id=job.job_id, api="a", state=state, counts=counts, times={state.value: NOW - number})
            board._statuses._see(Message("status", 0, 0, job.job_id.encode(), encode_status(row), (), 0))
            store.put(answers_key("a", job.job_id, "output"), b"1")
    yield services
    pool.close(0.0)
    loop.close()


def batch_id(number: int, caller: str) -> str:
    return f"batch_{int(NOW) - number:08x}{'1' if caller == 'mine' else '2':0>16}"


def batch_job(number: int, caller: str) -> Job:
    batch = Batch(
        caller=caller,
        input_file_id=f"file-{number % 100}-{caller}",
        endpoint="/v1/embeddings",
        completion_window="24h",
        expires_at=NOW,
        requests=1,
    )
    return Job(job_id=batch_id(number, caller), api="a", submitted_at=NOW - number, batch=batch)


def looked_at(services: Services, monkeypatch: pytest.MonkeyPatch, act: Callable[[], T]) -> tuple[T, int]:
    """What `act` answers, and of how many jobs it has looked at the row."""
    looked, statuses = [], services.board._statuses
    monkeypatch.setattr(services.board, "_statuses", Watched(statuses, looked))
    try:
        return act(), len(looked)
    finally:
        monkeypatch.setattr(services.board, "_statuses", statuses)


class Watched:
    def __init__(self, statuses: Any, looked: list[str]) -> None:
        self._statuses = statuses
        self._looked = looked

    def get(self, job_id: str) -> Any:
        self._looked.append(job_id)
        return self._statuses.get(job_id)


def run(services: Services, asked: Coroutine[Any, Any, T]) -> T:
    return services.board._loop.run_until_complete(asked)


@pytest.mark.parametrize(
    ("asked", "first", "most"),
    [
        ({}, "t0000", 11),
        ({"SortOrder": "Ascending"}, "t0399", 11),
        ({"SortBy": "Name"}, "t0399", 11),
        ({"SortBy": "Status", "SortOrder": "Ascending"}, "t0001", 11),
        ({"MaxResults": 100}, "t0000", 101),
        ({"CreationTimeBefore": NOW - 150}, "t0151", 11),
        ({"CreationTimeAfter": NOW - 3}, "t0000", 4),
        ({"CreationTimeAfter": NOW - 150, "SortOrder": "Ascending"}, "t0149", 11),
        ({"CreationTimeBefore": NOW - 397, "SortOrder": "Ascending"}, "t0399", 3),
        ({"StatusEquals": "InProgress", "SortBy": "Status"}, "t0000", MANY),
    ],
)
def test_a_page_of_transform_jobs_costs_what_is_on_it(
    services: Services, monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any], first: str, most: int
) -> None:
    jobs = TransformJobs(services)
    page, looked = looked_at(
        services, monkeypatch, lambda: run(services, jobs.page(validate(ListTransformJobs, asked)))
    )
    assert page.entries[0].job.job_id == first
    assert looked <= most
    if page.token is not None:
        again = validate(ListTransformJobs, asked | {"NextToken": page.token})
        following, looked = looked_at(services, monkeypatch, lambda: run(services, jobs.page(again)))
        assert looked <= most
        assert not {one.job.job_id for one in page.entries} & {one.job.job_id for one in following.entries}


def test_a_page_of_batches_and_the_readers_of_a_file_cost_what_they_are(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    owned = Owned(services)

    def newest() -> list[str]:
        walk = owned.batches("mine", batch_id(99, "mine"))
        return [next(walk).job.job_id for _ in range(20)]

    ids, looked = looked_at(services, monkeypatch, newest)
    assert (ids, looked) == ([batch_id(number, "mine") for number in range(100, 120)], 20)

    # Four batches have read it, one of which has not ended.
    readers, looked = looked_at(services, monkeypatch, lambda: list(owned.readers("file-0-mine")))
    assert ([known.job.job_id for known in readers], looked) == ([batch_id(0, "mine")], 1)


@pytest.mark.parametrize(("order", "first"), [("desc", 1), ("asc", MANY - 1)])
def test_a_page_of_files_costs_what_is_on_it(
    services: Services, monkeypatch: pytest.MonkeyPatch, order: str, first: int
) -> None:
    files = OpenAiFilesResource(services, NOTHING)
    query = {"order": order}
    page, looked = looked_at(services, monkeypatch, lambda: files._page("mine", query, 20))
    assert page.data[0].id == f"file-{batch_id(first, 'mine')}-output"
    assert (len(page.data), page.has_more) == (20, True)
    assert looked == 21

    query["after"] = str(page.last_id)
    following, looked = looked_at(services, monkeypatch, lambda: files._page("mine", query, 20))
    step = 1 if order == "desc" else -1
    numbers = [first + step * number for number in range(20, 40)]
    assert [one.id for one in following.data] == [f"file-{batch_id(number, 'mine')}-output" for number in numbers]
    assert looked <= 24  # where the page before has ended, too
