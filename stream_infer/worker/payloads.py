"""Payloads that no message can carry, on their way into the store beside the thread that polls.

boto3's patience with a black hole is minutes (156 s were measured): meanwhile the worker delivers what is ready of its
other partitions, answers its group, and ends when it is told to.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import orjson
import structlog

from stream_infer.errors import ServiceUnavailable
from stream_infer.pool import DaemonPool
from stream_infer.ports import Store
from stream_infer.records import Position
from stream_infer.worker.held import Partition, Prefix

_LOG = structlog.get_logger(__name__)
PUTS = 4
"""At a time."""
_DELAY_S = 0.5
_LONGEST_DELAY_S = 10.0


class PayloadKind(StrEnum):
    """The folders of payloads that no message can carry."""

    RESULT = "results"
    DEAD_LETTER = "dead-letters"


class OnItsWay(Exception):
    """The payload is not in the store yet."""


class _Object(NamedTuple):
    key: str
    data: bytes
    content_type: str


@dataclass(slots=True)
class _Put:
    """`running` None: it is there, or, with a `not_before`, has failed and is tried again then."""

    object: _Object
    running: Future[None] | None
    not_before: float | None = None
    failed: int = 0

    @property
    def is_done(self) -> bool:
        return self.running is None and self.not_before is None


class Payloads:
    """Used from the polling thread; nothing here blocks. An item has at most one payload here at a time."""

    def __init__(self, store: Store, pool: DaemonPool) -> None:
        self._store = store
        self._pool = pool
        self._puts: dict[Position, _Put] = {}

    def reference(self, kind: PayloadKind, position: Position, data: bytes, content_type: str) -> bytes:
        """What stands for `data` in a record. Raises OnItsWay until it is in the store; the first call begins that.

        It lies under its item's own place, so that doing it again leaves no second object.
        """
        wanted = _Object(f"_payloads/{kind}/{'-'.join(map(str, position))}", data, content_type)
        put = self._puts.get(position)
        if put is None or put.object != wanted:
            self._forget([position] if put else [])
            put = self._puts[position] = _Put(wanted, self._begin(wanted))
        if not put.is_done:
            raise OnItsWay
        return orjson.dumps({"uri": self._store.uri(wanted.key), "content_type": content_type})

    def advance(self, now: float) -> list[Position]:
        """Whose payload is in the store since the last call. `now` in seconds of a clock that never goes back.

        What the store did not take for being unavailable is tried again; raises what else a put raised.
        """
        if not self._puts:
            return []
        for put in self._puts.values():
            if put.not_before is not None and now >= put.not_before:
                put.running, put.not_before = self._begin(put.object), None
        ended = [(at, put, put.running) for at, put in self._puts.items() if put.running and put.running.done()]
        return [at for at, put, running in ended if self._take(put, running, now)]

    def _begin(self, what: _Object) -> Future[None]:
        return self._pool.submit(self._store.put, what.key, what.data, what.content_type)

    def _take(self, put: _Put, running: Future[None], now: float) -> bool:
        put.running = None
        try:
            running.result()
        except ServiceUnavailable as error:
            delay = min(_DELAY_S * 2.0**put.failed, _LONGEST_DELAY_S)
            put.failed += 1
            put.not_before = now + delay
            _LOG.warning("payload_not_stored", key=put.object.key, reason=str(error), again_in_s=delay)
        return put.is_done

    def delivered(self, prefixes: Iterable[Prefix]) -> None:
        """Lets go of the payloads of what a transaction has committed."""
        if self._puts:
            offsets = {prefix.partition: prefix.offset for prefix in prefixes}
            self._forget([at for at in self._puts if at.offset < offsets.get((at.topic, at.partition), 0)])

    def forget(self, partitions: Container[Partition]) -> None:
        """Those of partitions that are not ours any more, or are read anew. What is under way still gets there."""
        self._forget([at for at in self._puts if (at.topic, at.partition) in partitions])

    def _forget(self, positions: Iterable[Position]) -> None:
        for position in positions:
            running = self._puts.pop(position).running
            if running is not None:
                running.cancel()

    def close(self) -> None:
        """Does not wait for what is under way."""
        self._pool.cancel_queued()
        self._pool.close(0.0)
