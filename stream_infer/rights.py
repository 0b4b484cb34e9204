"""The least that each role has to be allowed in Kafka, as ACLs: what of Strimzi's users and of docs/operations.md says so.

Every role describes all topics: it checks at its start that they are there.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from stream_infer.settings import ApiSettings, Settings
from stream_infer.topics import ApiTopics, Topics


class Resource(StrEnum):
    """Kafka's own names, as Strimzi spells them."""

    TOPIC = "topic"
    GROUP = "group"
    TRANSACTIONAL_ID = "transactionalId"
    CLUSTER = "cluster"


class Operation(StrEnum):
    READ = "Read"
    WRITE = "Write"
    CREATE = "Create"
    ALTER = "Alter"
    DESCRIBE = "Describe"
    DESCRIBE_CONFIGS = "DescribeConfigs"
    ALTER_CONFIGS = "AlterConfigs"


_READ = (Operation.READ, Operation.DESCRIBE)
_WRITE = (Operation.WRITE, Operation.DESCRIBE)
_BOTH = (Operation.READ, Operation.WRITE, Operation.DESCRIBE)
_LOOK = (Operation.DESCRIBE,)


@dataclass(frozen=True, slots=True)
class Right:
    """`is_prefix`: `name` is how the names of all that it is about begin. Of the cluster `name` is empty."""

    resource: Resource
    name: str
    operations: tuple[Operation, ...]
    is_prefix: bool = False


@dataclass(frozen=True, slots=True)
class User:
    """Who logs in: a role, or the worker of one API."""

    name: str
    rights: tuple[Right, ...]


def users(settings: Settings) -> list[User]:
    """One for each role, for each API's workers, and for `topics apply`. Realtime replicas ask Kafka nothing."""
    topics = Topics(settings.kafka.topic_prefix)
    apis = [topics.api(api.name) for api in settings.apis]
    return [
        User("topics", _topics(topics)),
        User("gateway", (*_every(topics), *_gateway(topics, apis))),
        User("intake", (*_every(topics), *_intake(topics, apis))),
        User("tracker", (*_every(topics), *_tracker(topics))),
        User("sink", (*_every(topics), *_sink(topics, apis))),
        *[User(f"worker-{api.name}", (*_every(topics), *_worker(topics, api))) for api in settings.apis],
    ]


def _topic(operations: tuple[Operation, ...], *names: str) -> list[Right]:
    return [Right(Resource.TOPIC, name, operations) for name in names]


def _prefix(resource: Resource, operations: tuple[Operation, ...], *names: str) -> list[Right]:
    return [Right(resource, name, operations, is_prefix=True) for name in names]


def _group(*names: str) -> list[Right]:
    return [Right(Resource.GROUP, name, _READ) for name in names]


def _every(topics: Topics) -> list[Right]:
    """Readers without a group have a name for one all the same: the client library looks for its coordinator."""
    return [
        *_prefix(Resource.TOPIC, _LOOK, f"{topics.prefix}."),
        *_prefix(Resource.GROUP, _LOOK, f"read-{topics.prefix}."),
        *_topic(_WRITE, topics.logs),
    ]


def _topics(topics: Topics) -> tuple[Right, ...]:
    """`topics apply`: it writes groups' first offsets in transactions, which takes the right to read what they read."""
    p = f"{topics.prefix}."
    changes = (
        Operation.CREATE,
        Operation.ALTER,
        Operation.DESCRIBE,
        Operation.DESCRIBE_CONFIGS,
        Operation.ALTER_CONFIGS,
        Operation.READ,
    )
    return (
        *_prefix(Resource.TOPIC, changes, p),
        *_prefix(Resource.GROUP, _READ, p),
        *_prefix(Resource.TRANSACTIONAL_ID, _WRITE, p),
    )


def _gateway(topics: Topics, apis: list[ApiTopics]) -> list[Right]:
    p = topics.prefix
    return [
        *_topic(_BOTH, topics.jobs, topics.replays, topics.webhooks, topics.apis),
        *_topic(_READ, topics.status, topics.manifests, topics.logs, *(api.dlq for api in apis)),
        *_topic(_WRITE, topics.progress, *(api.items for api in apis)),
        # Who is in the groups, and where they stand.
        *_prefix(Resource.GROUP, _LOOK, f"{p}."),
        *_prefix(Resource.TRANSACTIONAL_ID, _WRITE, f"{p}.gateway", *(f"{p}.{api.api}.replay" for api in apis)),
    ]


def _intake(topics: Topics, apis: list[ApiTopics]) -> list[Right]:
    return [
        *_topic(_BOTH, topics.checkpoints),
        *_topic(_READ, topics.jobs, topics.status),
        *_topic(_WRITE, topics.progress, *(api.items for api in apis)),
        *_group(topics.intake_group),
        *_prefix(Resource.TRANSACTIONAL_ID, _WRITE, f"{topics.prefix}.intake."),
    ]


def _tracker(topics: Topics) -> list[Right]:
    return [
        *_topic(_BOTH, topics.progress, topics.status),
        *_group(topics.tracker_group),
        *_prefix(Resource.TRANSACTIONAL_ID, _WRITE, topics.tracker_group),
    ]


def _sink(topics: Topics, apis: list[ApiTopics]) -> list[Right]:
    p = topics.prefix
    return [
        *_topic(_BOTH, topics.manifests, topics.progress),
        *_topic(_READ, topics.status, topics.replays, *(name for api in apis for name in (api.results, api.dlq))),
        # The control record that asks a worker for on_job_complete.
        *_topic(_WRITE, *(api.items for api in apis)),
        *_group(topics.sink_group, topics.finalizer_group),
        *_prefix(Resource.TRANSACTIONAL_ID, _WRITE, f"{p}.sink.", f"{p}.finalizer."),
    ]


def _worker(topics: Topics, api: ApiSettings) -> list[Right]:
    names = topics.api(api.name)
    return [
        *_topic(_READ, names.items, topics.jobs, topics.status),
        *_prefix(Resource.TOPIC, _BOTH, f"{topics.prefix}.{api.name}.retry."),
        *_topic(_WRITE, names.results, names.dlq, topics.progress),
        *_group(names.worker_group),
        *_prefix(Resource.TRANSACTIONAL_ID, _WRITE, f"{topics.prefix}.{api.name}.worker."),
    ]
