"""Before anything of a partition is put: stand where its group stands; remove what lies in the store behind that."""

from __future__ import annotations

import time
from concurrent.futures import Future
from functools import partial

import structlog

from stream_infer.errors import ServiceUnavailable
from stream_infer.kafka.consumer import GroupConsumer
from stream_infer.pool import DaemonPool
from stream_infer.ports import Store
from stream_infer.sink.backoff import Backoff
from stream_infer.sink.leftovers import remove_leftovers
from stream_infer.sink.share import Share, Shares

log = structlog.get_logger(__name__)


class Settling:
    """Of the shares that are new or were rewound; the store is asked in `pool`."""

    def __init__(self, shares: Shares, store: Store, pool: DaemonPool) -> None:
        self._shares = shares
        self._store = store
        self._pool = pool
        self._backoff = Backoff()

    def advance(self, consumer: GroupConsumer) -> None:
        """Ends what the store has answered, and begins what waits for it. Raises ServiceUnavailable: Kafka."""
        unsettled = [share for share in self._shares.owned.values() if not share.is_settled]
        if not unsettled:
            return
        for share in unsettled:
            if share.settling is not None and share.settling.done():
                self._end(share, share.settling)
        begin = [share for share in unsettled if not share.is_settled and share.settling is None]
        if begin and time.monotonic() >= self._backoff.not_before:
            self._begin(begin, consumer)

    def _begin(self, shares: list[Share], consumer: GroupConsumer) -> None:
        committed = consumer.committed([share.partition for share in shares])
        for share in shares:
            offset = committed.get(share.partition)
            if offset is None:
                continue  # poll tells of it
            if share.is_rewinding:
                consumer.seek({share.partition: offset})
                share.is_rewinding = False
            share.buffer.committed(offset)
            is_ours = partial(self._shares.owns, share, share.rewound)
            share.settling = self._pool.submit(remove_leftovers, self._store, share.partition, offset, is_ours)

    def _end(self, share: Share, settling: Future[None]) -> None:
        share.settling = None
        try:
            settling.result()
            share.is_settled = True
            self._backoff.worked()
        except ServiceUnavailable as error:
            if time.monotonic() >= self._backoff.not_before:  # one outage is one failure, however many see it
                delay = self._backoff.failed(time.monotonic())
                log.warning("store_unavailable", error=str(error), retry_in_s=delay)
