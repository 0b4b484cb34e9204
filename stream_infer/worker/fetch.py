"""Brings referenced payloads, many at a time, on an event loop of its own thread."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from stream_infer.ports import Fetcher, Reference
from stream_infer.records import Failure, Payload
from stream_infer.references import fetch_one


@dataclass(frozen=True, slots=True)
class Fetched:
    """What became of one reference."""

    token: int
    outcome: Payload | Failure


class FetchStage:
    """Accepts references on one thread and hands over what came of them; never blocks that thread.

    `on_fetched` is called on the loop's thread after each; `concurrency` bounds the fetches under way. `seconds` and
    `items`: what all fetches so far have taken together, and how many they were.
    """

    def __init__(self, fetcher: Fetcher, concurrency: int, on_fetched: Callable[[], None]) -> None:
        self._fetcher = fetcher
        self._on_fetched = on_fetched
        self.seconds = 0.0
        self.items = 0
        self._done: deque[Fetched] = deque()
        self._loop = asyncio.new_event_loop()
        self._places = asyncio.Semaphore(concurrency)
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fetch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def submit(self, token: int, reference: Reference) -> None:
        self._loop.call_soon_threadsafe(self._begin, token, reference)

    def take(self) -> list[Fetched]:
        """What has been fetched since the last call."""
        return [self._done.popleft() for _ in range(len(self._done))]

    def close(self, timeout_s: float = 5.0) -> None:
        """Gives up what is under way."""
        if not self._thread.is_alive():
            return
        asyncio.run_coroutine_threadsafe(self._shut(), self._loop).result(timeout_s)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout_s)
        self._loop.close()

    async def _shut(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._fetcher.close()

    def _begin(self, token: int, reference: Reference) -> None:
        task = self._loop.create_task(self._fetch(token, reference))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _fetch(self, token: int, reference: Reference) -> None:
        async with self._places:
            began = self._loop.time()
            outcome = await fetch_one(self._fetcher, reference)
            self.seconds += self._loop.time() - began
        self.items += 1
        self._done.append(Fetched(token, outcome))
        self._on_fetched()
