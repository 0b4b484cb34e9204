"""The dashboard of workers, replicas and GPUs: is the model busy, is it well, and what does it wait for?

The rows of replicas and of GPUs are in realtime.py and gpu.py.
"""

from __future__ import annotations

from typing import Final

from deploy.monitoring.dashboards import Dashboard, Row
from deploy.monitoring.gpu import GPU
from deploy.monitoring.panels import Panel, Query, Shape, Unit, warn_at
from deploy.monitoring.queries import chosen, largest, mean, of_all, quantile, rate, risen, smallest, total
from deploy.monitoring.realtime import REALTIME
from stream_infer.telemetry.catalogue import items, jobs, model, serving

_NOT_SERVING: Final = 'state!="serving"'
_UNWANTED: Final = 'reason!="renewed"'
_EACH: Final = ("api", "instance")
# Items by places, of all calls together: who makes none has no share in it.
_FILLED: Final = of_all(
    total((), rate(model.CALL_ITEMS, part="_sum")),
    total((), f"{rate(model.CALL_ITEMS, part='_count')} * {chosen(model.BATCH_ITEMS_LIMIT)}"),
)

_NOW: Final = Row(
    "Now",
    (
        Panel(
            "Workers",
            "Processes in the APIs' groups, as Kafka has them. 0 is well where nothing waits and `workers.min` is 0.",
            Unit.COUNT,
            (Query(total((), largest(("api",), chosen(serving.GROUP_MEMBERS, 'group="worker"'))), "workers"),),
            Shape.NUMBER,
            span=4,
        ),
        Panel(
            "Workers that jobs want",
            "What the jobs under way ask for with `workers`, of each no more than it has items left. An autoscaler "
            "goes by this and by the lag.",
            Unit.COUNT,
            (Query(total((), chosen(jobs.JOB_WORKERS_WANTED)), "wanted"),),
            Shape.NUMBER,
            span=4,
        ),
        Panel(
            "Workers that do not serve",
            "Their predictor failed too often, or cannot be had: nothing of their API is rejected meanwhile, it waits.",
            Unit.COUNT,
            (Query(total((), chosen(items.BREAKER_STATE, _NOT_SERVING)), "workers"),),
            Shape.NUMBER,
            warn_at(1, 2),
            span=4,
        ),
        Panel(
            "Replicas ready",
            "Realtime replicas that answer, as a gateway has seen them last.",
            Unit.COUNT,
            (Query(total((), largest(("api",), chosen(serving.REPLICAS, 'state="ready"'))), "replicas"),),
            Shape.NUMBER,
            span=4,
        ),
        Panel(
            "Model busy",
            "Share of the time in which the threads that call models are at work. Near 100%: more workers would do "
            "more. Low while items wait: look at what the workers hold, and at their partitions.",
            Unit.RATIO,
            (Query(f"avg({total(_EACH, rate(model.MODEL_STAGE_SECONDS))})", "busy"),),
            Shape.NUMBER,
            span=4,
            top=1,
        ),
        Panel(
            "Micro-batches filled",
            "Mean number of items in a call, of what a call may have. Low under load: items come one by one, or "
            "`batching.max_wait_ms` is short.",
            Unit.RATIO,
            (Query(_FILLED, "filled"),),
            Shape.NUMBER,
            span=4,
            top=1,
        ),
        Panel(
            "Predictor processes lost in the last hour",
            "Crashed, killed, hung, out of memory or not loaded. Each was replaced.",
            Unit.COUNT,
            (Query(total((), risen(model.CHILD_ENDS, _UNWANTED, over="1h")), "processes"),),
            Shape.NUMBER,
            warn_at(1, 10),
            span=4,
        ),
    ),
)

_MODEL: Final = Row(
    "Model",
    (
        Panel(
            "What the model's thread is at",
            "Seconds a second, of each process: `prepare` is decoding, or waiting for input that is prepared beside "
            "it; `encode` also has what a device computes after `predict` has returned. 1 together: the model is the "
            "bottleneck.",
            Unit.RATIO,
            (Query(total((*_EACH, "stage"), rate(model.MODEL_STAGE_SECONDS)), "{{instance}}: {{stage}}"),),
            steps=warn_at(0.95),
        ),
        Panel(
            "Seconds in predict",
            "Of one micro-batch. A model that returns before its device has finished shows the rest under `encode`.",
            Unit.SECONDS,
            (
                Query(quantile(0.5, ("api",), model.MODEL_SECONDS), "{{api}}: half below"),
                Query(quantile(0.99, ("api",), model.MODEL_SECONDS), "{{api}}: 99% below"),
            ),
            steps=warn_at(30, 60),
        ),
        Panel(
            "Items in a micro-batch",
            "The mean, and what one may have: the cap is below the limit for a while after memory ran out.",
            Unit.COUNT,
            (
                Query(mean(("api",), model.CALL_ITEMS), "{{api}}: mean"),
                Query(largest(("api",), chosen(model.BATCH_ITEMS_LIMIT)), "{{api}}: limit"),
                Query(smallest(("api",), chosen(model.BATCH_ITEMS_CAP)), "{{api}}: least cap"),
            ),
        ),
        Panel(
            "Calls, by what became of them",
            "All but `answered` are called again in parts, until the guilty items stand alone.",
            Unit.PER_SECOND,
            (Query(total(("api", "outcome"), rate(model.CALLS)), "{{api}}: {{outcome}}"),),
        ),
        Panel(
            "Items before and in the model",
            "Of each process. Near 0 under load: the model waits for its input.",
            Unit.COUNT,
            (Query(total(_EACH, chosen(model.IN_FLIGHT_ITEMS)), "{{instance}}"),),
        ),
        Panel(
            "Bytes before and in the model",
            "Payloads of these items.",
            Unit.BYTES,
            (Query(total(_EACH, chosen(model.IN_FLIGHT_BYTES)), "{{instance}}"),),
        ),
    ),
)

