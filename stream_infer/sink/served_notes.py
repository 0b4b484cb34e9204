"""Notes of pending job-less objects that are committed by now: they have served, and go, once the store is there."""

from __future__ import annotations

from concurrent.futures import Future

import structlog

from stream_infer.errors import ServiceUnavailable
from stream_infer.pool import DaemonPool
from stream_infer.ports import Store
from stream_infer.sink.backoff import Backoff

log = structlog.get_logger(__name__)


class ServedNotes:
    """Used from the polling thread; nothing here blocks. What is left at the end is the partition's next owner's."""

    def __init__(self, store: Store, pool: DaemonPool) -> None:
        self._store = store
        self._pool = pool
        self._waiting: list[str] = []
        self._running: dict[Future[None], str] = {}
        self._backoff = Backoff()

    def __bool__(self) -> bool:
        return bool(self._waiting or self._running)

    def add(self, key: str) -> None:
        self._waiting.append(key)

    def advance(self, now: float) -> None:
        """Takes in what has ended, starts what may start. Raises what a delete raised, but for ServiceUnavailable."""
        for future in [future for future in self._running if future.done()]:
            key = self._running.pop(future)
            try:
                future.result()
                self._backoff.worked()
            except ServiceUnavailable as error:
                self._waiting.append(key)
                delay = self._backoff.failed(now)
                log.warning("store_unavailable", key=key, error=str(error), retry_in_s=delay)
        if now >= self._backoff.not_before:
            for key in self._waiting:
                self._running[self._pool.submit(self._store.delete, key)] = key
            self._waiting = []
