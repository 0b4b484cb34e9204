"""Topics and first offsets brought to what the configuration says, and checked at each role's start."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

import structlog
from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._metadata import ClusterMetadata
from confluent_kafka.cimpl import NewPartitions, NewTopic

from stream_infer.errors import ServiceUnavailable, TopicMismatch
from stream_infer.kafka.client import client_config
from stream_infer.kafka.errors import translate
from stream_infer.kafka.groups import count_missing, group_lag, write_first_offsets
from stream_infer.kafka.topic_plan import ExistingTopic, TopicPlan, TopicStep, mismatch, plan_topics
from stream_infer.settings import ApiSettings, KafkaSettings, Settings
from stream_infer.topics import (
    GroupSpec,
    Topics,
    TopicSpec,
    api_group_specs,
    api_topic_specs,
    group_specs,
    topic_specs,
)

__all__ = [
    "Applied",
    "apply",
    "apply_api",
    "check_topics",
    "count_brokers",
    "group_lag",
    "missing_first_offsets",
    "plan",
    "retention_conflicts",
    "topic_ids",
]

log = structlog.get_logger(__name__)

_TIMEOUT_S = 10.0
_APPLY_TIMEOUT_S = 60.0
_AGAIN_AFTER_S = 0.1
# Another process has just done the same: the next look at the topics tells whether it did it as we want it.
_DONE_ALREADY = frozenset({KafkaError.TOPIC_ALREADY_EXISTS, KafkaError.INVALID_PARTITIONS})


@dataclass(frozen=True, slots=True)
class Applied:
    """What `apply` has changed: the plan that it carried out, and how many first offsets it wrote per group."""

    plan: TopicPlan
    first_offsets: Mapping[str, int]


def plan(settings: Settings) -> TopicPlan:
    """What `apply` would do to the topics. Changes nothing. Raises ServiceUnavailable."""
    return _Admin(settings.kafka).plan(topic_specs(settings), settings.kafka.replication_factor)


def apply(settings: Settings) -> Applied:
    """Creates, grows and alters topics, then writes the groups' first offsets. Can be run again, and by two at once.

    Raises TopicMismatch before anything is changed where a topic cannot be brought to what is asked, and
    ServiceUnavailable.
    """
    return _apply(settings, topic_specs(settings), group_specs(settings))


def apply_api(settings: Settings, api: ApiSettings) -> Applied:
    """As `apply`, of the topics and first offsets of one API, whether `settings` has it or not."""
    return _apply(settings, api_topic_specs(api, settings), api_group_specs(api, settings))


def _apply(settings: Settings, specs: Sequence[TopicSpec], groups: Iterable[GroupSpec]) -> Applied:
    admin, replicas = _Admin(settings.kafka), settings.kafka.replication_factor
    first = admin.plan(specs, replicas)
    deadline = time.monotonic() + _APPLY_TIMEOUT_S
    current = first
    while True:
        if current.refusals:
            raise TopicMismatch("\n".join(current.refusals))
        if current.is_done:
            break
        if time.monotonic() > deadline:
            left = ", ".join(step.spec.name for step in current.steps if step.action != "ok")
            raise ServiceUnavailable(
                f"these topics are not there {_APPLY_TIMEOUT_S:.0f} s after the broker took: {left}"
            )
        admin.carry_out(current)
        current = admin.plan(specs, replicas)
        if not current.is_done:
            time.sleep(_AGAIN_AFTER_S)  # the broker's metadata follows the controller
    written = {group.name: write_first_offsets(settings, group.name, group.topics) for group in groups}
    log.info("topics applied", topics=len(first.steps), first_offsets=sum(written.values()))
    return Applied(first, written)


def check_topics(settings: Settings) -> None:
    """For a role to call at its start. Raises TopicMismatch with a line a topic, or ServiceUnavailable."""
    partitions = _Admin(settings.kafka).partition_counts()
    specs = topic_specs(settings)
    missing = [spec.name for spec in specs if spec.name not in partitions]
    said = [f"{_counted(missing)} missing: run 'stream-infer topics apply' to create what lacks."] if missing else []
    there = [mismatch(spec, partitions[spec.name]) for spec in specs if spec.name in partitions]
    said += [fault for fault in there if fault is not None]
    if said:
        raise TopicMismatch("\n".join(said))


def _counted(topics: list[str]) -> str:
    if len(topics) == 1:
        return f"topic {topics[0]} is"
    return f"{len(topics)} topics ({topics[0]}, …) are"


def cluster_id(kafka: KafkaSettings) -> str:
    """The name the cluster has given itself: however its address is spelled. Raises ServiceUnavailable."""
    admin = AdminClient(client_config(kafka, "cluster-id"))
    try:
        return str(admin.list_topics(timeout=_TIMEOUT_S).cluster_id)
    except KafkaException as error:
        raise translate(error, "asking for the cluster's id", kafka.bootstrap) from error


def topic_ids(kafka: KafkaSettings, names: Iterable[str]) -> dict[str, str]:
    """The ids that those of these topics that exist have got when they were made. Raises ServiceUnavailable."""
    client = AdminClient(client_config(kafka, "topic-ids"))
    ids: dict[str, str] = {}
    for name, future in client.describe_topics(TopicCollection(list(names)), request_timeout=_TIMEOUT_S).items():
        try:
            ids[name] = str(future.result().topic_id)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise translate(error, "asking for the topics' ids", kafka.bootstrap) from error
    return ids


def count_brokers(settings: Settings) -> int:
    """How many brokers there are. Raises ServiceUnavailable."""
    return _Admin(settings.kafka).count_brokers()


def missing_first_offsets(settings: Settings) -> list[str]:
    """A sentence for each group that has no place, or a place that is gone, on a partition it reads.

    Raises TopicMismatch (a topic is missing) or ServiceUnavailable.
    """
    missing = {group.name: count_missing(settings, group.name, group.topics) for group in group_specs(settings)}
    return [
        f"group {name} has no place on {count} partitions: run 'stream-infer topics apply' to write it."
        for name, count in missing.items()
        if count
    ]


def retention_conflicts(settings: Settings) -> list[str]:
    """Why an idle group could forget its place: the broker keeps offsets for less long than the items themselves.

    A worker group scaled to zero would lose its place while its items still wait. One sentence per API; empty is well.
    Raises ServiceUnavailable, or StreamInferError where the broker does not let us read its configuration.
    """
    admin = _Admin(settings.kafka)
    kept_ms = admin.offsets_retention_minutes() * 60_000
    topics = Topics(settings.kafka.topic_prefix)
    names = [topics.api(api.name).items for api in settings.apis]
    conflicts = []
    for name, config in admin.topic_configs(names).items():
        retention_ms = int(config.get("retention.ms", "-1"))
        if retention_ms < 0 or retention_ms > kept_ms:
            kept = "for ever" if retention_ms < 0 else f"for {retention_ms / 60_000:.0f} minutes"
            conflicts.append(
                f"{name} keeps items {kept}, the broker keeps the offsets of an idle group for {kept_ms // 60_000} "
                "minutes: raise offsets.retention.minutes on the brokers, or lower the topic's retention.ms."
            )
    return conflicts


class _Admin:
    """The admin requests that are made here, in our words."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka
        self._where = kafka.bootstrap
        self._client = AdminClient(client_config(kafka, "stream-infer-admin"))

    def plan(self, specs: Sequence[TopicSpec], replication_factor: int) -> TopicPlan:
        return plan_topics(specs, self._existing([spec.name for spec in specs]), replication_factor)

    def partition_counts(self) -> dict[str, int]:
        return {name: topic[0] for name, topic in self._topics().items()}

    def count_brokers(self) -> int:
        return len(self._metadata().brokers)

    def carry_out(self, todo: TopicPlan) -> None:
        self._create([step for step in todo.steps if step.existing is None], todo.replication_factor)
        self._grow([step for step in todo.steps if step.grow_to is not None])
        self._alter([step for step in todo.steps if step.alter])

    def topic_configs(self, names: Iterable[str]) -> dict[str, dict[str, str]]:
        resources = [ConfigResource(ConfigResource.Type.TOPIC, name) for name in names]
        return {resource.name: config for resource, config in self._describe(resources).items()}

    def offsets_retention_minutes(self) -> int:
        broker = min(self._metadata().brokers)
        [config] = self._describe([ConfigResource(ConfigResource.Type.BROKER, str(broker))]).values()
        return int(config["offsets.retention.minutes"])

    def _existing(self, names: Iterable[str]) -> dict[str, ExistingTopic]:
        there = self._topics()
        found = [name for name in names if name in there]
        configs = self.topic_configs(found)
        return {name: ExistingTopic(name, *there[name], configs[name]) for name in found if name in configs}

    def _topics(self) -> dict[str, tuple[int, int]]:
        """Each topic's number of partitions and replication factor."""
        topics = self._metadata().topics
        return {
            name: (len(topic.partitions), min(len(one.replicas) for one in topic.partitions.values()))
            for name, topic in topics.items()
            if topic.partitions
        }

    def _metadata(self) -> ClusterMetadata:
        try:
            return self._client.list_topics(timeout=_TIMEOUT_S)
        except KafkaException as error:
            raise translate(error, "listing topics", self._where) from error

    def _describe(self, resources: list[ConfigResource]) -> dict[ConfigResource, dict[str, str]]:
        if not resources:
            return {}
        futures = self._client.describe_configs(resources, request_timeout=_TIMEOUT_S)
        try:
            return {
                resource: {name: entry.value for name, entry in future.result().items() if entry.value is not None}
                for resource, future in futures.items()
            }
        except KafkaException as error:
            raise translate(error, "reading the configuration of topics and brokers", self._where) from error

    def _create(self, steps: list[TopicStep], replication_factor: int) -> None:
        topics = [
            NewTopic(step.spec.name, step.spec.partitions, replication_factor, config=dict(step.spec.config))
            for step in steps
        ]
        if topics:
            self._await(self._client.create_topics(topics, request_timeout=_TIMEOUT_S), "creating topic")

    def _grow(self, steps: list[TopicStep]) -> None:
        grown = [NewPartitions(step.spec.name, step.grow_to) for step in steps if step.grow_to is not None]
        if grown:
            self._await(self._client.create_partitions(grown, request_timeout=_TIMEOUT_S), "adding partitions to")

    def _alter(self, steps: list[TopicStep]) -> None:
        resources = [
            ConfigResource(
                ConfigResource.Type.TOPIC,
                step.spec.name,
                incremental_configs=[
                    ConfigEntry(name, new, incremental_operation=AlterConfigOpType.SET)
                    for name, (_, new) in step.alter.items()
                ],
            )
            for step in steps
        ]
        if resources:
            futures = self._client.incremental_alter_configs(resources, request_timeout=_TIMEOUT_S)
            self._await({resource.name: future for resource, future in futures.items()}, "altering topic")

    def _await(self, futures: Mapping[str, Future[None]], doing: str) -> None:
        for name, future in futures.items():
            try:
                future.result()
            except KafkaException as error:
                if error.args[0].code() not in _DONE_ALREADY:
                    raise translate(error, f"{doing} {name}", self._where) from error
