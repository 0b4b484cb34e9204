"""What the rest of the code relies on Kafka for, against a real broker."""

import os
import threading
import time
from contextlib import closing

import pytest
from aiokafka.partitioner import DefaultPartitioner
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from stream_infer.errors import Fenced, ServiceUnavailable, TransactionAborted
from stream_infer.kafka import producer as producer_module
from stream_infer.kafka.admin import group_lag
from stream_infer.kafka.consumer import GroupConsumer
from stream_infer.kafka.errors import RecordTooLarge
from stream_infer.kafka.groups import write_first_offsets
from stream_infer.kafka.messages import runs_of
from stream_infer.kafka.offsets import stable_end
from stream_infer.kafka.partitioner import partition_of
from stream_infer.kafka.producer import TransactionalProducer
from stream_infer.kafka.publisher import Publisher
from stream_infer.kafka.topic_reader import TopicReader
from stream_infer.kafka.views import CompactedView, read_compacted
from stream_infer.records import EndOfPartition, Message, OutgoingRecord
from stream_infer.settings import KafkaSettings, Settings
from tests.support.raw_kafka import produce_with_header

PROMPT_S = 0.1


class Listener:
    def __init__(self):
        self.calls = []

    def assigned(self, partitions):
        self.calls += [("assigned", number) for _, number in partitions]

    def revoked(self, partitions):
        self.calls += [("revoked", number) for _, number in partitions]

    def lost(self, partitions):
        self.calls += [("lost", number) for _, number in partitions]

    @property
    def owned(self):
        owned = set()
        for what, number in self.calls:
            (owned.add if what == "assigned" else owned.discard)(number)
        return owned


@pytest.fixture
def settings(bootstrap_servers, topic_prefix):
    return Settings(kafka=KafkaSettings(bootstrap_servers=bootstrap_servers, topic_prefix=topic_prefix))


@pytest.fixture
def topic_of(bootstrap_servers, topic_prefix):
    admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})

    def topic_of(partitions=1, **config):
        name = f"{topic_prefix}.topic-{time.monotonic_ns()}"
        admin.create_topics([NewTopic(name, partitions, 1, config=config)])[name].result()
        for _ in range(100):
            if name in admin.list_topics(timeout=10).topics:
                return name
            time.sleep(0.02)
        raise AssertionError(name)

    return topic_of


@pytest.fixture
def open_producer(settings, topic_prefix):
    opened = []

    def open_producer(slot="0"):
        producer = TransactionalProducer(settings.kafka, f"{topic_prefix}.producer.{slot}")
        producer.initialise()
        opened.append(producer)
        return producer

    yield open_producer
    for producer in opened:
        producer.close()


def record(topic, value, key=None, partition=None):
    return OutgoingRecord(topic, key, value, partition=partition)


def values(settings, topic):
    with closing(TopicReader(settings.kafka, topic)) as reader:
        return [message.value for message in reader.read_to_end(20)]


def read_until(consumer, is_enough, timeout_s=20.0):
    seen = []
    deadline = time.monotonic() + timeout_s
    while not is_enough(seen):
        assert time.monotonic() < deadline, seen
        seen += consumer.poll(100, 0.05)
    return seen


def test_a_transaction_shows_all_of_its_records_and_offsets_or_none(settings, topic_of, open_producer, topic_prefix):
    source, target = topic_of(), topic_of()
    group = f"{topic_prefix}.group"
    write_first_offsets(settings, group, [source])
    producer = open_producer()
    producer.transact([record(source, b"in")], {})
    with closing(GroupConsumer(settings.kafka, group, "c", Listener())) as consumer:
        consumer.subscribe([source])
        read_until(consumer, lambda seen: any(isinstance(one, Message) for one in seen))

        too_large = record(target, os.urandom(2_000_000))
        with pytest.raises(RecordTooLarge, match=r"max\.message\.bytes"):
            producer.transact([record(target, b"out"), too_large], {(source, 0): 1}, consumer.membership())
        assert values(settings, target) == []
        assert consumer.committed([(source, 0)]) == {(source, 0): 0}

        with pytest.raises(TransactionAborted, match="OUT_OF_ORDER_SEQUENCE_NUMBER"):
            producer.transact([record(target, b"out")], {(source, 0): 1}, consumer.membership())
        producer.transact([record(target, b"out")], {(source, 0): 1}, consumer.membership())
        assert values(settings, target) == [b"out"]
        assert consumer.committed([(source, 0)]) == {(source, 0): 1}


