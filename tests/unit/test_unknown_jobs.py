"""Items whose job nobody knows yet."""

from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

from stream_infer.errors import ServiceUnavailable
from stream_infer.worker.unknown_jobs import UnknownJobs


class Views:
    """Of jobs; the test says when they have caught up."""

    def __init__(self) -> None:
        self.asked: list[Future[None]] = []

    def catch_up(self) -> Future[None]:
        self.asked.append(Future())
        return self.asked[-1]


def unknown(held: set[int]) -> tuple[Any, Views]:
    views: Any = Views()
    ledger: Any = SimpleNamespace(get=lambda token: token if token in held else None)
    return UnknownJobs(views, ledger), views


def entries(*tokens: int) -> list[Any]:
    return [SimpleNamespace(token=token) for token in tokens]


def tokens(taken: list[Any]) -> list[int]:
    return [entry.token for entry in taken]


def test_items_wait_until_the_views_have_read_what_was_there_when_they_came() -> None:
    jobs, views = unknown({1, 2, 3})
    jobs.add(entries(1, 2))
    jobs.add(entries(3))
    assert tokens(jobs.take()) == []

    views.asked[1].set_result(None)
    assert tokens(jobs.take()) == [3]
    views.asked[0].set_result(None)
    assert tokens(jobs.take()) == [1, 2]
    assert tokens(jobs.take()) == []


def test_no_item_asks_for_nothing_and_one_that_the_ledger_has_forgotten_waits_no_more() -> None:
    held = {1, 2}
    jobs, views = unknown(held)
    jobs.add([])
    assert views.asked == []

    jobs.add(entries(1, 2))
    held.discard(1)
    views.asked[0].set_result(None)
    assert tokens(jobs.take()) == [2]


def test_views_that_cannot_read_are_asked_again() -> None:
    jobs, views = unknown({1})
    jobs.add(entries(1))
    views.asked[0].set_exception(ServiceUnavailable("Kafka is away"))
    assert tokens(jobs.take()) == []

    views.asked[1].set_result(None)
    assert tokens(jobs.take()) == [1]
