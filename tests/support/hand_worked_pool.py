"""A pool whose calls run when the test says so, on its own thread."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any


class HandWorkedPool:
    def __init__(self) -> None:
        self.waiting: list[tuple[Future[Any], Callable[[], Any]]] = []

    def submit(self, call: Callable[..., Any], *args: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.waiting.append((future, partial(call, *args)))
        return future

    def work(self, calls: int = 1000) -> int:
        """Runs so many of those that wait, oldest first; answers how many did run."""
        begun, self.waiting = self.waiting[:calls], self.waiting[calls:]
        ran = 0
        for future, call in begun:
            if not future.set_running_or_notify_cancel():
                continue
            ran += 1
            try:
                future.set_result(call())
            except Exception as error:  # noqa: BLE001 - raised where the result is asked for
                future.set_exception(error)
        return ran