_HEALTH: Final = Row(
    "Health",
    (
        Panel(
            "Workers, by the breaker's state",
            "`examining`: a fresh process shows whether model or items are to blame; `halted`: the model cannot be "
            "had; `trying`: held items, one by one.",
            Unit.COUNT,
            (Query(total(("api", "state"), chosen(items.BREAKER_STATE)), "{{api}}: {{state}}"),),
            Shape.STACKED,
        ),
        Panel(
            "Failed first attempts",
            "Of the last `breaker.window` of each worker. Above `breaker.max_ratio` the breaker opens.",
            Unit.RATIO,
            (Query(largest(_EACH, chosen(items.BREAKER_FAILED_RATIO)), "{{instance}}"),),
            steps=warn_at(0.25, 0.5),
            top=1,
        ),
        Panel(
            "Predictor processes, by state",
            "`unavailable`: it could not be loaded, and is tried again.",
            Unit.COUNT,
            (Query(total(("api", "state"), chosen(model.PREDICTOR_STATE)), "{{api}}: {{state}}"),),
            Shape.STACKED,
        ),
        Panel(
            "Ends of predictor processes",
            "In five minutes, by reason. `killed` is the kernel, short of memory; `renewed` the breaker, which wants a "
            "fresh one. Again and again: an item or the model takes it down.",
            Unit.COUNT,
            (Query(total(("api", "reason"), risen(model.CHILD_ENDS, over="5m")), "{{api}}: {{reason}}"),),
            steps=warn_at(1, 5),
        ),
        Panel(
            "What loading took",
            "Of the last process of each: its start, its module's imports, the constructor, the warm-up.",
            Unit.SECONDS,
            (Query(largest(("api", "part"), chosen(model.PREDICTOR_LOAD_SECONDS)), "{{api}}: {{part}}"),),
            steps=warn_at(60, 300),
        ),
        Panel(
            "From a worker's start to its first result",
            "Waiting for items included. Its log says where the seconds went (`first_result_committed`).",
            Unit.SECONDS,
            (Query(largest(_EACH, chosen(items.FIRST_RESULT_SECONDS)), "{{instance}}"),),
            steps=warn_at(60, 600),
        ),
    ),
)

_HELD: Final = Row(
    "What workers hold",
    (
        Panel(
            "Items that are held",
            "Read and not committed, of what a worker may hold. At 100% it reads no more: what comes after the model "
            "is slow, or items wait.",
            Unit.RATIO,
            (
                Query(
                    of_all(total(_EACH, chosen(items.HELD_ITEMS)), total(_EACH, chosen(items.HELD_ITEMS_LIMIT))),
                    "{{instance}}",
                ),
            ),
            steps=warn_at(0.9, 1),
        ),
        Panel(
            "Bytes that are held",
            "Of these items and of their outputs, of what a worker may hold.",
            Unit.RATIO,
            (
                Query(
                    of_all(total(_EACH, chosen(items.HELD_BYTES)), total(_EACH, chosen(items.HELD_BYTES_LIMIT))),
                    "{{instance}}",
                ),
            ),
            steps=warn_at(0.9, 1),
        ),
        Panel(
            "Held items that nobody works on",
            "Their next attempt is not due, or the API is halted.",
            Unit.COUNT,
            (Query(total(_EACH, chosen(items.WAITING_ITEMS)), "{{instance}}"),),
        ),
        Panel(
            "Age of the oldest item that is held",
            "Since it was written to the items topic. Rising steadily: this worker does not get on.",
            Unit.SECONDS,
            (Query(largest(_EACH, chosen(items.OLDEST_ITEM_AGE)), "{{instance}}"),),
            steps=warn_at(120, 600),
        ),
        Panel(
            "Partitions of each worker",
            "0 for long: there are more workers than partitions with items.",
            Unit.COUNT,
            (Query(total(_EACH, chosen(items.ASSIGNED_PARTITIONS)), "{{instance}}"),),
        ),
        Panel(
            "Seconds of an item beside the model",
            "The mean: fetching what it refers to, which is done for many at a time; filters and joins.",
            Unit.SECONDS,
            (
                Query(
                    of_all(
                        total(("api", "stage"), rate(items.ITEM_STAGE_SECONDS)),
                        total(("api", "stage"), rate(items.ITEM_STAGE_ITEMS)),
                    ),
                    "{{api}}: {{stage}}",
                ),
            ),
            steps=warn_at(1, 10),
        ),
    ),
)

WORKERS: Final = Dashboard(
    "stream-infer-workers",
    "Workers and GPU",
    "Is the model busy, is it well, and what does it wait for?",
    (_NOW, _MODEL, _HEALTH, _HELD, REALTIME, GPU),
)
