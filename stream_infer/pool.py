"""Threads for calls that may block for minutes, and that the end of the process does not wait for."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from functools import partial
from typing import Any, ParamSpec, TypeAlias, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_Task: TypeAlias = "tuple[Future[Any], Callable[[], Any]]"


class DaemonPool:
    """At most `threads` calls at a time, the others in the order in which they came, each in the context (request, job,
    trace) in which it was submitted. Safe to share between threads.

    Python joins the threads of concurrent.futures when it ends: measured, a sink whose put had gone into a black hole
    was still there 60 s after SIGTERM. What runs here is cut short by the end of the process.
    """

    def __init__(self, threads: int, name: str) -> None:
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._name = name
        self._most = threads
        self._threads: list[threading.Thread] = []
        self._unfinished = 0
        self._changing = threading.Lock()

    def submit(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()
        with self._changing:
            self._unfinished += 1
            if self._unfinished > len(self._threads) and len(self._threads) < self._most:
                name = f"{self._name}-{len(self._threads)}"
                self._threads.append(threading.Thread(target=self._work, name=name, daemon=True))
                self._threads[-1].start()
        self._tasks.put((future, partial(copy_context().run, partial(call, *args, **kwargs))))
        return future

    def cancel_queued(self) -> None:
        """What has not begun never will."""
        while True:
            try:
                task = self._tasks.get_nowait()
            except queue.Empty:
                return
            if task is not None:
                task[0].cancel()
                with self._changing:
                    self._unfinished -= 1

    def close(self, within_s: float) -> None:
        """Nothing may be submitted any more. Waits up to `within_s` seconds for what was, then forgets it."""
        deadline = time.monotonic() + within_s
        for _ in self._threads:
            self._tasks.put(None)
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            future, call = task
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(call())
                except BaseException as error:  # noqa: BLE001 - raised where the result is asked for
                    future.set_exception(error)
            with self._changing:
                self._unfinished -= 1
            del task, future, call  # or an idle thread would hold the last result
