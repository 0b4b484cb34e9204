from concurrent.futures import ThreadPoolExecutor

import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource

from stream_infer.errors import ServiceUnavailable, TopicMismatch
from stream_infer.kafka import admin
from stream_infer.kafka.consumer import GroupConsumer
from stream_infer.kafka.publisher import Publisher
from stream_infer.kafka.topic_plan import Action
from stream_infer.predictor_settings import NativePredictor
from stream_infer.records import EndOfPartition, OutgoingRecord
from stream_infer.settings import ApiSettings, JobsSettings, KafkaSettings, LimitSettings, Settings
from stream_infer.topics import Topics


class Quiet:
    def assigned(self, partitions): ...

    def revoked(self, partitions): ...

    def lost(self, partitions): ...


@pytest.fixture
def settings_with(bootstrap_servers, topic_prefix):
    def settings_with(partitions=2, jobs=2, **more):
        api = ApiSettings(name="a", partitions=partitions, predictor=NativePredictor(target="model.py:Model"))
        kafka = KafkaSettings(bootstrap_servers=bootstrap_servers, topic_prefix=topic_prefix)
        return Settings(kafka=kafka, jobs=JobsSettings(partitions=jobs), apis=[api], **more)

    return settings_with


def read_to_end(consumer):
    while not any(isinstance(record, EndOfPartition) for record in consumer.poll(10, 0.1)):
        pass


def actions(settings):
    return {
        step.spec.name.removeprefix(f"{settings.kafka.topic_prefix}."): step.action
        for step in admin.plan(settings).steps
    }


def test_apply_makes_every_topic_and_every_first_offset_and_can_be_run_again(settings_with):
    settings = settings_with()
    assert set(actions(settings).values()) == {Action.CREATE}
    with pytest.raises(TopicMismatch, match=r"15 topics .* are missing: run 'stream-infer topics apply'"):
        admin.check_topics(settings)

    applied = admin.apply(settings)

    assert set(actions(settings).values()) == {Action.OK}
    assert sum(applied.first_offsets.values()) == 16
    assert admin.missing_first_offsets(settings) == []
    admin.check_topics(settings)
    assert sum(admin.apply(settings).first_offsets.values()) == 0


def test_a_topic_that_is_made_anew_has_another_id(settings_with, bootstrap_servers):
    settings = settings_with()
    admin.apply(settings)
    names = Topics(settings.kafka.topic_prefix).api("a")
    asked = [names.items, names.retry(1), names.retry(9)]
    first = admin.topic_ids(settings.kafka, asked)
    assert list(first) == [names.items, names.retry(1)]
    assert first == admin.topic_ids(settings.kafka, asked)
    client = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})
    client.delete_topics([names.items])[names.items].result()
    admin.apply(settings)
    again = admin.topic_ids(settings.kafka, asked)
    assert again[names.items] != first[names.items]
    assert again[names.retry(1)] == first[names.retry(1)]
    assert all(len(each) > 10 for each in again.values())


def test_two_processes_may_apply_at_once(settings_with):
    settings = settings_with()

    with ThreadPoolExecutor(2) as pool:
        both = [future.result() for future in [pool.submit(admin.apply, settings) for _ in range(2)]]

    assert sum(sum(applied.first_offsets.values()) for applied in both) == 16
    admin.check_topics(settings)


def test_items_grow_while_a_worker_runs_and_the_new_partitions_get_their_offset(settings_with):
    settings = settings_with(partitions=1)
    admin.apply(settings)
    names = Topics(settings.kafka.topic_prefix).api("a")
    consumer = GroupConsumer(settings.kafka, names.worker_group, "w", Quiet())
    consumer.subscribe([names.items])
    try:
        read_to_end(consumer)
        wider = settings_with(partitions=3)
        with pytest.raises(TopicMismatch, match="has 1 partition, the configuration wants 3: run 'stream-infer topics"):
            admin.check_topics(wider)

        admin.apply(wider)

        assert admin.missing_first_offsets(wider) == []
        assert set(admin.group_lag(wider, names.worker_group, [names.items]).values()) == {0}
        assert actions(wider)["a.results"] is Action.OK
    finally:
        consumer.close()


