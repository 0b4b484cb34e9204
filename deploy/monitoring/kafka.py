"""The dashboard of Kafka and dead letters: who is behind, since when, and what failed for good?"""

from __future__ import annotations

from typing import Final

from deploy.monitoring.dashboards import Dashboard, Row
from deploy.monitoring.panels import Panel, Query, Shape, Unit, warn_at
from deploy.monitoring.queries import chosen, largest, of_all, quantile, rate, risen, risen_or_new, total
from stream_infer.telemetry.catalogue import items, serving, store

_RETRY: Final = 'topic="retry"'
_NOT_RETRY: Final = 'topic!="retry"'
_WORKERS: Final = 'group="worker"'
_REJECTED: Final = 'outcome="rejected"'
_ENDED: Final = 'outcome=~"succeeded|rejected"'
_OF_LAG: Final = ("group", "api", "topic")
_LAG_LEGEND: Final = "{{group}}: {{api}} {{topic}}"

_NOW: Final = Row(
    "Now",
    (
        Panel(
            "Records behind",
            "Of all groups together, without the items that wait for their next attempt. 0: all is done.",
            Unit.COUNT,
            (Query(total((), largest(_OF_LAG, chosen(serving.LAG, _NOT_RETRY))), "records"),),
            Shape.NUMBER,
            span=4,
        ),
        Panel(
            "Longest wait",
            "How long the first record that a group has not done has been waiting; retries wait on purpose and are not "
            "in it.",
            Unit.SECONDS,
            (Query(largest((), chosen(serving.LAG_AGE, _NOT_RETRY)), "waits"),),
            Shape.NUMBER,
            warn_at(120, 600),
            span=4,
        ),
        Panel(
            "Items that wait for another attempt",
            "In the retry topics. Rising: something that the model needs is slow or away.",
            Unit.COUNT,
            (Query(total((), largest(_OF_LAG, chosen(serving.LAG, _RETRY))), "items"),),
            Shape.NUMBER,
            span=4,
        ),
        Panel(
            "Dead letters in the last hour",
            "Items that failed for good. `stream-infer dlq ls API` counts them by reason; mend the cause, then "
            "`stream-infer dlq replay`.",
            Unit.COUNT,
            (Query(total((), risen(items.ITEMS_ENDED, _REJECTED, over="1h")), "items"),),
            Shape.NUMBER,
            warn_at(1, 1000),
            span=4,
        ),
        Panel(
            "Transactions that failed in the last hour",
            "Aborted ones are made again; after a fencing items are read again. Nothing is lost or doubled.",
            Unit.COUNT,
            (Query(total((), risen(items.TRANSACTIONS, 'outcome=~"aborted|fenced"', over="1h")), "transactions"),),
            Shape.NUMBER,
            warn_at(1, 20),
            span=4,
        ),
        Panel(
            "Age of what is said of lag",
            "Of the gateway that knows least. Above a minute Kafka does not answer it, and it says nothing of lag and "
            "members any more.",
            Unit.SECONDS,
            (Query(largest((), chosen(serving.LAG_SEEN_AGE)), "old"),),
            Shape.NUMBER,
            warn_at(30, 60),
            span=4,
        ),
    ),
)

