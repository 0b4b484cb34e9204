"""What each topic holds, under which key, and who writes and reads it: docs/topics.md is made of it."""

from __future__ import annotations

from typing import NamedTuple

from stream_infer.topics import ApiTopics, Topics


class TopicMeaning(NamedTuple):
    """`key` of its records; `written_by` and `read_by` are roles, `anyone`, or what the gateway does for a client."""

    key: str
    holds: str
    written_by: tuple[str, ...]
    read_by: tuple[str, ...]


_ALL = ("gateway", "intake", "worker", "tracker", "sink")


def api_topic_meanings(names: ApiTopics) -> dict[str, TopicMeaning]:
    """Those of an API by their names; all its retry topics have the name of the first."""
    producers = "the producer's own"
    return {
        names.items: TopicMeaning(
            producers,
            "items; anyone may write here. With `si-control` the word that a job is complete, for who wants it",
            ("anyone", "intake", "gateway", "sink"),
            ("worker",),
        ),
        names.retry(1): TopicMeaning(
            "as the item",
            "items that wait for attempt N+1, with `si-not-before`",
            ("worker",),
            ("worker",),
        ),
        names.results: TopicMeaning("as the item", "a record for each item that succeeded", ("worker",), ("sink",)),
        names.dlq: TopicMeaning(
            "as the item",
            "dead letters: the item as it came, and why it was rejected",
            ("worker",),
            ("sink", "gateway"),
        ),
    }


def shared_topic_meanings(topics: Topics) -> dict[str, TopicMeaning]:
    """Those that all APIs share, by their names."""
    job = "job id"
    return {
        topics.jobs: TopicMeaning(job, "each job's spec, once", ("gateway",), ("gateway", "intake", "worker")),
        topics.checkpoints: TopicMeaning(job, "how far a job's source has been published", ("intake",), ("intake",)),
        topics.progress: TopicMeaning(
            job,
            "the tracker's input: counts, each in the transaction that made it true, and events",
            ("gateway", "intake", "worker", "tracker", "sink"),
            ("tracker", "sink"),
        ),
        topics.status: TopicMeaning(
            job,
            "the one truth about a job: state, generation, counts, times, errors",
            ("tracker",),
            _ALL,
        ),
        topics.manifests: TopicMeaning("job/object", "the objects that count", ("sink",), ("sink", "gateway")),
        topics.webhooks: TopicMeaning(
            "job/event/generation",
            "events of jobs that are told, and how far that has come",
            ("gateway",),
            ("gateway",),
        ),
        topics.replays: TopicMeaning(
            "topic-partition-offset of a dead letter", "which were replayed", ("gateway",), ("gateway", "sink")
        ),
        topics.apis: TopicMeaning(
            "API",
            "the definitions of APIs that are deployed",
            ("gateway",),
            ("gateway", "intake", "worker", "sink"),
        ),
        topics.api_states: TopicMeaning(
            "API/revision/host",
            "what has become of each there: preparing, live or failed, and why",
            ("gateway", "worker"),
            ("gateway",),
        ),
        topics.logs: TopicMeaning(
            job,
            "what predictors print and roles say about a job",
            ("gateway", "intake", "worker", "tracker", "sink"),
            ("gateway",),
        ),
    }