def test_a_place_that_a_group_has_is_never_touched(settings_with):
    settings = settings_with(partitions=1)
    admin.apply(settings)
    names = Topics(settings.kafka.topic_prefix).api("a")
    publisher = Publisher(settings.kafka, "test")
    publisher.publish([OutgoingRecord(names.items, None, b"1"), OutgoingRecord(names.items, None, b"2")])
    publisher.close()

    assert admin.group_lag(settings, names.worker_group, [names.items]) == {(names.items, 0): 2}
    assert sum(admin.apply(settings_with(partitions=2)).first_offsets.values()) == 5
    assert admin.group_lag(settings, names.worker_group, [names.items]) == {(names.items, 0): 2, (names.items, 1): 0}


def test_settings_that_differ_are_altered(settings_with):
    admin.apply(settings_with())
    larger = settings_with(limits=LimitSettings(payload_bytes=3_000_000))
    assert actions(larger)["a.items"] is Action.ALTER

    admin.apply(larger)

    assert set(actions(larger).values()) == {Action.OK}


def test_partitions_of_job_keyed_topics_never_change_and_nothing_else_is_done_then(settings_with):
    admin.apply(settings_with())
    changed = settings_with(partitions=3, jobs=4)

    with pytest.raises(
        TopicMismatch, match=r"\.jobs has 2 partitions, the configuration wants 4\. .* set jobs.partitions"
    ):
        admin.apply(changed)
    with pytest.raises(TopicMismatch, match=r"\.jobs has 2 partitions, the configuration wants 4: set jobs.partitions"):
        admin.check_topics(changed)

    assert actions(changed)["a.items"] is Action.GROW


def test_partitions_cannot_be_taken_away(settings_with):
    admin.apply(settings_with(partitions=2))

    with pytest.raises(TopicMismatch, match=r"a\.items has 2 partitions, the configuration wants 1\. Kafka cannot"):
        admin.apply(settings_with(partitions=1))
    admin.check_topics(settings_with(partitions=1))


def test_a_group_without_a_place_is_told_to_apply(settings_with):
    settings = settings_with(partitions=1)
    admin.apply(settings)
    names = Topics(settings.kafka.topic_prefix).api("a")
    consumer = GroupConsumer(settings.kafka, f"{names.worker_group}.unknown", "w", Quiet())
    consumer.subscribe([names.items])
    try:
        with pytest.raises(TopicMismatch, match=r"a\.items\[0\].*Run 'stream-infer topics apply'"):
            read_to_end(consumer)
    finally:
        consumer.close()


def test_items_that_outlive_the_place_of_an_idle_group_are_a_conflict(settings_with, bootstrap_servers):
    settings = settings_with()
    admin.apply(settings)
    assert admin.retention_conflicts(settings) == []

    items = Topics(settings.kafka.topic_prefix).api("a").items
    entry = ConfigEntry("retention.ms", "-1", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ConfigResource.Type.TOPIC, items, incremental_configs=[entry])
    client = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})
    client.incremental_alter_configs([resource])[resource].result()

    [conflict] = admin.retention_conflicts(settings)
    assert f"{items} keeps items for ever" in conflict
    assert "raise offsets.retention.minutes" in conflict


def test_a_broker_that_does_not_answer_is_told_within_a_bounded_time(settings_with, monkeypatch):
    monkeypatch.setattr(admin, "_TIMEOUT_S", 1.0)
    nowhere = settings_with().model_copy(update={"kafka": KafkaSettings(bootstrap_servers="127.0.0.1:1")})

    for request in (admin.plan, admin.apply, admin.check_topics):
        with pytest.raises(ServiceUnavailable, match=r"cannot reach Kafka at 127\.0\.0\.1:1.*kafka\.bootstrap_servers"):
            request(nowhere)
