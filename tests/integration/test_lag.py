"""A group's lag, as the supervisor reads it again and again."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from connectors.fetchers.by_scheme import open_fetcher
from connectors.policy import FetchPolicy
from connectors.stores import open_store
from stream_infer.errors import ServiceUnavailable
from stream_infer.kafka.admin import apply, group_lag
from stream_infer.kafka.following import Following
from stream_infer.kafka.lag import LagReader
from stream_infer.kafka.producer import TransactionalProducer
from stream_infer.kafka.standings import GroupStandings
from stream_infer.records import OutgoingRecord
from stream_infer.settings import KafkaSettings, Settings
from stream_infer.topics import ApiTopics, GroupSpec, Topics, group_specs
from stream_infer.worker.run import run
from tests.support.roles import give_up, running
from tests.support.settings import settings_for

WAIT_S = 30.0


@pytest.fixture
def settings(bootstrap_servers: str, topic_prefix: str, tmp_path: Path) -> Settings:
    settings = settings_for(bootstrap_servers, topic_prefix, tmp_path)
    apply(settings)
    return settings


def reader_of(settings: Settings, group: str | None = None) -> tuple[LagReader, ApiTopics]:
    names = Topics(settings.kafka.topic_prefix).api("echo")
    topics = Following(names.items, names.tier_pattern)
    return LagReader(settings.kafka, group or names.worker_group, topics), names


def produce(settings: Settings, topic: str, count: int) -> None:
    producer = TransactionalProducer(settings.kafka, f"{settings.kafka.topic_prefix}.test")
    producer.initialise()
    producer.transact([OutgoingRecord(topic, None, b'{"n": 1}') for _ in range(count)], {})
    producer.close()


def test_lag_is_there_with_the_first_item_and_exactly_0_once_a_worker_has_drained_it(settings: Settings) -> None:
    reader, names = reader_of(settings)
    before = reader.read()
    assert set(before.lag.values()) == {0}
    assert {topic for topic, _ in before.lag} == {names.items, names.retry(1), names.retry(2)}

    produce(settings, names.items, 7)
    behind = reader.read()
    assert sum(behind.lag.values()) >= 7
    assert behind.place == before.place

    fetcher, store = open_fetcher(FetchPolicy()), open_store(settings.store)

    def worker(stop: threading.Event, ready: Callable[[], None]) -> None:
        [api] = settings.apis
        run(settings, api, fetcher, store, stop=stop, on_ready=ready, on_unavailable=give_up)

    with running(worker):
        deadline = time.monotonic() + WAIT_S
        while any(reader.read().lag.values()):
            assert time.monotonic() < deadline, reader.read()
            time.sleep(0.05)
    after = reader.read()
    assert after.place >= before.place + 7
    assert dict(after.lag) == group_lag(settings, names.worker_group, sorted({topic for topic, _ in after.lag}))


def test_all_groups_are_asked_at_once_for_their_lag_and_their_members(settings: Settings) -> None:
    standings, topics = GroupStandings(settings.kafka), Topics(settings.kafka.topic_prefix)
    names = topics.api("echo")
    stranger = GroupSpec(f"{topics.prefix}.stranger", (names.items, "not.there"))
    groups = [*group_specs(settings), stranger]
    produce(settings, names.items, 5)
    alone = standings.read(groups)

    assert set(alone) == {group.name for group in groups}
    assert {standing.members for standing in alone.values()} == {0}
    for name in (names.worker_group, stranger.name):
        found = alone[name]
        assert sum(end - found.places[at] for at, end in found.ends.items() if at[0] == names.items) >= 5
    assert {topic for topic, _ in alone[stranger.name].ends} == {names.items}
    tracked = alone[topics.tracker_group]
    assert tracked.places == tracked.ends

    fetcher, store = open_fetcher(FetchPolicy()), open_store(settings.store)

    def worker(stop: threading.Event, ready: Callable[[], None]) -> None:
        [api] = settings.apis
        run(settings, api, fetcher, store, stop=stop, on_ready=ready, on_unavailable=give_up)

    with running(worker):
        deadline = time.monotonic() + WAIT_S
        while (found := standings.read(groups)[names.worker_group]).places != found.ends or found.members != 1:
            assert time.monotonic() < deadline, found
            time.sleep(0.05)


def test_a_group_without_a_place_lags_by_all_there_is(settings: Settings) -> None:
    reader, names = reader_of(settings, f"{settings.kafka.topic_prefix}.stranger")
    produce(settings, names.items, 3)

    assert sum(reader.read().lag.values()) >= 3


def test_a_kafka_that_is_away_is_said_to_be() -> None:
    away = LagReader(KafkaSettings(bootstrap_servers="127.0.0.1:1"), "g", Following("t", r"t\.retry\.[0-9]+"))

    with pytest.raises(ServiceUnavailable):
        away.read()


def test_standings_of_a_kafka_that_is_away_are_said_to_be() -> None:
    away = GroupStandings(KafkaSettings(bootstrap_servers="127.0.0.1:1"))

    with pytest.raises(ServiceUnavailable):
        away.read([GroupSpec("g", ("t",))])
