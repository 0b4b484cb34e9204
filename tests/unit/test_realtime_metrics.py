"""What a replica tells: once for the items that are answered together."""

import asyncio
from types import SimpleNamespace

import pytest

from stream_infer.engine.task import AlikeAnswers, Answer
from stream_infer.errors import Stage
from stream_infer.realtime import replies
from stream_infer.realtime.answering import Answering, Terms
from stream_infer.realtime.desk import Bounds, Desk
from stream_infer.realtime.messages import Request
from stream_infer.realtime.metrics import RealtimeMetrics
from stream_infer.realtime.run import _missing
from stream_infer.records import JSON, Failure, Output, Payload
from stream_infer.telemetry.catalogue import serving
from stream_infer.telemetry.exposure import Exposure
from tests.support.fake_engine import FakeEngine
from tests.support.metrics import samples_of, shown_by, value

BAD = Failure(Stage.PREDICT, "ValueError", "bad", final=True)
PATH = b"/v1/apis/a/predict"


class FakeObserver:
    def __init__(self):
        self.told = []

    def answered(self, status, items, seconds):
        assert seconds >= 0
        self.told.append((status, items))

    def refused(self, status):
        self.told.append(status)


class Asker:
    def __init__(self):
        self.replies = []

    def reply(self, reply):
        self.replies.append(reply)


def told_by(scenario, exposure=None):
    """What an observer is told while `scenario(desk, answering, engine)` runs."""
    observer = FakeObserver()

    async def run():
        engine = FakeEngine()
        desk = Desk(engine, Bounds(4, 100), lambda _state: None, None, observer)
        desk.start()
        answering = Answering(Terms("a", 5.0, 2), desk, None, exposure, observer)
        try:
            await scenario(desk, answering, engine)
        finally:
            desk.close(0.0)

    asyncio.run(run())
    return observer.told


def admitted(desk, count):
    tokens = [desk.admit(1, 5.0, Asker()) for _ in range(count)]
    for token in tokens:
        desk.submit(token, Payload(b"1", JSON))
    return tokens


def test_items_that_are_answered_together_are_told_at_once_without_those_whose_asker_has_gone():
    async def scenario(desk, _answering, engine):
        tokens = admitted(desk, 3)
        desk.leave(tokens[0])
        engine.answers = [AlikeAnswers(tokens, [b"1"] * 3, JSON)]
        desk._turn()

    assert told_by(scenario) == [(200, 2)]


def test_an_answer_that_nobody_waits_for_is_not_told():
    async def scenario(desk, _answering, engine):
        tokens = admitted(desk, 1)
        desk.leave(tokens[0])
        engine.answers = [AlikeAnswers(tokens, [b"1"], JSON)]
        desk._turn()

    assert told_by(scenario) == []


def test_others_are_told_by_their_status():
    async def scenario(desk, _answering, engine):
        first, second = admitted(desk, 2)
        engine.answers = [Answer(first, Output(None)), Answer(second, BAD)]
        desk._turn()

    assert told_by(scenario) == [(204, 1), (422, 1)]


def test_a_request_that_is_refused_is_told_and_one_for_the_replicas_health_is_not():
    async def scenario(desk, answering, _engine):
        admitted(desk, 4)
        answering.answer(Request(b"POST", PATH, {}, b"1"), Asker())
        desk.announce_end()
        answering.answer(Request(b"GET", b"/readyz", {}, b""), Asker())
        answering.answer(Request(b"GET", b"/nowhere", {}, b""), Asker())

    assert told_by(scenario) == [429]


def test_the_replica_answers_with_its_numbers():
    metrics, exposure, asker = RealtimeMetrics("a", 512), Exposure(), Asker()
    metrics.answered(200, 3, 0.02)
    exposure.show(metrics.readings)

    async def scenario(_desk, answering, _engine):
        answering.answer(Request(b"GET", b"/metrics", {}, b""), asker)

    told_by(scenario, exposure)
    [reply] = asker.replies
    assert (reply.status, reply.content_type) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert value(samples_of(reply.body), serving.REALTIME_ANSWERS, api="a", status="200") == 3


def test_the_numbers_are_shown_by_api_and_status():
    metrics, exposure = RealtimeMetrics("a", 512), Exposure()
    metrics.in_flight, metrics.connections = lambda: 7, lambda: 9
    exposure.show(metrics.readings)
    before = shown_by(exposure)
    metrics.answered(200, 3, 0.02)
    metrics.answered(200, 1, 0.2)
    metrics.answered(500, 1, 0.1)
    metrics.refused(429)
    samples = shown_by(exposure)

    assert value(samples, serving.REALTIME_ANSWERS, api="a", status="200") == 4
    assert value(before, serving.REALTIME_ANSWERS, api="a", status="500") == 0
    assert value(samples, serving.REALTIME_ANSWERS, api="a", status="500") == 1
    assert value(samples, serving.REALTIME_ANSWERS, api="a", status="429") == 1
    assert value(samples, "stream_infer_realtime_seconds_count", api="a") == 3
    assert value(samples, serving.REALTIME_IN_FLIGHT, api="a") == 7
    assert value(samples, serving.REALTIME_IN_FLIGHT_LIMIT, api="a") == 512
    assert value(samples, serving.REALTIME_CONNECTIONS, api="a") == 9


@pytest.mark.parametrize(("unreadiness", "missing"), [(None, []), (replies.draining(), [str(replies.draining())])])
def test_what_a_replica_lacks_is_told_beside_its_work_too(unreadiness, missing):
    assert _missing(SimpleNamespace(unreadiness=unreadiness)) == missing
    assert all(len(said) > 10 for said in missing)
