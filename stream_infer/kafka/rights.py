"""The least that each role needs of Kafka's authorizer. docs/security.md shows this table, and a test gives each role
these rights and no other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple

from stream_infer.topics import ApiTopics, Topics


class Role(StrEnum):
    """Who connects. `topics` is whoever runs `topics apply` and `check`; `scaler` watches lag, as KEDA does."""

    GATEWAY = "gateway"
    INTAKE = "intake"
    WORKER = "worker"
    TRACKER = "tracker"
    SINK = "sink"
    TOPICS = "topics"
    SCALER = "scaler"


class Resource(StrEnum):
    """In the words of `kafka-acls`."""

    TOPIC = "topic"
    GROUP = "group"
    TRANSACTIONAL_ID = "transactional-id"
    CLUSTER = "cluster"


class Operation(StrEnum):
    """In the words of `kafka-acls`. Read and Write hold Describe."""

    READ = "Read"
    WRITE = "Write"
    CREATE = "Create"
    ALTER = "Alter"
    DESCRIBE = "Describe"
    DESCRIBE_CONFIGS = "DescribeConfigs"
    ALTER_CONFIGS = "AlterConfigs"


CLUSTER = "kafka-cluster"


class Right(NamedTuple):
    """One allowance. `is_prefix`: of every resource whose name begins so."""

    operation: Operation
    resource: Resource
    name: str
    is_prefix: bool = False

    @property
    def shown(self) -> str:
        return f"{self.name}*" if self.is_prefix else self.name


def rights(role: Role, topics: Topics, apis: Sequence[str]) -> list[Right]:
    """Those of `role`; a worker's `apis` are those that it serves, everybody else's are all."""
    names = [topics.api(api) for api in apis]
    match role:
        case Role.GATEWAY:
            found = [*_gateway(topics, names)]
        case Role.INTAKE:
            found = [*_intake(topics, names)]
        case Role.WORKER:
            found = [*_worker(topics, names)]
        case Role.TRACKER:
            found = [*_tracker(topics)]
        case Role.SINK:
            found = [*_sink(topics, names)]
        case Role.TOPICS:
            return [*_topics(topics, names)]
        case Role.SCALER:
            found = [*_scaler(names)]
    # Each looks at its start whether all topics are there. Reading and writing one shows it, too.
    return [Right(Operation.DESCRIBE, Resource.TOPIC, f"{topics.prefix}.", is_prefix=True), *found]


def _gateway(topics: Topics, apis: Sequence[ApiTopics]) -> Iterable[Right]:
    state = (topics.jobs, topics.status, topics.manifests, topics.webhooks, topics.replays, topics.logs)
    yield from _views(*state, topics.apis, topics.api_states, *(api.dlq for api in apis))
    shared = (topics.jobs, topics.progress, topics.webhooks, topics.replays, topics.logs)
    yield from _writes(*shared, *(api.items for api in apis))
    # Of the writer of events, and of the courier, who follows `status` in a group.
    yield Right(Operation.WRITE, Resource.TRANSACTIONAL_ID, f"{topics.prefix}.gateway.", is_prefix=True)
    yield Right(Operation.READ, Resource.GROUP, topics.webhooks_group)
    for api in apis:
        yield Right(Operation.WRITE, Resource.TRANSACTIONAL_ID, f"{topics.prefix}.{api.api}.replay")
        # How many workers there are.
        yield Right(Operation.DESCRIBE, Resource.GROUP, api.worker_group)
    # How far each group is behind, for its metrics.
    for group in (topics.sink_group, topics.finalizer_group, topics.tracker_group):
        yield Right(Operation.DESCRIBE, Resource.GROUP, group)


def _intake(topics: Topics, apis: Sequence[ApiTopics]) -> Iterable[Right]:
    yield from _views(topics.status, topics.checkpoints, topics.apis)
    yield from _reads(topics.jobs)
    yield Right(Operation.READ, Resource.GROUP, topics.intake_group)
    yield from _writes(topics.checkpoints, topics.progress, topics.logs, *(api.items for api in apis))
    yield Right(Operation.WRITE, Resource.TRANSACTIONAL_ID, f"{topics.prefix}.intake.", is_prefix=True)


def _worker(topics: Topics, apis: Sequence[ApiTopics]) -> Iterable[Right]:
    yield from _views(topics.jobs, topics.status)
    yield from _writes(topics.progress, topics.logs)
    for api in apis:
        yield from _reads(api.items)
        yield from _writes(api.results, api.dlq)
        for operation in (Operation.READ, Operation.WRITE):
            yield Right(operation, Resource.TOPIC, f"{topics.prefix}.{api.api}.retry.", is_prefix=True)
        yield Right(Operation.READ, Resource.GROUP, api.worker_group)
        yield Right(Operation.WRITE, Resource.TRANSACTIONAL_ID, f"{topics.prefix}.{api.api}.worker.", is_prefix=True)


def _tracker(topics: Topics) -> Iterable[Right]:
    yield from _views(topics.status)
    yield from _reads(topics.progress)
    yield Right(Operation.READ, Resource.GROUP, topics.tracker_group)
    # `progress` for the timeouts that it tells itself.
    yield from _writes(topics.status, topics.progress, topics.logs)
    yield Right(Operation.WRITE, Resource.TRANSACTIONAL_ID, f"{topics.tracker_group}.", is_prefix=True)


def _sink(topics: Topics, apis: Sequence[ApiTopics]) -> Iterable[Right]:
    yield from _views(topics.status, topics.manifests, topics.progress, topics.replays, topics.apis)
    yield from _reads(*(topic for api in apis for topic in (api.results, api.dlq)))
    for group in (topics.sink_group, topics.finalizer_group):
        yield Right(Operation.READ, Resource.GROUP, group)
        yield Right(Operation.WRITE, Resource.TRANSACTIONAL_ID, f"{group}.", is_prefix=True)
    # `items` for the word that a job is complete, to predictors that want it.
    yield from _writes(topics.manifests, topics.progress, topics.logs, *(api.items for api in apis))


def _topics(topics: Topics, apis: Sequence[ApiTopics]) -> Iterable[Right]:
    for operation in (Operation.CREATE, Operation.ALTER, Operation.DESCRIBE_CONFIGS, Operation.ALTER_CONFIGS):
        yield Right(operation, Resource.TOPIC, f"{topics.prefix}.", is_prefix=True)
    # Whoever writes a group's place on a topic has to be able to read it.
    for api in apis:
        yield from _reads(api.items, api.results, api.dlq)
        yield Right(Operation.READ, Resource.TOPIC, f"{topics.prefix}.{api.api}.retry.", is_prefix=True)
    yield from _reads(topics.status, topics.progress)
    shared = (topics.sink_group, topics.finalizer_group, topics.webhooks_group, topics.tracker_group)
    for group in (*(api.worker_group for api in apis), *shared):
        yield Right(Operation.READ, Resource.GROUP, group)
        yield Right(Operation.WRITE, Resource.TRANSACTIONAL_ID, f"{group}.first-offsets")
    # For how long the brokers keep the places of groups.
    yield Right(Operation.DESCRIBE_CONFIGS, Resource.CLUSTER, CLUSTER)


def _scaler(apis: Sequence[ApiTopics]) -> Iterable[Right]:
    return (Right(Operation.DESCRIBE, Resource.GROUP, api.worker_group) for api in apis)


def _views(*names: str) -> Iterable[Right]:
    """Topics that are read without a group. librdkafka looks for the coordinator of one all the same: a consumer has to
    have a name, which here is `read-` and its topic's."""
    yield from _reads(*names)
    for name in names:
        yield Right(Operation.DESCRIBE, Resource.GROUP, f"read-{name}")


def _reads(*names: str) -> Iterable[Right]:
    return (Right(Operation.READ, Resource.TOPIC, name) for name in names)


def _writes(*names: str) -> Iterable[Right]:
    return (Right(Operation.WRITE, Resource.TOPIC, name) for name in names)


class Row(NamedTuple):
    """A line of the table: everything that a role may do with one resource."""

    resource: Resource
    name: str
    operations: tuple[Operation, ...]


def rows(found: Iterable[Right]) -> list[Row]:
    """Rights by what they are of, in the order in which they come first."""
    by_resource: dict[tuple[Resource, str], list[Operation]] = {}
    for right in found:
        held = by_resource.setdefault((right.resource, right.shown), [])
        if right.operation not in held:
            held.append(right.operation)
    return [Row(resource, name, tuple(operations)) for (resource, name), operations in by_resource.items()]
