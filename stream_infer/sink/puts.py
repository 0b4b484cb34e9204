"""Assembled objects on their way: small ones several at a time (a job may have a million), others as they are read."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from itertools import chain

import structlog

from stream_infer.errors import ServiceUnavailable, StreamInferError
from stream_infer.pool import DaemonPool
from stream_infer.ports import Store
from stream_infer.sink.assembly import Check

log = structlog.get_logger(__name__)

AT_A_TIME = 16
_SMALL_BYTES = 512 * 1024
_MOST_WAITING = 4 * AT_A_TIME


class OutputUnavailable(StreamInferError):
    """A place that is not the store's own does not take an object."""


class Puts:
    """Of one assembly; one thread uses it. `is_own`: the place is the store, whose failures are its own.

    `refused` counts objects that the place cannot have, since their keys are none of it; it is known after `settle`.
    """

    def __init__(self, store: Store, folder: str, pool: DaemonPool, check: Check, *, is_own: bool) -> None:
        self._store = store
        self._folder = folder
        self._pool = pool
        self._check = check
        self._is_own = is_own
        self._under_way: deque[tuple[str, Future[None]]] = deque()
        self.refused = 0

    def put(self, key: str, chunks: Iterable[bytes], content_type: str) -> None:
        """Raises what reading `chunks` does, OutputUnavailable or ServiceUnavailable, also for one before it."""
        self._check()
        unread = iter(chunks)
        head, is_all = _head(unread)
        if is_all:
            future = self._pool.submit(self._store.put, self._folder + key, head, content_type)
            self._under_way.append((key, future))
            while len(self._under_way) > _MOST_WAITING:
                self._take()
        else:
            self._stream(key, chain((head,), unread), content_type)

    def settle(self) -> None:
        """Waits for all; raises as `put`."""
        while self._under_way:
            self._check()
            self._take()

    def give_up(self) -> None:
        """What has not begun never will."""
        for _, future in self._under_way:
            future.cancel()

    def _take(self) -> None:
        key, future = self._under_way.popleft()
        try:
            future.result()
        except ValueError as error:
            self._refuse(key, error)
        except ServiceUnavailable as error:
            raise self._unavailable(error) from error

    def _stream(self, key: str, chunks: Iterable[bytes], content_type: str) -> None:
        """What comes of reading `chunks` is the store's own fault, what comes of writing them that of the place."""
        faults: list[ServiceUnavailable] = []

        def read() -> Iterator[bytes]:
            try:
                yield from chunks
            except ServiceUnavailable as error:
                faults.append(error)
                raise

        try:
            self._store.put_chunks(self._folder + key, read(), content_type)
        except ValueError as error:
            self._refuse(key, error)
        except ServiceUnavailable as error:
            raise (error if faults else self._unavailable(error)) from error

    def _unavailable(self, error: ServiceUnavailable) -> StreamInferError:
        return error if self._is_own else OutputUnavailable(str(error))

    def _refuse(self, key: str, error: ValueError) -> None:
        self.refused += 1
        log.warning("object_refused", key=key, reason=str(error))


def _head(chunks: Iterator[bytes]) -> tuple[bytes, bool]:
    """What comes first, and whether that is all."""
    held: list[bytes] = []
    size = 0
    for chunk in chunks:
        held.append(chunk)
        size += len(chunk)
        if size > _SMALL_BYTES:
            return b"".join(held), False
    return b"".join(held), True
