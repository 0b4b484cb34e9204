"""Topics and users as manifests for Strimzi, the operator that runs Kafka in Kubernetes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final, TypeAlias

import yaml

from stream_infer.kafka.rights import Resource, Right, Role, rights
from stream_infer.settings import Settings
from stream_infer.topics import Topics, topic_specs

Manifest: TypeAlias = dict[str, Any]

_API_VERSION: Final = "kafka.strimzi.io/v1"
_KINDS: Final = {
    Resource.TOPIC: "topic",
    Resource.GROUP: "group",
    Resource.TRANSACTIONAL_ID: "transactionalId",
    Resource.CLUSTER: "cluster",
}


def topic_manifests(settings: Settings, cluster: str) -> list[Manifest]:
    """A KafkaTopic for each topic that `settings` asks for. `cluster` is the name of the Kafka resource.

    Strimzi then keeps their settings; `topics apply` finds nothing to change, and writes the groups' first offsets.
    """
    replicas = settings.kafka.replication_factor
    return [
        _manifest("KafkaTopic", spec.name, cluster)
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
    """A KafkaUser for each role, and for each API's workers, with the least that they need.

    Strimzi puts a user's password into a Secret of the user's name.
    """
    prefix = settings.kafka.topic_prefix
    return [
        _manifest("KafkaUser", f"{prefix}-{name}", cluster)
        | {
            "spec": {
                "authentication": {"type": "scram-sha-512"},
                "authorization": {"type": "simple", "acls": _acls(held)},
            }
        }
        for name, held in _users(settings)
    ]


def yaml_text(manifests: Iterable[Manifest]) -> str:
    text: str = yaml.safe_dump_all(manifests, sort_keys=False, explicit_start=True)
    return text


def _users(settings: Settings) -> Iterator[tuple[str, list[Right]]]:
    topics, apis = Topics(settings.kafka.topic_prefix), [api.name for api in settings.apis]
    for role in Role:
        if role is Role.WORKER:
            yield from ((f"worker-{api}", rights(role, topics, [api])) for api in apis)
        else:
            yield role.value, rights(role, topics, apis)


def _manifest(kind: str, name: str, cluster: str) -> Manifest:
    """Kubernetes takes fewer names than Kafka: a topic's may have capitals and underscores."""
    taken = re.sub(r"[^a-z0-9.-]", "-", name.lower()).strip("-.")
    labels = {"strimzi.io/cluster": cluster, "app.kubernetes.io/part-of": "stream-infer"}
    return {"apiVersion": _API_VERSION, "kind": kind, "metadata": {"name": taken, "labels": labels}}


def _acls(held: Iterable[Right]) -> list[Manifest]:
    """An entry a resource, with all that may be done with it."""
    operations: dict[tuple[Resource, str, bool], list[str]] = {}
    for right in held:
        known = operations.setdefault((right.resource, right.name, right.is_prefix), [])
        if right.operation.value not in known:
            known.append(right.operation.value)
    return [{"resource": _resource(*of), "operations": allowed} for of, allowed in operations.items()]


def _resource(resource: Resource, name: str, is_prefix: bool) -> Manifest:  # noqa: FBT001 - a key, taken apart
    if resource is Resource.CLUSTER:
        return {"type": _KINDS[resource]}
    return {"type": _KINDS[resource], "name": name, "patternType": "prefix" if is_prefix else "literal"}