_GROUPS: Final = Row(
    "Groups",
    (
        Panel(
            "Records behind, by group and topic",
            "What a group has still to read, transaction markers included; exactly 0 when all is done. On `retry` it "
            "is items that wait for their next attempt.",
            Unit.COUNT,
            (Query(largest(_OF_LAG, chosen(serving.LAG)), _LAG_LEGEND),),
        ),
        Panel(
            "How long the first of them has waited",
            "To some seconds, and no longer than the gateway runs. Rising: the group does not get on, or has no "
            "members.",
            Unit.SECONDS,
            (Query(largest(_OF_LAG, chosen(serving.LAG_AGE, _NOT_RETRY)), _LAG_LEGEND),),
            steps=warn_at(120, 600),
        ),
        Panel(
            "Processes in each group",
            "Of `worker` the workers of an API: 0 while records are behind is that nobody works.",
            Unit.COUNT,
            (Query(largest(("group", "api"), chosen(serving.GROUP_MEMBERS)), "{{group}}: {{api}}"),),
        ),
        Panel(
            "Items behind, of each worker in its group",
            "How much work there is for one. Steady growth: more workers, or more partitions.",
            Unit.COUNT,
            (
                Query(
                    of_all(
                        total(("api",), largest(_OF_LAG, chosen(serving.LAG, _WORKERS, _NOT_RETRY))),
                        largest(("api",), chosen(serving.GROUP_MEMBERS, _WORKERS)),
                    ),
                    "{{api}}",
                ),
            ),
        ),
        Panel(
            "Transactions, by how they ended",
            "Of workers. `aborted`: a broker was away, or took too long; `fenced`: another process has the worker's "
            "slot, or one took longer than `kafka.transaction_timeout`.",
            Unit.PER_SECOND,
            (Query(total(("api", "outcome"), rate(items.TRANSACTIONS)), "{{api}}: {{outcome}}"),),
        ),
        Panel(
            "How long transactions take",
            "From the first result to the end of the commit. Near `kafka.transaction_timeout` (10 s) the broker is "
            "about to abort them.",
            Unit.SECONDS,
            (
                Query(quantile(0.5, ("api",), items.TRANSACTION_SECONDS), "{{api}}: half below"),
                Query(quantile(0.99, ("api",), items.TRANSACTION_SECONDS), "{{api}}: 99% below"),
            ),
            steps=warn_at(5, 10),
        ),
    ),
)

_DEAD: Final = Row(
    "Dead letters and retries",
    (
        Panel(
            "Dead letters, by stage",
            "In five minutes, by where items fail for good: `fetch` and `decode` are their own fault mostly, `predict` "
            "and `encode` the model's.",
            Unit.COUNT,
            (Query(total(("api", "stage"), risen_or_new(items.ITEMS_REJECTED, over="5m")), "{{api}}: {{stage}}"),),
            Shape.STACKED,
        ),
        Panel(
            "Dead letters, by exception",
            "In five minutes. Classes that nobody else has are `other`; `stream-infer dlq ls API` has their names.",
            Unit.COUNT,
            (
                Query(
                    total(("api", "exception"), risen_or_new(items.ITEMS_REJECTED, over="5m")),
                    "{{api}}: {{exception}}",
                ),
            ),
        ),
        Panel(
            "Share that is rejected",
            "Of the items that ended otherwise than with their job, in five minutes.",
            Unit.RATIO,
            (
                Query(
                    of_all(
                        total(("api",), rate(items.ITEMS_ENDED, _REJECTED, over="5m")),
                        total(("api",), rate(items.ITEMS_ENDED, _ENDED, over="5m")),
                    ),
                    "{{api}}",
                ),
            ),
            steps=warn_at(0.01, 0.1),
            top=1,
        ),
        Panel(
            "Retries, by tier",
            "Items that are sent to a retry topic, by its number. The last tier is the last attempt before the dead "
            "letter.",
            Unit.PER_SECOND,
            (Query(total(("api", "tier"), rate(items.ITEMS_RETRIED)), "{{api}}: {{tier}}"),),
            Shape.STACKED,
        ),
        Panel(
            "Waiting for another attempt, by API",
            "Items in the retry topics, all tiers together.",
            Unit.COUNT,
            (Query(largest(("api",), chosen(serving.LAG, _RETRY)), "{{api}}"),),
        ),
        Panel(
            "Dead letters that are stored",
            "Written below `errors/` of their jobs, a second. None while there are rejects: look at the sink.",
            Unit.PER_SECOND,
            (Query(total(("api",), rate(store.SINK_RECORDS, 'kind="errors"')), "{{api}}"),),
        ),
    ),
)

KAFKA: Final = Dashboard(
    "stream-infer-kafka",
    "Kafka and dead letters",
    "Who is behind and since when, and what failed for good?",
    (_NOW, _GROUPS, _DEAD),
)
