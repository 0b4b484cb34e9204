"""How far groups are behind, as a gateway tells it for all."""

import asyncio
from types import SimpleNamespace

import pytest
import structlog

from stream_infer.errors import ServiceUnavailable
from stream_infer.gateway.lag_watch import LagWatch
from stream_infer.kafka.standings import GroupStanding
from stream_infer.settings import Settings
from stream_infer.telemetry.catalogue import serving
from stream_infer.telemetry.exposure import Exposure
from tests.support.metrics import names, shown_by, value

SETTINGS = Settings.model_validate(
    {
        "kafka": {"topic_prefix": "p"},
        "apis": [{"name": "cats", "predictor": {"type": "native", "target": "p.py:P"}, "retry": {"max_attempts": 3}}],
    }
)


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def watch(clock):
    return LagWatch(SimpleNamespace(settings=SETTINGS), SimpleNamespace(), clock)


@pytest.fixture
def exposure(watch):
    exposure = Exposure()
    exposure.show(watch.readings)
    return exposure


def standing(members=0, **places):
    """Places and ends of partitions by topic: items=[(3, 10)] is partition 0."""
    found = {
        (f"p.{topic.replace('__', '.')}", number): at
        for topic, partitions in places.items()
        for number, at in enumerate(partitions)
    }
    places_of = {one: place for one, (place, _) in found.items()}
    return GroupStanding(places_of, {one: end for one, (_, end) in found.items()}, members)


def test_lag_is_a_sum_over_partitions_and_retry_topics(watch, exposure):
    watch.note(
        {
            "p.cats.worker": standing(
                2, cats__items=[(3, 10), (5, 5)], cats__retry__1=[(0, 4)], cats__retry__2=[(1, 2)]
            ),
            "p.sink": standing(1, cats__results=[(0, 9)], cats__dlq=[(0, 0)]),
            "p.finalizer": standing(1, status=[(7, 7)]),
            "p.tracker": standing(0, progress=[(7, 9), (3, 4)]),
        }
    )
    samples = shown_by(exposure)

    assert value(samples, serving.LAG, group="worker", api="cats", topic="items") == 7
    assert value(samples, serving.LAG, group="worker", api="cats", topic="retry") == 5
    assert value(samples, serving.LAG, group="sink", api="cats", topic="results") == 9
    assert value(samples, serving.LAG, group="sink", api="cats", topic="dlq") == 0
    assert value(samples, serving.LAG, group="finalizer", api="", topic="status") == 0
    assert value(samples, serving.LAG, group="tracker", api="", topic="progress") == 2
    assert value(samples, serving.GROUP_MEMBERS, group="worker", api="cats") == 2
    assert value(samples, serving.GROUP_MEMBERS, group="tracker", api="") == 0


def test_what_waits_longest_of_a_topics_partitions_is_its_age(watch, exposure, clock):
    watch.note({"p.cats.worker": standing(cats__items=[(0, 0), (0, 5)])})
    clock.now += 60.0
    watch.note({"p.cats.worker": standing(cats__items=[(0, 5), (0, 5)])})
    clock.now += 60.0
    watch.note({"p.cats.worker": standing(cats__items=[(0, 5), (0, 5)])})

    assert value(shown_by(exposure), serving.LAG_AGE, group="worker", api="cats", topic="items") == 120.0


def test_a_tracker_that_stands_before_the_last_marker_has_read_everything(watch, exposure, clock):
    for _ in range(3):
        watch.note({"p.tracker": standing(progress=[(7, 8)])})
        clock.now += 60.0
    samples = shown_by(exposure)

    assert value(samples, serving.LAG, group="tracker", api="", topic="progress") == 0
    assert value(samples, serving.LAG_AGE, group="tracker", api="", topic="progress") == 0


def test_before_the_first_look_there_is_no_lag_and_it_is_said_how_old_what_is_said_is(watch, exposure, clock):
    clock.now += 7.0
    before = shown_by(exposure)
    watch.note({"p.tracker": standing(progress=[(1, 1)])})
    clock.now += 3.0

    assert serving.LAG.name not in names(before)
    assert value(before, serving.LAG_SEEN_AGE) == 7.0
    assert value(shown_by(exposure), serving.LAG_SEEN_AGE) == 3.0


def test_every_group_and_topic_that_has_a_place_has_its_labels(watch):
    assert {group.name for group in watch._groups} == set(watch._names)
    assert {topic for group in watch._groups for topic in group.topics} == set(watch._topics)


def test_what_was_seen_is_told_for_a_minute_and_then_no_more(watch, exposure, clock):
    watch.note({"p.cats.worker": standing(1, cats__items=[(0, 5)])})
    clock.now += 59.0
    before = shown_by(exposure)
    clock.now += 2.0
    after = shown_by(exposure)
    watch.note({"p.cats.worker": standing(0, cats__items=[(0, 5)])})
    again = shown_by(exposure)

    assert value(before, serving.GROUP_MEMBERS, group="worker", api="cats") == 1
    assert names(after) & {serving.LAG.name, serving.LAG_AGE.name, serving.GROUP_MEMBERS.name} == set()
    assert value(after, serving.LAG_SEEN_AGE) == 61.0
    assert value(again, serving.GROUP_MEMBERS, group="worker", api="cats") == 0
    assert value(again, serving.LAG_AGE, group="worker", api="cats", topic="items") == 61.0


def test_while_kafka_does_not_answer_that_is_told_once_and_what_was_seen_stays(clock):
    found = {"p.tracker": standing(progress=[(1, 3)])}
    away = ServiceUnavailable("no answer")
    answers = [found, away, away, found, ServiceUnavailable("again")]

    async def block(call):
        return call()

    def read(_groups):
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    watch = LagWatch(SimpleNamespace(settings=SETTINGS, block=block), SimpleNamespace(read=read), clock)
    exposure = Exposure()
    exposure.show(watch.readings)
    with structlog.testing.capture_logs() as said:
        for _ in range(5):
            asyncio.run(watch.look())

    assert [event["reason"] for event in said] == ["no answer", "again"]
    assert value(shown_by(exposure), serving.LAG, group="tracker", api="", topic="progress") == 2
