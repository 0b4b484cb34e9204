"""Topics and users as manifests for Strimzi, the operator that runs Kafka in Kubernetes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, TypeAlias

import yaml

from stream_infer.rights import Resource, Right, users
from stream_infer.settings import Settings
from stream_infer.topics import topic_specs

Manifest: TypeAlias = dict[str, Any]

_API_VERSION = "kafka.strimzi.io/v1"


def topic_manifests(settings: Settings, cluster: str) -> list[Manifest]:
    """A KafkaTopic for each topic that `settings` asks for. `cluster` is the name of the Kafka resource.

    Strimzi then keeps their settings; `topics apply` finds nothing to change, and writes the groups' first offsets.
    """
    replicas = settings.kafka.replication_factor
    return [
        _manifest("KafkaTopic", _resource_name(spec.name), cluster)
        | {
            "spec": {
                "topicName": spec.name,
                "partitions": spec.partitions,
                "replicas": replicas,
                "config": dict(spec.config),
            }
        }
        for spec in topic_specs(settings)
    ]


def user_manifests(settings: Settings, cluster: str) -> list[Manifest]:
    """A KafkaUser for each role, with the least that it needs. Strimzi puts its password into a Secret of its name."""
    prefix = settings.kafka.topic_prefix
    return [
        _manifest("KafkaUser", _resource_name(f"{prefix}-{user.name}"), cluster)
        | {
            "spec": {
                "authentication": {"type": "scram-sha-512"},
                "authorization": {"type": "simple", "acls": [_acl(right) for right in user.rights]},
            }
        }
        for user in users(settings)
    ]


def yaml_text(manifests: Iterable[Manifest]) -> str:
    text: str = yaml.safe_dump_all(manifests, sort_keys=False, explicit_start=True)
    return text


def _manifest(kind: str, name: str, cluster: str) -> Manifest:
    labels = {"strimzi.io/cluster": cluster, "app.kubernetes.io/part-of": "stream-infer"}
    return {"apiVersion": _API_VERSION, "kind": kind, "metadata": {"name": name, "labels": labels}}


def _acl(right: Right) -> Manifest:
    resource = {"type": right.resource.value}
    if right.resource is not Resource.CLUSTER:
        resource |= {"name": right.name, "patternType": "prefix" if right.is_prefix else "literal"}
    return {"resource": resource, "operations": [operation.value for operation in right.operations]}


def _resource_name(name: str) -> str:
    """As Kubernetes takes it: a topic's name may have capitals and underscores."""
    return re.sub(r"[^a-z0-9.-]", "-", name.lower()).strip("-.")
