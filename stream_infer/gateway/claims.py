"""Ids that clients choose for their jobs: who comes first with one has its job, whichever replicas they come to."""

from __future__ import annotations

import asyncio
import random
import zlib
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Protocol, TypeAlias, TypeVar

from stream_infer.errors import Fenced, ServiceUnavailable
from stream_infer.gateway.writer import EventWriter
from stream_infer.kafka.producer import TransactionalProducer
from stream_infer.records import OutgoingRecord
from stream_infer.settings import KafkaSettings

T = TypeVar("T")
Write: TypeAlias = Callable[[Sequence[OutgoingRecord]], Awaitable[None]]

# The broker remembers a transactional id for days, and each gateway takes all of them at its start: a few of them, and
# yet hardly ever two jobs at a time in one.
SLOTS = 16
# At most, before each further try; at random, or two replicas might go on fencing each other.
_PAUSES_S = (0.2, 0.4, 0.8, 1.6, 3.2, 3.2, 3.2)


class Claimant(Protocol):
    """What a claim asks of an EventWriter."""

    async def claim(self) -> None: ...
    async def write_alone(self, records: Sequence[OutgoingRecord]) -> None: ...
    def close(self) -> None: ...


class Claims:
    """Of one gateway.

    An id belongs to one of 16 slots, and whoever holds `{p}.gateway.claim.{slot}` is alone with its ids: it fences all
    others, then reads `{p}.jobs` to its end, then writes. Measured: to fence takes 70 ms.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        writer: Callable[[KafkaSettings, str], Claimant] = EventWriter,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._kafka = kafka
        self._writer = writer
        self._sleep = sleep
        self._alone_here = [asyncio.Lock() for _ in range(SLOTS)]

    async def free(self) -> None:
        """At a gateway's start: aborts what one that was killed inside of a claimed write has left open, which all
        readers would wait for until it times out, 10 to 20 s. Who writes alive at that moment tries again.

        Raises ServiceUnavailable.
        """
        await asyncio.gather(*(asyncio.to_thread(self._free, slot) for slot in range(SLOTS)))

    async def alone(self, job_id: str, act: Callable[[Write], Awaitable[T]]) -> T:
        """What `act` answers. From its begin nobody but its `write` can write the job, until another replica claims
        the slot, maybe for another id: then `write` raises Fenced, nothing of it is there, and `act` is begun anew,
        behind a pause. That is still within this replica's turn, so that each contends with one request at a time.

        Raises as EventWriter.claim, and ServiceUnavailable where others came between each time.
        """
        slot = self.slot_of(job_id)
        async with self._alone_here[slot]:
            for pause_s in (0.0, *_PAUSES_S):
                await self._sleep(pause_s * random.random())  # noqa: S311 - a pause, no secret  # nosec B311
                with suppress(Fenced):
                    return await self._claimed(slot, act)
        raise ServiceUnavailable(
            f"{len(_PAUSES_S) + 1} times other gateways wrote jobs, of this id or others, before this one could. "
            "Nothing is written."
        )

    async def _claimed(self, slot: int, act: Callable[[Write], Awaitable[T]]) -> T:
        writer = self._writer(self._kafka, self._transactional_id(slot))
        try:
            await writer.claim()
            return await act(writer.write_alone)
        finally:
            await asyncio.to_thread(writer.close)

    @staticmethod
    def slot_of(job_id: str) -> int:
        """Who is alone with an id is so with all others of its slot, too."""
        return zlib.crc32(job_id.encode()) % SLOTS

    def _free(self, slot: int) -> None:
        producer = TransactionalProducer(self._kafka, self._transactional_id(slot))
        try:
            with suppress(Fenced):  # by one that has aborted it likewise
                producer.initialise()
        finally:
            producer.close()

    def _transactional_id(self, slot: int) -> str:
        return f"{self._kafka.topic_prefix}.gateway.claim.{slot}"