def test_a_record_that_the_producer_itself_refuses_leaves_no_transaction_open(settings, topic_of, open_producer):
    topic = topic_of()
    producer = open_producer()

    with pytest.raises(RecordTooLarge):
        producer.transact([record(topic, b"a"), record(topic, os.urandom(20_000_000))], {})
    producer.transact([record(topic, b"b")], {})

    assert values(settings, topic) == [b"b"]


def test_a_transaction_that_lacks_a_record_is_aborted_though_its_commit_is_asked_for(settings, topic_of, open_producer):
    topic = topic_of()
    producer = open_producer()
    producer.open()
    producer.write([record(topic, b"a")])
    producer.spoil(MemoryError("by the test"))

    with pytest.raises(TransactionAborted, match="by the test"):
        producer.commit({}).result()
    producer.transact([record(topic, b"b")], {})

    assert values(settings, topic) == [b"b"]


def test_a_second_producer_of_the_same_id_fences_the_first(settings, topic_of, open_producer):
    topic = topic_of()
    first = open_producer()
    first.transact([record(topic, b"1")], {})
    second = open_producer()

    with pytest.raises(Fenced):
        first.transact([record(topic, b"of the first")], {})
    second.transact([record(topic, b"2")], {})
    first.close()

    assert values(settings, topic) == [b"1", b"2"]


def test_what_an_aborted_transaction_held_can_be_sent_again(settings, topic_of, open_producer, topic_prefix):
    source, target = topic_of(), topic_of()
    group = f"{topic_prefix}.group"
    write_first_offsets(settings, group, [source])
    producer = open_producer()
    gone = GroupConsumer(settings.kafka, group, "gone", Listener())
    gone.subscribe([source])
    read_until(gone, bool)
    stale = gone.membership()
    gone.close()
    records = [record(target, b"out")]

    # The member has left: the broker refuses its offsets, and with them the whole transaction.
    with pytest.raises(TransactionAborted):
        producer.transact(records, {(source, 0): 0}, stale)
    assert values(settings, target) == []
    producer.transact(records, {})

    assert values(settings, target) == [b"out"]


def test_the_end_of_a_partition_counts_transaction_markers_and_committing_it_leaves_no_lag(
    settings, topic_of, open_producer, topic_prefix
):
    topic, group = topic_of(), f"{topic_prefix}.group"
    write_first_offsets(settings, group, [topic])
    producer = open_producer()
    producer.transact([record(topic, b"1"), record(topic, b"2")], {})
    producer.transact([record(topic, b"3")], {})
    with closing(GroupConsumer(settings.kafka, group, "c", Listener())) as consumer:
        consumer.subscribe([topic])
        seen = read_until(consumer, lambda seen: seen and isinstance(seen[-1], EndOfPartition) and seen[-1].offset == 5)
        assert [one.offset for one in seen if isinstance(one, Message)] == [0, 1, 3]
        assert group_lag(settings, group, [topic]) == {(topic, 0): 5}

        producer.transact([], {(topic, 0): 4}, consumer.membership())
        assert group_lag(settings, group, [topic]) == {(topic, 0): 1}
        producer.transact([], {(topic, 0): 5}, consumer.membership())

    assert group_lag(settings, group, [topic]) == {(topic, 0): 0}


def test_a_partition_moves_to_a_second_member_only_after_the_first_was_told(settings, topic_of, topic_prefix):
    topic, group = topic_of(2), f"{topic_prefix}.group"
    write_first_offsets(settings, group, [topic])
    one, two = Listener(), Listener()
    first = GroupConsumer(settings.kafka, group, "one", one)
    first.subscribe([topic])
    read_until(first, lambda _: one.owned == {0, 1})
    second = GroupConsumer(settings.kafka, group, "two", two)
    second.subscribe([topic])
    deadline = time.monotonic() + 30
    while not two.owned:
        assert time.monotonic() < deadline
        first.poll(10, 0.05)
        second.poll(10, 0.05)
        assert not (one.owned & two.owned)

    [moved] = two.owned
    assert one.calls[-1] == ("revoked", moved)
    assert one.owned == {1 - moved}, "the other partition stayed: cooperative"
    second.close()
    assert two.calls == [("assigned", moved), ("revoked", moved)]
    read_until(first, lambda _: one.owned == {0, 1})
    first.close()
    assert one.owned == set()


