"""One flush on its way into the store: its puts run in a pool, and those that fail are tried again."""

from __future__ import annotations

from concurrent.futures import Future
from typing import TypeAlias

import structlog

from stream_infer.errors import ServiceUnavailable
from stream_infer.pool import DaemonPool
from stream_infer.ports import Store
from stream_infer.records import REFERENCE
from stream_infer.sink.backoff import Backoff
from stream_infer.sink.flush import FlushPlan, Pending, PlannedItems, PlannedObject, Stored
from stream_infer.telemetry.tracing import NO_SPAN, Kind, Span, part_of

log = structlog.get_logger(__name__)

_Put: TypeAlias = PlannedObject | PlannedItems | Pending


class Upload:
    """The puts of one plan. Used from the polling thread; nothing here blocks.

    The note of pending job-less objects is put before any of them, so that whoever gets the partition next can remove
    what was never committed.
    """

    def __init__(
        self,
        plan: FlushPlan,
        store: Store,
        pool: DaemonPool,
        *,
        began: float = 0.0,
        since: float | None = None,
        span: Span = NO_SPAN,
    ) -> None:
        """`began`: when its buffers were closed; `since`: when the first of what was in them came. Monotonic.

        `span` is ended with it.
        """
        self.plan = plan
        self._span = span
        self.began = began
        self.since = since
        self.stored: dict[str, Stored] = {}
        self._store = store
        self._pool = pool
        objects: list[_Put] = [*plan.objects, *plan.items]
        self._waiting: list[_Put] = objects if plan.pending is None else [plan.pending]
        self._behind_note: list[_Put] = [] if plan.pending is None else objects
        self._running: dict[Future[Stored], _Put] = {}
        self._backoff = Backoff()
        self._hindrance: str | None = None

    @property
    def is_done(self) -> bool:
        return not (self._waiting or self._behind_note or self._running)

    def advance(self, now: float) -> None:
        """Takes in what has ended and starts what may start. Raises what a put raised, but for ServiceUnavailable."""
        for future in [future for future in self._running if future.done()]:
            self._take(self._running.pop(future), future, now)
        if not self._waiting and not self._running:
            self._waiting, self._behind_note = self._behind_note, []
        if now >= self._backoff.not_before:
            for put in self._waiting:
                self._running[self._pool.submit(_put_traced, self._store, put, self._span)] = put
            self._waiting = []

    def take_hindrance(self) -> str | None:
        """Why a put has failed, once for each time that one did."""
        said, self._hindrance = self._hindrance, None
        return said

    def committed(self) -> None:
        """What it has put counts."""
        self._span.end()
        plan = self.plan
        if plan.objects:
            log.info(
                "flushed",
                api=plan.outlet.api,
                kind=plan.outlet.kind.value,
                partition=plan.partition[1],
                position=plan.position,
                objects=len(plan.objects),
                records=sum(len(planned.lines) for planned in plan.objects),
                bytes=sum(stored.size for stored in self.stored.values()),
            )

    def forget(self) -> None:
        """Stops what has not begun. What is in the store already stays there."""
        for future in self._running:
            future.cancel()
        self._waiting, self._behind_note = [], []
        self._span.fail("not_committed")
        self._span.end()

    def take_back(self) -> None:
        """Removes from the store what was put, once it is there: for a flush that is known not to be committed.

        Not the objects of items: these may be another sink's by now.
        """
        self.forget()
        items = {put.key for put in self.plan.items}
        there = [key for key in self.stored if key not in items]
        for future, put in self._running.items():
            if isinstance(put, PlannedItems):
                continue
            if future.done():
                there.append(put.key)
            else:
                future.add_done_callback(lambda _, key=put.key: _delete(self._store, key))  # type: ignore[misc]
        self._pool.submit(_delete_all, self._store, tuple(reversed(there)))  # the note is first, and so goes last

    def _take(self, put: _Put, future: Future[Stored], now: float) -> None:
        try:
            self.stored[put.key] = future.result()
            self._backoff.worked()
        except ServiceUnavailable as error:
            self._waiting.append(put)
            self._hindrance = str(error)
            delay = self._backoff.failed(now)
            log.warning("store_unavailable", key=put.key, error=str(error), retry_in_s=delay)


def _put_traced(store: Store, put: _Put, flush: Span) -> Stored:
    with part_of(flush, "put", Kind.CLIENT, {"stream_infer.object.key": put.key}):
        return _put(store, put)


def _put(store: Store, put: _Put) -> Stored:
    if isinstance(put, PlannedItems):
        return _put_items(store, put)
    body = put.body()
    store.put(put.key, body, put.content_type)
    return Stored.of(body, put.shape_of(body))


def _put_items(store: Store, put: PlannedItems) -> Stored:
    size = 0
    for one in put.objects():
        data, content_type = one.data, one.content_type
        if one.copied_from is not None:
            copied = _payload(store, put.payloads, one.copied_from)
            data, content_type = (data, REFERENCE) if copied is None else (copied, content_type)
        store.put(put.folder + one.name, data, content_type)
        size += len(data)
    return Stored(size, "")


def _payload(store: Store, folder: str, uri: str) -> bytes | None:
    """What a worker has put into the `folder` of our own store; None where it is gone, or lies elsewhere."""
    try:
        start = store.uri(folder)
        return store.get(folder + uri.removeprefix(start)) if uri.startswith(start) else None
    except (KeyError, ValueError):
        return None


def _delete_all(store: Store, keys: tuple[str, ...]) -> None:
    for key in keys:
        _delete(store, key)


def _delete(store: Store, key: str) -> None:
    """Tidying up, which others do again: a failure is told and no more."""
    try:
        store.delete(key)
    except ServiceUnavailable as error:
        log.warning("left_behind", key=key, error=str(error))
