"""When somebody is called. Each alert has its part of docs/runbooks.md: what it means, what to do, when it is over.

An alert that fires on its own and needs nobody is worse than none: each waits for what ends by itself in well run
operation, such as a rebalance, a rollout, a model that loads, or one bad item.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import yaml

from deploy.monitoring.queries import largest, select, total
from stream_infer.telemetry.catalogue import items, jobs, model, serving, store, webhooks

RUNBOOKS: Final = "docs/runbooks.md"
GROUP: Final = "stream-infer"


class Severity(StrEnum):
    """`CRITICAL`: jobs stand still, or nobody would notice if they did. `WARNING`: look at it today."""

    CRITICAL = "critical"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Alert:
    """`lasts`: for so long `expr` has to have values, each of which is an alert with its labels."""

    name: str
    severity: Severity
    expr: str
    lasts: str
    summary: str
    description: str

    def as_rule(self) -> dict[str, object]:
        return {
            "alert": self.name,
            "expr": self.expr,
            "for": self.lasts,
            "labels": {"severity": self.severity.value},
            "annotations": {
                "summary": self.summary,
                "description": self.description,
                "runbook_url": f"{RUNBOOKS}#{self.name.lower()}",
            },
        }


_API: Final = ("api",)


def _risen(counter: str, over: str) -> str:
    return total(_API, f"increase({counter}[{over}])")


_REJECTED: Final = _risen(select(items.ITEMS_ENDED, 'outcome="rejected"'), "10m")
_JUDGED: Final = _risen(select(items.ITEMS_ENDED, 'outcome=~"succeeded|rejected"'), "10m")
_WAITING: Final = total(_API, select(jobs.JOB_ITEMS_WAITING))
_WORKERS: Final = largest(_API, select(serving.GROUP_MEMBERS, 'group="worker"'))
_TO_DO: Final = largest(_API, select(serving.LAG, 'group="worker"', 'topic="items"'))
_CALLED: Final = _risen(select(serving.REALTIME_ANSWERS), "5m")
_NOT_SERVED: Final = _risen(select(serving.REALTIME_ANSWERS, 'status=~"429|5.."'), "5m")
_READY: Final = largest(_API, select(serving.REPLICAS, 'state="ready"'))
_UNREADY: Final = largest(_API, select(serving.REPLICAS, 'state="unready"'))
_HALTED: Final = total(_API, select(items.BREAKER_STATE, 'state!="serving"'))
_LOST: Final = _risen(select(model.CHILD_ENDS, 'reason!="renewed"'), "10m")
_AGE: Final = largest(("group", *_API, "topic"), select(serving.LAG_AGE, 'group!="sink"', 'topic!="retry"'))
_UNTOLD_AGE: Final = largest(_API, select(webhooks.WEBHOOK_OLDEST_AGE))
_NEVER_TOLD: Final = _risen(select(webhooks.WEBHOOK_ATTEMPTS, 'outcome=~"given_up|withdrawn"'), "6h")
_SINK_AGE: Final = largest((*_API, "topic"), select(serving.LAG_AGE, 'group="sink"'))
# What each role without which nothing goes on shows as long as it runs.
_SHOWN_BY: Final = {
    "gateway": serving.LAG_SEEN_AGE,
    "intake": jobs.INTAKE_PARTITIONS,
    "tracker": jobs.TRACKER_PARTITIONS,
    "sink": store.SINK_PARTITIONS,
}
# Not of workers, which come and go with what there is to do.
_STAYS: Final = f'{{role=~"{"|".join((*_SHOWN_BY, "realtime"))}"}}'
_STARTS: Final = f"changes(process_start_time_seconds{_STAYS}[30m])"
_INTAKES: Final = total((), select(jobs.INTAKE_PARTITIONS))
_TRACKERS: Final = total((), select(jobs.TRACKER_PARTITIONS))
_UNOWNED: Final = "\nor ".join(
    f'label_replace({fewer} < {others}, "role", "{role}", "", "")'
    for role, fewer, others in (("intake", _INTAKES, _TRACKERS), ("tracker", _TRACKERS, _INTAKES))
)
_NOBODY: Final = "\nor ".join(
    f'label_replace(absent({select(metric)}), "role", "{role}", "", "")' for role, metric in _SHOWN_BY.items()
)

ALERTS: Final = (
    Alert(
        "StreamInferRoleDown",
        Severity.CRITICAL,
        _NOBODY,
        "3m",
        "No {{ $labels.role }} answers",
        "Prometheus has had no numbers of any {{ $labels.role }} for 3 minutes. Without one jobs stand still.",
    ),
    Alert(
        "StreamInferProcessDown",
        Severity.WARNING,
        f"up{_STAYS} == 0",
        "5m",
        "{{ $labels.instance }} does not answer",
        "The {{ $labels.role }} {{ $labels.instance }} has shown Prometheus no numbers for 5 minutes.",
    ),
    Alert(
        "StreamInferRestarting",
        Severity.CRITICAL,
        f"{largest(('role', 'instance'), _STARTS)} > 3",
        "1m",
        "{{ $labels.instance }} starts again and again",
        "The {{ $labels.role }} {{ $labels.instance }} has been started {{ $value | humanize }} times in 30 minutes: "
        "it ends by itself, or is killed, and gets little done between.",
    ),
    Alert(
        "StreamInferPartitionsUnowned",
        Severity.CRITICAL,
        _UNOWNED,
        "5m",
        "Some jobs have no {{ $labels.role }}",
        "For 5 minutes all of the role {{ $labels.role }} together have had {{ $value | humanize }} partitions of jobs "
        "and not all that there are. The jobs in the others stand still.",
    ),
    Alert(
        "StreamInferNoWorkers",
        Severity.CRITICAL,
        f"{_WORKERS} == 0\nand on (api) (({_WAITING} > 0) or ({_TO_DO} > 0))",
        "5m",
        "Nobody works for {{ $labels.api }}",
        "Items of the API {{ $labels.api }} have been waiting for 5 minutes, and no worker is in its group.",
    ),
    Alert(
        "StreamInferBreakerOpen",
        Severity.CRITICAL,
        f"{_HALTED} > 0",
        "5m",
        "The model of {{ $labels.api }} cannot be used",
        "{{ $value | humanize }} workers of the API {{ $labels.api }} have not served for 5 minutes, since too much "
        "failed in their predictor, or it does not load. Their items wait; none are rejected.",
    ),
    Alert(
        "StreamInferChildCrashLoop",
        Severity.CRITICAL,
        f"{_LOST} > 1.5",  # one alone may count for a little more than 1, by the scrapes that it fell between
        "15m",
        "The predictor of {{ $labels.api }} ends again and again",
        "For 15 minutes the process of the predictor of the API {{ $labels.api }} has been lost more than once in 10 "
        "minutes; in the last 10 {{ $value | humanize }} times.",
    ),
    Alert(
        "StreamInferDeadLettersRising",
        Severity.WARNING,
        f"{_REJECTED} >= 10\nand {_REJECTED} / {_JUDGED} > 0.01",
        "2m",
        "Items of {{ $labels.api }} become dead letters",
        "{{ $value | humanize }} items of the API {{ $labels.api }} became dead letters in the last 10 minutes: more "
        "than 1% of those that ended.",
    ),
    Alert(
        "StreamInferLagAge",
        Severity.WARNING,
        f"{_AGE} > 600",
        "2m",
        "{{ $labels.group }} {{ $labels.api }} is behind",
        "The first record of {{ $labels.topic }} that the group {{ $labels.group }} {{ $labels.api }} has not done has "
        "been waiting for {{ $value | humanizeDuration }}.",
    ),
    Alert(
        "StreamInferLagUnknown",
        Severity.CRITICAL,
        f"{largest(('instance',), select(serving.LAG_SEEN_AGE))} > 60",
        "2m",
        "{{ $labels.instance }} does not hear of Kafka",
        "The gateway {{ $labels.instance }} has not learnt for {{ $value | humanizeDuration }} how far the groups are: "
        "Kafka does not answer it. It says nothing of lag and workers any more; if it is the only gateway, or all are "
        "so, alerts that go by these are blind.",
    ),
    Alert(
        "StreamInferSinkBehind",
        Severity.WARNING,
        f"{_SINK_AGE} > 300",
        "2m",
        "{{ $labels.topic }} of {{ $labels.api }} are not stored",
        "The first of the {{ $labels.topic }} of the API {{ $labels.api }} that are not in the store has been waiting "
        "for {{ $value | humanizeDuration }}. Jobs end once all of theirs are.",
    ),
    Alert(
        "StreamInferStoreAway",
        Severity.CRITICAL,
        f"sum by (instance) (increase({select(store.SINK_STORE_FAILURES)}[5m])) > 0\n"
        f"and on (instance) {largest(('instance',), select(store.SINK_OLDEST_AGE))} > 60",
        "5m",
        "The store keeps {{ $labels.instance }} waiting",
        "For 5 minutes flushes of {{ $labels.instance }} have failed at the store, and what it holds has been waiting "
        "for more than a minute: it is away, or refuses the credentials. Nothing is lost; no job ends.",
    ),
    Alert(
        "StreamInferJobNearDeadline",
        Severity.WARNING,
        f"{largest(_API, select(jobs.JOB_TIME_USED_RATIO))} > 0.8",
        "1m",
        "A job of {{ $labels.api }} is short of time",
        "A job of the API {{ $labels.api }} has used {{ $value | humanizePercentage }} of its timeout and is not done: "
        "its items wait, or its source, or what is to be stored. At its end items that have not begun are skipped.",
    ),
    Alert(
        "StreamInferNoReplicas",
        Severity.CRITICAL,
        f"{_READY} == 0\nand {_UNREADY} > 0",
        "5m",
        "No replica of {{ $labels.api }} is ready",
        "For 5 minutes no realtime replica of the API {{ $labels.api }} has been ready, as every gateway sees them: "
        "whoever asks for a prediction is answered 503.",
    ),
    Alert(
        "StreamInferRealtimeFailing",
        Severity.CRITICAL,
        f"{_NOT_SERVED} / {_CALLED} > 0.05\nand {_NOT_SERVED} >= 3",
        "5m",
        "Predictions of {{ $labels.api }} fail",
        "{{ $value | humanizePercentage }} of the predictions that the API {{ $labels.api }} was asked for were "
        "answered with 429 or 5xx, for 5 minutes.",
    ),
    Alert(
        "StreamInferWebhooksLate",
        Severity.WARNING,
        f"{_UNTOLD_AGE} > 3600",
        "10m",
        "Nobody takes the webhooks of {{ $labels.api }}",
        "The end of a job of the API {{ $labels.api }} came {{ $value | humanizeDuration }} ago, and its receiver has "
        "not taken what it was told of it. It is tried again until webhooks.give_up_after.",
    ),
    Alert(
        "StreamInferWebhooksLost",
        Severity.WARNING,
        f"{_NEVER_TOLD} > 0",
        "1m",
        "Ends of jobs of {{ $labels.api }} were not told",
        "In the last 6 hours {{ $value | humanize }} webhooks of the API {{ $labels.api }} were tried for the last "
        "time, in vain, or had nowhere to go. They can be told again.",
    ),
)


class _Dumper(yaml.SafeDumper):
    """Expressions of several lines stay so."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def rules() -> str:
    """A file of rules as Prometheus reads it; `groups` is also what a PrometheusRule has as its `spec`."""
    groups = [{"name": GROUP, "rules": [alert.as_rule() for alert in ALERTS]}]
    return yaml.dump({"groups": groups}, Dumper=_Dumper, sort_keys=False, width=1000, allow_unicode=True)
