"""What has to be done so that the topics are as they should be. Pure: existing topics in, steps out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from stream_infer.topics import TopicSpec


@dataclass(frozen=True, slots=True)
class ExistingTopic:
    """A topic as the broker has it; `config` holds every setting in force, defaults included."""

    name: str
    partitions: int
    replication_factor: int
    config: Mapping[str, str] = field(default_factory=dict)


class Action(StrEnum):
    CREATE = "create"
    GROW = "grow"
    ALTER = "alter"
    REFUSE = "refuse"
    OK = "ok"


@dataclass(frozen=True, slots=True)
class TopicStep:
    """What is to be done about one topic.

    `grow_to`: its new number of partitions. `alter`: settings to change, each with its (old, new) value; the old one
    is None where the broker does not know it. `refusal`: why nothing can be done, and what the user can do.
    """

    spec: TopicSpec
    existing: ExistingTopic | None
    grow_to: int | None = None
    alter: Mapping[str, tuple[str | None, str]] = field(default_factory=dict)
    refusal: str | None = None

    @property
    def action(self) -> Action:
        if self.refusal is not None:
            return Action.REFUSE
        if self.existing is None:
            return Action.CREATE
        if self.grow_to is not None:
            return Action.GROW
        return Action.ALTER if self.alter else Action.OK

    def describe(self) -> str:
        """The step in words, for a person."""
        if self.refusal is not None:
            return self.refusal
        if self.existing is None:
            return f"{self.spec.partitions} partitions"
        words = [f"{name}: {old} -> {new}" for name, (old, new) in self.alter.items()]
        if self.grow_to is not None:
            words.insert(0, f"partitions: {self.existing.partitions} -> {self.grow_to}")
        return ", ".join(words)


@dataclass(frozen=True, slots=True)
class TopicPlan:
    """One step a topic, in the order of the specs. `replication_factor` is that of topics to be created."""

    steps: tuple[TopicStep, ...]
    replication_factor: int

    @property
    def refusals(self) -> list[str]:
        return [step.refusal for step in self.steps if step.refusal is not None]

    @property
    def is_done(self) -> bool:
        return all(step.action is Action.OK for step in self.steps)


def plan_topics(
    specs: Sequence[TopicSpec], existing: Mapping[str, ExistingTopic], replication_factor: int
) -> TopicPlan:
    """The difference between what is asked for and what is there. Topics that no spec names are left alone."""
    steps = tuple(_step(spec, existing.get(spec.name), replication_factor) for spec in specs)
    return TopicPlan(steps, replication_factor)


def _step(spec: TopicSpec, existing: ExistingTopic | None, replication_factor: int) -> TopicStep:
    if existing is None:
        return TopicStep(spec, None)
    refusal = _refusal(spec, existing, replication_factor)
    if refusal is not None:
        return TopicStep(spec, existing, refusal=refusal)
    alter = {
        name: (existing.config.get(name), value)
        for name, value in spec.config.items()
        if existing.config.get(name) != value
    }
    grow_to = spec.partitions if existing.partitions < spec.partitions else None
    return TopicStep(spec, existing, grow_to, alter)


def _refusal(spec: TopicSpec, existing: ExistingTopic, replication_factor: int) -> str | None:
    counts = f"{spec.name} has {_count(existing.partitions)}, the configuration wants {spec.partitions}"
    instead = f"{_keep(existing.partitions, spec)}, or use another kafka.topic_prefix."
    if spec.fixed and existing.partitions != spec.partitions:
        return f"{counts}. Its records are keyed by job and would no longer be found: {instead}"
    if existing.partitions > spec.partitions:
        return f"{counts}. Kafka cannot take partitions away: {instead}"
    if existing.replication_factor != replication_factor:
        return (
            f"{spec.name} has replication factor {existing.replication_factor}, the configuration wants "
            f"{replication_factor}. Set kafka.replication_factor to {existing.replication_factor}, "
            "or move the replicas with kafka-reassign-partitions."
        )
    return None


def mismatch(spec: TopicSpec, partitions: int) -> str | None:
    """Why a role cannot work with a topic of so many `partitions`, and what to do; None where it can.

    More partitions than asked for are fine where the count is not fixed.
    """
    if partitions == spec.partitions or (partitions > spec.partitions and not spec.fixed):
        return None
    what = f"topic {spec.name} has {_count(partitions)}, the configuration wants {spec.partitions}: "
    if spec.fixed:
        return what + f"{_keep(partitions, spec)}, or use another kafka.topic_prefix."
    return what + "run 'stream-infer topics apply' to add them."


def _keep(partitions: int, spec: TopicSpec) -> str:
    return f"set {'jobs.partitions' if spec.fixed else 'partitions of its API'} back to {partitions}"


def _count(partitions: int) -> str:
    return f"{partitions} partition{'s' if partitions != 1 else ''}"
