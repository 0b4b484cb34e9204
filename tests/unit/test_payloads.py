"""Payloads that no message can carry, on their way into a store that may be away."""

import threading
from dataclasses import replace
from typing import Any

import pytest

from stream_infer.errors import ServiceUnavailable, Stage
from stream_infer.records import REFERENCE, Failure, Output, Position
from stream_infer.worker.held import Entry, Prefix
from stream_infer.worker.ledger import Ledger
from stream_infer.worker.payloads import OnItsWay, PayloadKind, Payloads
from tests.support.hand_worked_pool import HandWorkedPool
from tests.support.items import item_at
from tests.support.memory_store import MemoryStore
from tests.support.worker_bench import PACE, TOPICS, WorkerBench

HERE = Position("p.a.items", 0, 7)
BIG = b"x" * 2_000_000


class FaultyStore(MemoryStore):
    """Refuses as often as it is told to."""

    def __init__(self, faults: int) -> None:
        super().__init__()
        self.faults = faults

    def put(self, key: str, data: bytes, content_type: str = "application/octet-stream") -> None:
        if self.faults:
            self.faults -= 1
            raise ServiceUnavailable("away")
        super().put(key, data, content_type)


def asked(payloads: Payloads, data: bytes = b"1", position: Position = HERE) -> bytes | None:
    try:
        return payloads.reference(PayloadKind.RESULT, position, data, "image/png")
    except OnItsWay:
        return None


def payloads_in(store: MemoryStore) -> tuple[Payloads, HandWorkedPool]:
    pool: Any = HandWorkedPool()
    return Payloads(store, pool), pool


def test_a_payload_is_put_once_however_often_it_is_asked_for() -> None:
    payloads, pool = payloads_in(store := MemoryStore())

    assert [asked(payloads), asked(payloads)] == [None, None]
    assert (pool.work(), payloads.advance(0.0), payloads.advance(0.0)) == (1, [HERE], [])

    said = b'{"uri":"memory:///_payloads/results/p.a.items-0-7","content_type":"image/png"}'
    assert [asked(payloads), asked(payloads)] == [said, said]
    assert (store.objects, pool.work()) == ({"_payloads/results/p.a.items-0-7": b"1"}, 0)


def test_what_a_store_that_is_away_refused_is_put_again_later_each_time() -> None:
    payloads, pool = payloads_in(FaultyStore(2))
    asked(payloads)
    puts = []
    for now in (0.0, 0.4, 0.5, 1.0, 1.9, 2.0):
        puts.append(pool.work())
        assert not payloads.advance(now)

    assert puts == [1, 0, 0, 1, 0, 0]
    assert (pool.work(), payloads.advance(2.1)) == (1, [HERE])


def test_what_else_a_put_raises_is_raised() -> None:
    payloads, pool = payloads_in(store := MemoryStore())
    store.put = lambda *_: 1 / 0  # type: ignore[method-assign, assignment, return-value]
    asked(payloads)
    pool.work()

    with pytest.raises(ZeroDivisionError):
        payloads.advance(0.0)


def test_another_payload_of_the_same_item_is_put_in_its_place() -> None:
    payloads, pool = payloads_in(store := MemoryStore())
    asked(payloads, b"1")

    assert asked(payloads, b"2") is None
    assert (pool.work(), payloads.advance(0.0)) == (1, [HERE])
    assert store.get("_payloads/results/p.a.items-0-7") == b"2"


def test_what_was_delivered_or_taken_away_is_forgotten_and_not_put_any_more() -> None:
    payloads, pool = payloads_in(MemoryStore())
    other, later = Position("p.a.items", 1, 7), Position("p.a.items", 0, 8)
    for position in (HERE, later, other):
        asked(payloads, position=position)

    payloads.delivered([Prefix(("p.a.items", 0), [Entry(None, 8, 1)])])
    payloads.forget([("p.a.items", 1)])

    assert (pool.work(), payloads.advance(0.0)) == (1, [later])


def big_ones(data: bytes) -> Output:
    return Output(BIG if data == b"big" else data)


def test_a_payload_on_its_way_holds_up_its_own_partition_alone() -> None:
    bench = WorkerBench(big_ones)
    bench.feed(b"1", b"big", b"3")
    bench.run()
    bench.feed(b"other", topic=TOPICS.retry(1))
    bench.run()

    assert bench.values(TOPICS.results) == [b"1", b"other"]
    assert bench.producer.offsets == {(TOPICS.items, 0): 1, (TOPICS.retry(1), 0): 1}
    assert not bench.ledger.has_deliverable

    bench.pool.work()
    bench.run()
    [_, _, big, last] = bench.written(TOPICS.results)
    assert (dict(big.headers)["content-type"], last.value) == (REFERENCE.encode(), b"3")
    assert bench.producer.offsets[TOPICS.items, 0] == 3


def test_a_partition_that_waits_for_the_store_is_paused_before_it_fills_the_worker() -> None:
    bench = WorkerBench(big_ones, pace=replace(PACE, batches_ahead=1, max_held=60))
    bench.engine.batch_size = 10
    bench.feed(b"big", *[b"1"] * 100)
    bench.run(20)
    assert bench.consumer.paused == {(TOPICS.items, 0)}

    bench.feed(*[b"other"] * 100, topic=TOPICS.retry(1))
    bench.run(30)
    assert bench.values(TOPICS.results) == [b"other"] * 100

    bench.pool.work()
    bench.run(30)
    assert not bench.consumer.paused
    assert len(bench.values(TOPICS.results)) == 201


def test_a_revoked_partition_is_delivered_once_its_payload_is_in_the_store() -> None:
    bench = WorkerBench(big_ones)
    bench.feed(b"big")
    bench.run()
    timer = threading.Timer(0.05, bench.pool.work)
    timer.start()

    bench.loop.revoked([(TOPICS.items, 0)])

    timer.join()
    assert bench.producer.offsets == {(TOPICS.items, 0): 1}
    assert bench.ledger.held == 0


def test_a_dead_letter_on_its_way_into_the_store_is_judged_again_when_the_breaker_trips() -> None:
    ledger = Ledger()
    ledger.assign([("items", 0)])
    failed, after = ledger.admit(("items", 0), [item_at("items", 0, offset) for offset in (0, 1)])
    assert failed is not None
    assert after is not None
    failed.failure = Failure(Stage.PREDICT, "E", "bad")
    ledger.finish(failed.token, failed.failure)
    ledger.finish(after.token, Output(b"2"))
    ledger.hold_back([failed])
    assert not ledger.has_deliverable

    assert ledger.reopen_failed() == [failed]
    ledger.finish(failed.token, Output(b"1"))

    assert ledger.prefixes(10)[0].parts == [failed, after]
