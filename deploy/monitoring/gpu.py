"""Of the dashboard of workers the row of GPUs: of all that a worker or a replica sees."""

from __future__ import annotations

from typing import Final

from deploy.monitoring.dashboards import Row
from deploy.monitoring.panels import Panel, Query, Unit, warn_at
from deploy.monitoring.queries import chosen, largest, of_all
from stream_infer.telemetry.catalogue import model

_EACH: Final = ("instance", "gpu")
_LEGEND: Final = "{{instance}}: GPU {{gpu}}"

GPU: Final = Row(
    "GPU (with the extra `gpu` beside the worker)",
    (
        Panel(
            "GPU busy",
            "Share of the last moment in which it had work. Low while items wait: it waits for its input, or "
            "micro-batches are small.",
            Unit.RATIO,
            (Query(largest(_EACH, chosen(model.GPU_USED_RATIO)), _LEGEND),),
            top=1,
        ),
        Panel(
            "GPU memory",
            "In use, by whomever, of what there is.",
            Unit.RATIO,
            (
                Query(
                    of_all(
                        largest(_EACH, chosen(model.GPU_MEMORY_USED)),
                        largest(_EACH, chosen(model.GPU_MEMORY)),
                    ),
                    _LEGEND,
                ),
            ),
            steps=warn_at(0.9, 0.97),
            top=1,
        ),
        Panel(
            "GPU memory of the predictor",
            "What this process has of it. Not known in containers.",
            Unit.BYTES,
            (Query(largest(_EACH, chosen(model.GPU_MEMORY_OWN)), _LEGEND),),
        ),
        Panel(
            "GPU temperature",
            "Where it is too hot the GPU slows down.",
            Unit.CELSIUS,
            (Query(largest(_EACH, chosen(model.GPU_CELSIUS)), _LEGEND),),
            steps=warn_at(80, 90),
            span=12,
        ),
        Panel(
            "GPU power",
            "What it draws.",
            Unit.WATTS,
            (Query(largest(_EACH, chosen(model.GPU_WATTS)), _LEGEND),),
            span=12,
        ),
    ),
)
