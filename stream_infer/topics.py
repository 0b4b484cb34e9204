"""All topics, their names and their settings. One topic, one meaning."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from stream_infer.settings import MIB, ApiSettings, Settings

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic as it should be. `fixed`: its partition count can never change, since its records are keyed by job."""

    name: str
    partitions: int
    fixed: bool
    config: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GroupSpec:
    """A consumer group and the topics whose first offsets it needs before anyone joins."""

    name: str
    topics: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ApiTopics:
    """The topics of one API."""

    prefix: str
    api: str

    @property
    def items(self) -> str:
        return f"{self.prefix}.{self.api}.items"

    @property
    def results(self) -> str:
        return f"{self.prefix}.{self.api}.results"

    @property
    def dlq(self) -> str:
        return f"{self.prefix}.{self.api}.dlq"

    def retry(self, tier: int) -> str:
        """Items that wait for attempt `tier` + 1; tiers count from 1."""
        return f"{self.prefix}.{self.api}.retry.{tier}"

    @property
    def tier_pattern(self) -> str:
        """Every tier that was ever made, so that lowering `max_attempts` strands nothing."""
        return rf"{re.escape(self.prefix)}\.{re.escape(self.api)}\.retry\.[0-9]+"

    def tier_of(self, topic: str) -> int | None:
        """The tier that `topic` is; None for the items topic."""
        digits = topic.rpartition(".retry.")[2] if topic != self.items else ""
        return int(digits) if digits.isdecimal() else None

    @property
    def worker_group(self) -> str:
        return f"{self.prefix}.{self.api}.worker"


@dataclass(frozen=True, slots=True)
class Topics:
    """The names under one prefix."""

    prefix: str

    def api(self, name: str) -> ApiTopics:
        return ApiTopics(self.prefix, name)

    def _shared(self, name: str) -> str:
        return f"{self.prefix}.{name}"

    @property
    def jobs(self) -> str:
        return self._shared("jobs")

    @property
    def checkpoints(self) -> str:
        return self._shared("checkpoints")

    @property
    def progress(self) -> str:
        return self._shared("progress")

    @property
    def status(self) -> str:
        return self._shared("status")

    @property
    def manifests(self) -> str:
        return self._shared("manifests")

    @property
    def webhooks(self) -> str:
        return self._shared("webhooks")

    @property
    def replays(self) -> str:
        return self._shared("replays")

    @property
    def apis(self) -> str:
        return self._shared("apis")

    @property
    def api_states(self) -> str:
        return self._shared("api-states")

    @property
    def logs(self) -> str:
        return self._shared("logs")

    @property
    def intake_group(self) -> str:
        return self._shared("intake")

    @property
    def sink_group(self) -> str:
        return self._shared("sink")

    @property
    def finalizer_group(self) -> str:
        return self._shared("finalizer")

    @property
    def webhooks_group(self) -> str:
        return self._shared("webhooks")

    @property
    def tracker_group(self) -> str:
        return self._shared("tracker")


def retry_tiers(api: ApiSettings) -> int:
    return api.retry.max_attempts - 1


def topic_specs(settings: Settings) -> list[TopicSpec]:
    """Every topic that `settings` asks for, in the order in which an item meets them."""
    topics = Topics(settings.kafka.topic_prefix)
    specs = [spec for api in settings.apis for spec in api_topic_specs(api, settings)]
    jobs = settings.jobs.partitions
    retention = str(int(settings.jobs.retention * 1000))
    compact = {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.1", "segment.ms": str(DAY_MS)}
    kept = {"cleanup.policy": "delete", "retention.ms": retention}
    shared = [
        TopicSpec(topics.jobs, jobs, True, {**compact, "max.message.bytes": str(4 * MIB)}),
        TopicSpec(topics.checkpoints, jobs, True, compact),
        TopicSpec(topics.progress, jobs, True, kept),
        TopicSpec(topics.status, jobs, True, compact),
        TopicSpec(topics.manifests, jobs, True, compact),
        TopicSpec(topics.webhooks, jobs, True, compact),
        TopicSpec(topics.replays, jobs, True, compact),
        TopicSpec(topics.apis, 1, True, compact),
        TopicSpec(topics.api_states, 1, True, compact),
        TopicSpec(topics.logs, jobs, True, {"cleanup.policy": "delete", "retention.ms": str(7 * DAY_MS)}),
    ]
    return specs + shared


def api_topic_specs(api: ApiSettings, settings: Settings) -> list[TopicSpec]:
    """Those of one API.

    `retry.*` and `dlq` take the largest uncompressed item plus 1 MiB: a dead letter that does not fit is lost.

    Measured: a 3 MB lz4 item fits `items` and is refused by an equal DLQ; so does a 999 kB item whose stack header
    adds 20 kB.
    """
    names = Topics(settings.kafka.topic_prefix).api(api.name)
    largest = settings.limits.payload_bytes + MIB
    plain = {"cleanup.policy": "delete", "max.message.bytes": str(largest)}
    wider = {"cleanup.policy": "delete", "max.message.bytes": str(largest + MIB)}
    long = {**wider, "retention.ms": str(int(settings.jobs.retention * 1000))}
    retries = [TopicSpec(names.retry(n), api.partitions, False, wider) for n in range(1, retry_tiers(api) + 1)]
    return [
        TopicSpec(names.items, api.partitions, False, plain),
        *retries,
        TopicSpec(names.results, api.partitions, False, plain),
        TopicSpec(names.dlq, api.partitions, False, long),
    ]


def group_specs(settings: Settings) -> list[GroupSpec]:
    """Every consumer group whose place is kept by its offsets, and so must be written before its first member."""
    topics = Topics(settings.kafka.topic_prefix)
    of_apis = [api_group_specs(api, settings) for api in settings.apis]
    outputs = tuple(topic for _, sink in of_apis for topic in sink.topics)
    return [
        *(worker for worker, _ in of_apis),
        GroupSpec(topics.sink_group, outputs),
        GroupSpec(topics.finalizer_group, (topics.status,)),
        GroupSpec(topics.webhooks_group, (topics.status,)),
        GroupSpec(topics.tracker_group, (topics.progress,)),
    ]


def api_group_specs(api: ApiSettings, settings: Settings) -> tuple[GroupSpec, GroupSpec]:
    """Of one API: its workers', and the sink's with what of its topics are this API's."""
    topics = Topics(settings.kafka.topic_prefix)
    names = topics.api(api.name)
    tiers = (names.retry(n) for n in range(1, retry_tiers(api) + 1))
    return (
        GroupSpec(names.worker_group, (names.items, *tiers)),
        GroupSpec(topics.sink_group, (names.results, names.dlq)),
    )
