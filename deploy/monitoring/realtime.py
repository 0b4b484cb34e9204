"""Of the dashboard of workers the row of replicas, which answer requests without Kafka."""

from __future__ import annotations

from typing import Final

from deploy.monitoring.dashboards import Row
from deploy.monitoring.panels import Panel, Query, Shape, Unit, warn_at
from deploy.monitoring.queries import chosen, largest, of_all, quantile, rate, total
from stream_infer.telemetry.catalogue import serving

_EACH: Final = ("api", "instance")

REALTIME: Final = Row(
    "Realtime",
    (
        Panel(
            "Predictions, by status",
            "429 is full, 503 not ready, 504 late, 422 the item's own fault, 500 the predictor's.",
            Unit.PER_SECOND,
            (Query(total(("api", "status"), rate(serving.REALTIME_ANSWERS)), "{{api}}: {{status}}"),),
            Shape.STACKED,
        ),
        Panel(
            "How long an item is in the replica",
            "From its being taken to its answer.",
            Unit.SECONDS,
            (
                Query(quantile(0.5, ("api",), serving.REALTIME_SECONDS), "{{api}}: half below"),
                Query(quantile(0.99, ("api",), serving.REALTIME_SECONDS), "{{api}}: 99% below"),
            ),
            steps=warn_at(1, 10),
        ),
        Panel(
            "Items in flight",
            "Of `realtime.max_in_flight`. At 100% answers are 429.",
            Unit.RATIO,
            (
                Query(
                    of_all(
                        total(_EACH, chosen(serving.REALTIME_IN_FLIGHT)),
                        total(_EACH, chosen(serving.REALTIME_IN_FLIGHT_LIMIT)),
                    ),
                    "{{instance}}",
                ),
            ),
            steps=warn_at(0.8, 1),
            top=1,
        ),
        Panel(
            "Replicas",
            "That a gateway knows, by whether they are ready.",
            Unit.COUNT,
            (Query(largest(("api", "state"), chosen(serving.REPLICAS)), "{{api}}: {{state}}"),),
            span=12,
        ),
        Panel(
            "Connections",
            "Open ones, of each replica.",
            Unit.COUNT,
            (Query(total(_EACH, chosen(serving.REALTIME_CONNECTIONS)), "{{instance}}"),),
            span=12,
        ),
    ),
)