def test_what_a_listener_raises_comes_out_of_poll(settings, topic_of, topic_prefix):
    class Broken(Listener):
        def assigned(self, partitions):
            raise Fenced("no")

    topic, group = topic_of(), f"{topic_prefix}.group"
    write_first_offsets(settings, group, [topic])
    consumer = GroupConsumer(settings.kafka, group, "c", Broken())
    consumer.subscribe([topic])

    with pytest.raises(Fenced, match="no"):
        read_until(consumer, lambda _: False)
    consumer.close()


def test_a_group_that_reads_from_the_start_needs_no_place(settings, topic_of, open_producer, topic_prefix):
    topic = topic_of()
    open_producer().transact([record(topic, b"1")], {})
    with closing(GroupConsumer(settings.kafka, f"{topic_prefix}.g", "c", Listener(), from_start=True)) as consumer:
        consumer.subscribe([topic])
        seen = read_until(consumer, lambda seen: any(isinstance(one, EndOfPartition) for one in seen))

    assert seen[0].value == b"1"


def test_headers_with_a_name_that_is_no_text_are_lost_to_their_own_record_alone(settings, topic_of, topic_prefix):
    topic = topic_of()
    names = [b"one", b"bad\xff", b"three", b"\xfe", b"\xfd", b"six"]
    for name in names:
        produce_with_header(settings.kafka.bootstrap, topic, b"k", b"{}", name)
    consumer = Consumer({"bootstrap.servers": settings.kafka.bootstrap, "group.id": topic_prefix})
    with closing(consumer):
        consumer.assign([TopicPartition(topic, 0, 0)])
        raw = []
        while len(raw) < len(names):
            raw += consumer.consume(len(names) - len(raw), 20)
        [run] = runs_of(raw)

    # A second look at such a record gives a list with a hole in it: who reads that dies of a segmentation fault.
    said = [[name for name, _ in headers] for headers in run.headers]
    assert said == [
        ["one"],
        ["si-unreadable-headers"],
        ["three"],
        ["si-unreadable-headers"],
        ["si-unreadable-headers"],
        ["six"],
    ]


def test_a_broker_that_does_not_answer_is_told_within_a_bounded_time(monkeypatch):
    nowhere = KafkaSettings(bootstrap_servers="127.0.0.1:1")
    monkeypatch.setattr(producer_module, "_CALL_TIMEOUT_S", 0.2)
    began = time.monotonic()
    with closing(Publisher(nowhere, "p")) as publisher, pytest.raises(ServiceUnavailable, match=r"127\.0\.0\.1:1"):
        publisher.publish([record("t", b"1")], timeout_s=0.5)
    with closing(TransactionalProducer(nowhere, "t")) as producer, pytest.raises(ServiceUnavailable):
        producer.initialise()

    assert time.monotonic() - began < 10


def test_everybody_agrees_where_a_key_lies(settings, topic_of):
    topic = topic_of(7)
    keys = [f"job-{number}-ü" for number in range(200)]
    with closing(Publisher(settings.kafka, "p")) as publisher:
        publisher.publish([record(topic, None, key.encode()) for key in keys])
    with closing(TopicReader(settings.kafka, topic)) as reader:
        found = {message.key.decode(): message.partition for message in reader.read_to_end(20)}

    assert found == {key: partition_of(key, 7) for key in keys}
    numbers = list(range(7))
    assert found == {key: DefaultPartitioner()(key.encode(), numbers, numbers) for key in keys}


