"""docs/topics.md: every topic and group that `topics apply` makes, with the settings that it gives them."""

from __future__ import annotations

from collections.abc import Mapping

from docs_made.markdown import MADE, code, table
from stream_infer.kafka.topic_catalogue import TopicMeaning, api_topic_meanings, shared_topic_meanings
from stream_infer.settings import MIB, Settings
from stream_infer.topics import DAY_MS, Topics, TopicSpec, group_specs, topic_specs

PREFIX, API = "PREFIX", "API"
# Numbers that no setting has by itself, so that what follows from it can be told.
PARTITIONS, JOB_PARTITIONS = 3, 7
SETTINGS = Settings.model_validate(
    {
        "kafka": {"topic_prefix": PREFIX},
        "jobs": {"partitions": JOB_PARTITIONS},
        "apis": [
            {
                "name": "x",
                "partitions": PARTITIONS,
                "predictor": {"type": "native", "target": "model.py:Model"},
                "retry": {"max_attempts": 2},
            }
        ],
    }
)
_HEAD = """
# Topics

Every topic that `stream-infer topics apply` makes, and `topics plan` compares with what is there. `{p}` is
`kafka.topic_prefix`. Replicas are `kafka.replication_factor`. What is not named here is the broker's own setting, and
stays what you make it. `compact` keeps the last record of each key, for ever; `delete` keeps records for a while.

"""
_GROUPS = """
## Groups

`apply` writes the first place of each on its topics. From then on a group without its place is an error, never a silent
jump: neither lost nor read again.

"""
_RULES = """
## What may be changed

- The partitions of an API's topics may grow (`apis[].partitions`, then `topics apply`), and never shrink.
- Those of topics with the key *job id* can never change: where a job is looked for follows from their number.
- A retry topic stays when `retry.max_attempts` falls: workers read every one that there is. What waits in it is served.
- Another `kafka.topic_prefix` is another system beside this one, with nothing in common.
- Each topic is written by the roles that are named, and `items` by anyone. Records on the others that nobody of these
  has written are passed over where they cannot be read, and said in the log.

What the headers of an item, a result and a dead letter mean stands in [operations](operations.md#headers); the
schema of every record in [asyncapi.yaml](asyncapi.yaml).
"""


def page() -> str:
    topics = Topics(PREFIX)
    meanings = {**api_topic_meanings(topics.api("x")), **shared_topic_meanings(topics)}
    specs = topic_specs(SETTINGS)
    rows = [_row(spec, meanings[spec.name]) for spec in specs]
    settings = [(code(_shown(spec.name)), _partitions(spec), _kept(spec), _largest(spec.config)) for spec in specs]
    groups = [
        (code(_shown(group.name)), ", ".join(code(_shown(topic)) for topic in group.topics))
        for group in group_specs(SETTINGS)
    ]
    return "".join(
        [
            MADE,
            _HEAD,
            table(("topic", "key", "holds", "written by", "read by"), rows),
            "\n## Their settings\n\n",
            table(("topic", "partitions", "kept", "largest record"), settings),
            _GROUPS,
            table(("group", "reads"), groups),
            _RULES,
        ]
    )


def _row(spec: TopicSpec, meaning: TopicMeaning) -> tuple[str, ...]:
    return code(_shown(spec.name)), meaning.key, meaning.holds, _listed(meaning.written_by), _listed(meaning.read_by)


def _listed(roles: tuple[str, ...]) -> str:
    return ", ".join(roles)


def _shown(name: str) -> str:
    return name.replace(f"{PREFIX}.x.", "{p}.{api}.").replace(f"{PREFIX}.", "{p}.").replace(".retry.1", ".retry.N")


def _partitions(spec: TopicSpec) -> str:
    shown = {PARTITIONS: "`apis[].partitions`", JOB_PARTITIONS: "`jobs.partitions`"}
    return shown.get(spec.partitions, str(spec.partitions)) + (", for ever" if spec.fixed else "")


def _kept(spec: TopicSpec) -> str:
    if spec.config["cleanup.policy"] == "compact":
        return "compacted"
    retention = spec.config.get("retention.ms")
    if retention is None:
        return "as the broker is set"
    days = int(retention) / DAY_MS
    is_that_of_jobs = int(retention) == int(SETTINGS.jobs.retention * 1000)
    return f"`jobs.retention` ({days:g} days)" if is_that_of_jobs else f"{days:g} days"


def _largest(config: Mapping[str, str]) -> str:
    """`max.message.bytes` in the words of the settings."""
    if "max.message.bytes" not in config:
        return "as the broker is set"
    size = int(config["max.message.bytes"])
    above = size - SETTINGS.limits.payload_bytes
    if config["cleanup.policy"] == "compact":
        return f"{size // MIB} MiB"
    return f"`limits.payload_bytes` and {above // MIB} MiB ({size // MIB} MiB)"
