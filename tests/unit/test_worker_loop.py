"""What the worker's loop does with what its group says."""

import threading
from typing import Any

import pytest

from stream_infer.records import OutgoingRecord, Output
from stream_infer.worker.ledger import Ledger
from stream_infer.worker.loop import WorkerLoop
from stream_infer.worker.pace import Pace, PacePolicy
from tests.support.items import item_at

PARTITION = ("items", 0)


class OneTurnConsumer:
    """Polls nothing, once."""

    def __init__(self, stop: threading.Event, *, member: bool) -> None:
        self._stop = stop
        self._member = member

    def poll(self, max_records: int, timeout_s: float) -> list[Any]:
        self._stop.set()
        return []

    def membership(self) -> str:
        return "membership"

    def is_member(self) -> bool:
        return self._member


class RecordingProducer:
    def __init__(self) -> None:
        self.transactions: list[tuple[Any, ...]] = []

    def transact(self, *transaction: Any) -> None:
        self.transactions.append(transaction)


class PlainDelivery:
    def records(self, prefixes: Any, now: float) -> list[OutgoingRecord]:
        return []


class IdleAdmission:
    def admit(self, messages: Any, now: float) -> list[Any]:
        return []


@pytest.mark.parametrize(("member", "transactions"), [(True, 1), (False, 0)])
def test_nothing_is_committed_in_the_name_of_a_member_that_was_expelled(member: bool, transactions: int) -> None:
    ledger = Ledger()
    ledger.assign([PARTITION])
    entry = ledger.admit(PARTITION, item_at(*PARTITION, 4))
    assert entry is not None
    ledger.finish(entry.token, Output(b"1"))
    producer: Any = RecordingProducer()
    parts: Any = {"admission": IdleAdmission(), "engine": None, "delivery": PlainDelivery()}
    pace = Pace(PacePolicy(max_pending=1, max_held=10, max_held_bytes=100))
    loop = WorkerLoop(ledger=ledger, pace=pace, new_producer=lambda: producer, hook_attempts=1, **parts)
    stop = threading.Event()
    consumer: Any = OneTurnConsumer(stop, member=member)

    loop.run(consumer, stop)

    assert producer.transactions == [([], {PARTITION: 5}, "membership")] * transactions
    assert ledger.held == 1 - transactions
