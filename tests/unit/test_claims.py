"""Ids that clients choose: what becomes of a write that another replica comes between."""

import asyncio
from collections.abc import Sequence

import pytest

from stream_infer.errors import Fenced, ServiceUnavailable
from stream_infer.gateway.claims import SLOTS, Claims, Write
from stream_infer.records import OutgoingRecord
from stream_infer.settings import KafkaSettings

RECORD = OutgoingRecord("jobs", b"j", b"{}")


class Broker:
    """Fences `fencings` writes or claims, and keeps the rest."""

    def __init__(self, fencings: int, *, at_claim: bool = False) -> None:
        self.fencings = fencings
        self.at_claim = at_claim
        self.written: list[OutgoingRecord] = []
        self.ids: list[str] = []
        self.open = 0

    def writer(self, _kafka: KafkaSettings, transactional_id: str) -> "Writer":
        self.ids.append(transactional_id)
        self.open += 1
        return Writer(self)

    def fence(self) -> None:
        if self.fencings:
            self.fencings -= 1
            raise Fenced("another gateway came")


class Writer:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def claim(self) -> None:
        if self._broker.at_claim:
            self._broker.fence()

    async def write_alone(self, records: Sequence[OutgoingRecord]) -> None:
        if not self._broker.at_claim:
            self._broker.fence()
        self._broker.written += records

    def close(self) -> None:
        self._broker.open -= 1


class Pauses:
    def __init__(self) -> None:
        self.slept: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)


@pytest.mark.parametrize("at_claim", [False, True])
def test_who_is_fenced_looks_and_writes_again_behind_a_pause(at_claim: bool) -> None:
    broker, pauses, looked = Broker(3, at_claim=at_claim), Pauses(), []

    async def act(write: Write) -> str:
        looked.append(broker.open)
        await write([RECORD])
        return "done"

    assert asyncio.run(Claims(KafkaSettings(), broker.writer, pauses).alone("j", act)) == "done"
    assert (broker.written, broker.open, len(broker.ids), len(set(broker.ids))) == ([RECORD], 0, 4, 1)
    assert looked == [1] if at_claim else [1] * 4
    assert pauses.slept[0] == 0.0 < min(pauses.slept[1:])


def test_who_is_fenced_again_and_again_is_told_to_come_again() -> None:
    broker, pauses = Broker(100), Pauses()

    async def act(write: Write) -> None:
        await write([RECORD])

    with pytest.raises(ServiceUnavailable, match=r"8 times other gateways wrote jobs.* Nothing is written\."):
        asyncio.run(Claims(KafkaSettings(), broker.writer, pauses).alone("j", act))
    assert (broker.written, broker.open) == ([], 0)
    assert sum(pauses.slept) < 16


def test_one_request_of_a_replica_is_at_a_slot_at_a_time_its_pauses_included() -> None:
    """Else its own requests, each for another id, would fence those that other replicas are about to write."""
    broker, pauses, order = Broker(2), Pauses(), []

    async def both(*job_ids: str) -> None:
        claims = Claims(KafkaSettings(), broker.writer, pauses)

        async def submit(job_id: str) -> None:
            async def act(write: Write) -> None:
                order.append(job_id)
                await write([RECORD])

            await claims.alone(job_id, act)

        await asyncio.gather(*(submit(job_id) for job_id in job_ids))

    first, second = neighbours()
    asyncio.run(both(first, second))
    assert order == [first, first, first, second]


def neighbours() -> tuple[str, str]:
    """Two ids of one slot."""
    kept: dict[str, str] = {}
    broker = Broker(0)
    for number in range(10 * SLOTS):

        async def act(_write: Write) -> None:
            pass

        asyncio.run(Claims(KafkaSettings(), broker.writer).alone(f"j{number}", act))
        if broker.ids[-1] in kept:
            return kept[broker.ids[-1]], f"j{number}"
        kept[broker.ids[-1]] = f"j{number}"
    raise AssertionError("there are more slots than that")
