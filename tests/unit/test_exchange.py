"""Items that come one by one to a child of the test's: which of them need no batcher."""

from types import SimpleNamespace

import pytest

from stream_infer.engine.batcher import Batcher
from stream_infer.engine.court import Court
from stream_infer.engine.exchange import Exchange
from stream_infer.engine.policy import EnginePolicy
from stream_infer.engine.task import AlikeTasks
from stream_infer.engine.wire import ToChild, ToParent
from stream_infer.records import JSON

POLICY = EnginePolicy(max_batch_size=2)


class FakeKeeper:
    """A child that is loaded, and keeps what it is told."""

    batch_size = None
    predictor_name = "Fake"

    def __init__(self):
        self.calls = []
        self.said = []
        self.ready = True
        self.host = SimpleNamespace(call=self.calls.append, answered=lambda _: None)

    def receive(self, _now):
        said, self.said = self.said, []
        return said

    def prove(self):
        pass


@pytest.fixture
def keeper():
    return FakeKeeper()


@pytest.fixture
def batcher():
    return Batcher(POLICY)


@pytest.fixture
def court():
    return Court(POLICY, None)


@pytest.fixture
def exchange(batcher, court, keeper):
    return Exchange(POLICY, batcher, court, keeper)


def items(*tokens):
    return AlikeTasks(list(tokens), [b"%d" % token for token in tokens], JSON)


def test_one_item_for_a_child_without_work_is_a_call_and_answered_as_any(exchange, keeper, court):
    assert exchange.hand_over_one(items(7), 0.0)
    assert keeper.calls == [(ToChild.CALL, 1, JSON, [b"7"], None)]
    assert (court.in_flight, court.in_flight_bytes) == (1, 1)

    keeper.said = [(ToParent.DONE, 1, [b"x"], JSON, {}, 0.001)]
    exchange.take_in(0.0)

    assert [(answers.tokens, answers.values) for answers in court.answers] == [([7], [b"x"])]
    assert (court.in_flight, court.in_flight_bytes) == (0, 0)
    assert exchange.hand_over_one(items(8), 0.0)


def test_the_batchers_is_what_is_more_than_one_or_finds_the_child_busy(exchange, keeper, court):
    assert not exchange.hand_over_one(items(1, 2), 0.0)
    assert exchange.hand_over_one(items(3), 0.0)
    assert not exchange.hand_over_one(items(4), 0.0)

    assert len(keeper.calls) == 1
    assert court.in_flight == 1


def test_nobody_is_overtaken_who_waits_in_an_open_micro_batch(exchange, keeper, batcher):
    batcher.add_alike(items(1), 0.0)

    assert not exchange.hand_over_one(items(2), 0.0)
    assert not keeper.calls


@pytest.mark.parametrize("is_there", [True, False])
def test_without_a_child_that_is_ready_it_waits(exchange, keeper, is_there):
    keeper.ready = False
    if not is_there:
        keeper.host = None

    assert not exchange.hand_over_one(items(1), 0.0)
    assert not keeper.calls