class TestCompactedView:
    @pytest.fixture
    def topic(self, topic_of):
        return topic_of(2, **{"cleanup.policy": "compact"})

    @pytest.fixture
    def open_view(self, settings, topic):
        opened = []

        def open_view(on_change=None, decode=bytes.decode):
            view = CompactedView(settings.kafka, topic, decode, on_change, hold_s=0.05)  # as the gateway's
            opened.append(view)
            view.start(20)
            return view

        yield open_view
        for view in opened:
            view.close()

    def test_sees_what_was_there_what_comes_and_what_goes(self, topic, open_view, open_producer):
        producer = open_producer()
        producer.transact([record(topic, b"1", b"a"), record(topic, b"1", b"b")], {})
        changes = []
        view = open_view(lambda key, value: changes.append((key, value)))
        assert view.snapshot() == {"a": "1", "b": "1"}

        producer.transact([record(topic, b"2", b"a")], {})
        view.catch_up().result(10)
        assert view.get("a") == "2"
        producer.transact([record(topic, None, b"a")], {})
        view.catch_up().result(10)

        assert view.snapshot() == {"b": "1"}
        assert changes[-2:] == [("a", "2"), ("a", None)]

    def test_catches_up_promptly_while_nothing_happens_and_behind_a_transaction_marker(
        self, topic, open_view, open_producer
    ):
        producer = open_producer()
        view = open_view()
        waits = []
        for number in range(5):
            producer.transact([record(topic, b"%d" % number, b"a")], {})
            for _ in range(2):  # the second time the reader is idle, its last record followed by a marker
                began = time.monotonic()
                view.catch_up().result(10)
                waits.append(time.monotonic() - began)
                assert view.get("a") == str(number)

        # The quickest of each kind: what else the machine does makes the others late.
        assert min(waits[0::2]) < PROMPT_S, waits
        assert min(waits[1::2]) < PROMPT_S, waits

    def test_sees_its_own_write_behind_a_transaction_that_somebody_else_has_open(
        self, settings, topic, open_view, open_producer, bootstrap_servers, topic_prefix
    ):
        view = open_view()
        slow = Producer({"bootstrap.servers": bootstrap_servers, "transactional.id": f"{topic_prefix}.slow"})
        slow.init_transactions(20)
        slow.begin_transaction()
        slow.produce(topic, b"slow", b"s", partition=0)
        slow.flush(10)
        open_producer().transact([record(topic, b"mine", b"m", partition=0)], {})

        reached = view.catch_up()
        with pytest.raises(TimeoutError):
            reached.result(0.5)
        slow.commit_transaction(20)
        reached.result(20)

        assert view.snapshot() == {"s": "slow", "m": "mine"}

    def test_skips_what_nobody_can_decode(self, topic, open_view, open_producer):
        open_producer().transact(
            [record(topic, b"x", b"a", 0), record(topic, b"\xff", b"b", 0), record(topic, b"y", b"c", 0)], {}
        )

        assert open_view().snapshot() == {"a": "x", "c": "y"}

    def test_outlives_a_listener_that_raises(self, topic, open_view, open_producer):
        def broken(key, value):
            raise RuntimeError(key)

        view = open_view(broken)
        open_producer().transact([record(topic, b"x", b"a")], {})
        view.catch_up().result(10)

        assert view.get("a") == "x"

    def test_fails_who_waits_when_it_is_closed_and_who_comes_later(self, open_view):
        view = open_view()
        view.close()

        with pytest.raises(ServiceUnavailable, match="closed"):
            view.catch_up().result(10)

    def test_many_threads_may_wait_at_once(self, topic, open_view, open_producer):
        view = open_view()
        open_producer().transact([record(topic, b"1", b"a")], {})
        threads = [threading.Thread(target=lambda: view.catch_up().result(10)) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)

        assert not any(thread.is_alive() for thread in threads)

    def test_one_partition_can_be_read_alone(self, settings, topic, open_producer):
        open_producer().transact(
            [record(topic, b"1", b"a", 0), record(topic, b"2", b"a", 0), record(topic, b"1", b"b", 1)], {}
        )

        assert read_compacted(settings.kafka, topic, 0, bytes.decode) == {"a": "2"}
        assert read_compacted(settings.kafka, topic, 1, bytes.decode) == {"b": "1"}


def test_the_end_that_a_reader_can_come_to_lies_before_a_transaction_that_is_open(settings, topic_of, topic_prefix):
    topic = topic_of()
    reader = TopicReader(settings.kafka, topic)
    other = Producer(
        {"bootstrap.servers": settings.kafka.bootstrap, "transactional.id": f"{topic_prefix}.open", "linger.ms": 0}
    )
    other.init_transactions(10)
    other.begin_transaction()
    other.produce(topic, b"not yet")
    other.flush(10)
    with closing(reader):
        assert reader.ends() == {0: 1}
        assert stable_end(reader._admin, (topic, 0)) == 0, "so that it is not taken for one that has stalled"
        other.abort_transaction(10)
        reader.read_to_end()  # the marker may come after the answer
        assert stable_end(reader._admin, (topic, 0)) == 2
