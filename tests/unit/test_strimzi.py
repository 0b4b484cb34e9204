"""Topics and users for Strimzi are those of the code."""

from pathlib import Path

import pytest
import yaml

from stream_infer.cli.strimzi import topic_manifests, user_manifests, yaml_text
from stream_infer.configuration import load_settings
from stream_infer.rights import Operation, Resource, users
from stream_infer.settings import Settings
from stream_infer.topics import Topics, group_specs, topic_specs

ROOT = Path(__file__).parents[2]


@pytest.fixture
def settings() -> Settings:
    return load_settings(ROOT / "deploy/compose/stream-infer.yaml", {})


def test_every_topic_has_its_manifest_with_its_partitions_and_settings(settings):
    made = {
        manifest["spec"]["topicName"]: (manifest["spec"]["partitions"], manifest["spec"]["config"])
        for manifest in topic_manifests(settings, "kafka")
    }

    assert made == {spec.name: (spec.partitions, dict(spec.config)) for spec in topic_specs(settings)}


def test_a_manifest_belongs_to_its_cluster_and_replicates_as_the_settings_say(settings):
    kafka = settings.kafka.model_copy(update={"replication_factor": 3})
    manifest = topic_manifests(settings.model_copy(update={"kafka": kafka}), "mine")[0]

    assert manifest["metadata"]["labels"]["strimzi.io/cluster"] == "mine"
    assert manifest["spec"]["replicas"] == 3


def test_a_name_that_kubernetes_does_not_take_is_told_apart_from_the_topics(settings):
    kafka = settings.kafka.model_copy(update={"topic_prefix": "Team_A"})
    manifest = topic_manifests(settings.model_copy(update={"kafka": kafka}), "kafka")[0]

    assert manifest["metadata"]["name"] == "team-a.shouter.items"
    assert manifest["spec"]["topicName"] == "Team_A.shouter.items"


def test_every_topic_is_read_and_every_one_is_written_by_somebody(settings):
    def allowed(operation: Operation) -> set[str]:
        return {
            spec.name
            for spec in topic_specs(settings)
            for user in users(settings)[1:]
            for right in user.rights
            if right.resource is Resource.TOPIC and operation in right.operations
            if (spec.name.startswith(right.name) if right.is_prefix else spec.name == right.name)
        }

    everything = {spec.name for spec in topic_specs(settings)}

    assert allowed(Operation.WRITE) == everything
    assert allowed(Operation.READ) == everything


def test_every_group_has_a_member_that_may_be_one(settings):
    groups = {right.name for user in users(settings) for right in user.rights if right.resource is Resource.GROUP}

    assert {group.name for group in group_specs(settings)} <= groups


def test_a_worker_may_write_nothing_of_another_api():
    predictor = {"type": "native", "target": "model.py:Model"}
    apis = [{"name": "first", "predictor": predictor}, {"name": "second", "predictor": predictor}]
    worker = next(
        user for user in users(Settings.model_validate({"apis": apis})) if user.name == "worker-first"
    )

    writes = {
        right.name
        for right in worker.rights
        if right.resource is Resource.TOPIC and Operation.WRITE in right.operations
    }

    assert not any(name.startswith(Topics("stream-infer").api("second").items[: -len("items")]) for name in writes)


def test_a_user_is_made_for_each_role_that_asks_kafka(settings):
    names = [manifest["metadata"]["name"] for manifest in user_manifests(settings, "kafka")]

    assert names == [
        f"stream-infer-{name}" for name in ("topics", "gateway", "intake", "tracker", "sink", "worker-shouter")
    ]


def test_what_is_printed_can_be_applied(settings):
    manifests = topic_manifests(settings, "kafka")

    assert list(yaml.safe_load_all(yaml_text(manifests))) == manifests
