"""Topics that are read by whoever reads another one, against a real broker."""

import re
import time
from collections.abc import Callable, Sequence
from contextlib import closing

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from stream_infer.kafka import following as module
from stream_infer.kafka.consumer import GroupConsumer, Partition
from stream_infer.kafka.following import Following
from stream_infer.kafka.groups import write_first_offsets
from stream_infer.kafka.messages import Polled
from stream_infer.kafka.publisher import Publisher
from stream_infer.records import Message, OutgoingRecord
from stream_infer.settings import KafkaSettings, Settings

WAIT_S = 30.0
GROUP = "sharing"


class Owned:
    """The partitions of one member."""

    def __init__(self) -> None:
        self.now: set[Partition] = set()

    def assigned(self, partitions: Sequence[Partition]) -> None:
        self.now |= set(partitions)

    def revoked(self, partitions: Sequence[Partition]) -> None:
        self.now -= set(partitions)

    lost = revoked

    def of(self, topic: str) -> set[int]:
        return {number for name, number in self.now if name == topic}


class Member:
    """A member of the group, and what it has read."""

    def __init__(self, settings: Settings, items: str, late: str) -> None:
        self.owned = Owned()
        self.seen: list[Polled] = []
        following = Following(items, re.escape(late))
        self.consumer = GroupConsumer(settings.kafka, f"{items}.{GROUP}", "c", self.owned, following=following)
        self.consumer.subscribe([items])

    def poll(self) -> None:
        self.seen += self.consumer.poll(100, 0.02)

    def close(self) -> None:
        self.consumer.close()


def until(condition: Callable[[], bool], *members: Member) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline
        for member in members:
            member.poll()


@pytest.fixture
def settings(bootstrap_servers: str, topic_prefix: str) -> Settings:
    return Settings(kafka=KafkaSettings(bootstrap_servers=bootstrap_servers, topic_prefix=topic_prefix))


@pytest.fixture
def topics(settings: Settings, topic_prefix: str) -> tuple[str, str]:
    items, late = f"{topic_prefix}.items", f"{topic_prefix}.late"
    admin = AdminClient({"bootstrap.servers": settings.kafka.bootstrap, "log_level": 0})
    for made in admin.create_topics([NewTopic(name, 4, 1) for name in (items, late)]).values():
        made.result()
    write_first_offsets(settings, f"{items}.{GROUP}", [items, late])
    return items, late


def test_each_member_has_its_share_of_the_leader_and_the_same_partitions_of_what_follows(
    settings: Settings, topics: tuple[str, str]
) -> None:
    items, late = topics
    with closing(Member(settings, items, late)) as first:
        until(lambda: len(first.owned.now) == 8, first)
        with closing(Member(settings, items, late)) as second:
            until(lambda: len(first.owned.now) == len(second.owned.now) == 4, first, second)
            for member in (first, second):
                assert len(member.owned.of(items)) == 2
                assert member.owned.of(late) == member.owned.of(items)

            publisher = Publisher(settings.kafka, "p")
            publisher.publish([OutgoingRecord(late, None, b"x", partition=number) for number in range(4)])
            publisher.close()
            until(lambda: len(messages(first)) == len(messages(second)) == 2, first, second)
        until(lambda: len(first.owned.now) == 8, first)


def messages(member: Member) -> list[Message]:
    return [record for record in member.seen if isinstance(record, Message)]


def test_where_the_group_stands_on_what_follows_is_written_again_before_the_broker_forgets_it(
    settings: Settings, topics: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_RENEW_EVERY_S", 0.1)
    items, late = topics
    with closing(Member(settings, items, late)) as member:
        committed: list[int] = []
        commit = member.consumer._consumer.commit

        def watched(offsets: Sequence[object], *, asynchronous: bool) -> object:
            committed.append(len(offsets))
            return commit(offsets=list(offsets), asynchronous=asynchronous)

        member.consumer._followers._consumer = Spied(member.consumer._consumer, watched)
        until(lambda: len(committed) > 1, member)
        assert set(committed) == {4}
        assert member.consumer.committed([(late, 0)]) == {(late, 0): 0}


class Spied:
    """A consumer whose commits are seen."""

    def __init__(self, consumer: object, commit: Callable[..., object]) -> None:
        self._consumer = consumer
        self.commit = commit

    def __getattr__(self, name: str) -> object:
        return getattr(self._consumer, name)
