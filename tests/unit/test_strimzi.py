"""Topics and users for Strimzi are those of the code."""

import pytest
import yaml

from deploy.generated import COMPOSE
from stream_infer.cli.strimzi import topic_manifests, user_manifests, yaml_text
from stream_infer.configuration import load_settings
from stream_infer.kafka.rights import Role, rights
from stream_infer.settings import Settings
from stream_infer.topics import Topics, topic_specs


@pytest.fixture
def settings() -> Settings:
    return load_settings(COMPOSE / "stream-infer.yaml", {})


def under(settings: Settings, **kafka: object) -> Settings:
    return settings.model_copy(update={"kafka": settings.kafka.model_copy(update=kafka)})


def acls_of(manifests: list[dict], name: str) -> list[dict]:
    (found,) = [one for one in manifests if one["metadata"]["name"] == name]
    return found["spec"]["authorization"]["acls"]


def test_every_topic_has_its_manifest_with_its_partitions_and_settings(settings):
    made = {
        one["spec"]["topicName"]: (one["spec"]["partitions"], one["spec"]["config"])
        for one in topic_manifests(settings, "kafka")
    }

    assert made == {spec.name: (spec.partitions, dict(spec.config)) for spec in topic_specs(settings)}


def test_a_manifest_belongs_to_its_cluster_and_is_replicated_as_the_settings_say(settings):
    manifest = topic_manifests(under(settings, replication_factor=3), "mine")[0]

    assert manifest["metadata"]["labels"]["strimzi.io/cluster"] == "mine"
    assert manifest["spec"]["replicas"] == 3


def test_a_topic_whose_name_kubernetes_does_not_take_keeps_it(settings):
    manifest = topic_manifests(under(settings, topic_prefix="Team_A"), "kafka")[0]

    assert manifest["metadata"]["name"] == "team-a.shouter.items"
    assert manifest["spec"]["topicName"] == "Team_A.shouter.items"


def test_there_is_a_user_for_each_role_and_for_the_workers_of_each_api(settings):
    names = {one["metadata"]["name"] for one in user_manifests(settings, "kafka")}
    roles = {role.value for role in Role} - {"worker"}

    assert names == {f"stream-infer-{name}" for name in (*roles, "worker-shouter")}


def test_a_user_may_do_what_its_role_needs_and_nothing_else(settings):
    manifests = user_manifests(settings, "kafka")
    kinds = {"transactionalId": "transactional-id"}
    for role in Role:
        name = "worker-shouter" if role is Role.WORKER else role.value
        allowed = {
            (
                operation,
                kinds.get(acl["resource"]["type"], acl["resource"]["type"]),
                acl["resource"].get("name", "kafka-cluster"),
                acl["resource"].get("patternType") == "prefix",
            )
            for acl in acls_of(manifests, f"stream-infer-{name}")
            for operation in acl["operations"]
        }

        needed = rights(role, Topics("stream-infer"), ["shouter"])
        assert allowed == {(one.operation, one.resource, one.name, one.is_prefix) for one in needed}


def test_a_resource_stands_once_with_all_that_may_be_done_with_it(settings):
    for manifest in user_manifests(settings, "kafka"):
        resources = [yaml.safe_dump(acl["resource"]) for acl in manifest["spec"]["authorization"]["acls"]]
        assert len(resources) == len(set(resources)), manifest["metadata"]["name"]


def test_what_is_printed_reads_as_what_was_made(settings):
    manifests = [*topic_manifests(settings, "kafka"), *user_manifests(settings, "kafka")]

    assert list(yaml.safe_load_all(yaml_text(manifests))) == manifests
