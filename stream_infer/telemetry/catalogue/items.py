"""Of a worker: what becomes of items, and what it holds."""

from __future__ import annotations

from typing import Final, NamedTuple

from stream_infer.errors import Stage
from stream_infer.telemetry.catalogue.metric import MOMENTS, Counter, Gauge, Histogram, OfApi, Role

_WORKER = (Role.WORKER,)


class Outcome(NamedTuple):
    """`succeeded`, `rejected` or `skipped`."""

    api: str
    outcome: str


class Rejected(NamedTuple):
    """`exception`: see telemetry/exceptions.py."""

    api: str
    stage: Stage
    exception: str


class Tier(NamedTuple):
    api: str
    tier: str


class TransactionEnd(NamedTuple):
    """`committed`, `aborted` or `fenced`."""

    api: str
    outcome: str


class BreakerState(NamedTuple):
    """`serving`, `examining`, `halted` or `trying`."""

    api: str
    state: str


class ItemStage(NamedTuple):
    """`fetch` or `filter`."""

    api: str
    stage: str


ITEMS_ENDED: Final = Counter(
    "stream_infer_items_ended_total",
    Outcome,
    _WORKER,
    "Items that have come to their end, counted when it is committed: `succeeded`, `rejected` (a dead letter) or "
    "`skipped` with their job. Its rate is the API's throughput.",
)
ITEMS_REJECTED: Final = Counter(
    "stream_infer_items_rejected_total",
    Rejected,
    _WORKER,
    "Dead letters by the stage that the item failed at and the exception. Classes of Python, of stream-infer and of "
    "well-known libraries have their own names, all others are `other`: `stream-infer dlq ls` has them.",
)
ITEMS_RETRIED: Final = Counter(
    "stream_infer_items_retried_total",
    Tier,
    _WORKER,
    "Items that were sent to a retry topic, by its number. Rising without rejects: a service that the model needs is "
    "slow or away.",
)
HELD_ITEMS: Final = Gauge(
    "stream_infer_held_items",
    OfApi,
    _WORKER,
    "Items that the worker has read and not committed. At its limit it reads no more.",
)
HELD_ITEMS_LIMIT: Final = Gauge(
    "stream_infer_held_items_limit", OfApi, _WORKER, "`workers.max_in_flight`: the most that one worker holds."
)
HELD_BYTES: Final = Gauge("stream_infer_held_bytes", OfApi, _WORKER, "Bytes of these items, and of their outputs.")
HELD_BYTES_LIMIT: Final = Gauge(
    "stream_infer_held_bytes_limit", OfApi, _WORKER, "`workers.max_in_flight_bytes`: above it the worker reads no more."
)
WAITING_ITEMS: Final = Gauge(
    "stream_infer_waiting_items",
    OfApi,
    _WORKER,
    "Of the items that are held those that nobody works on: their next attempt is not due, or the API is halted.",
)
OLDEST_ITEM_AGE: Final = Gauge(
    "stream_infer_oldest_item_age_seconds",
    OfApi,
    _WORKER,
    "Since when the oldest item that the worker holds lies in the items topic, by the record's own time; 0 where it "
    "holds none. Those in retry topics wait on purpose and do not count. Rising steadily: the worker does not get on.",
)
ASSIGNED_PARTITIONS: Final = Gauge(
    "stream_infer_assigned_partitions",
    OfApi,
    _WORKER,
    "Partitions of the items topic that the worker owns. 0 for long: there are more workers than partitions.",
)
TRANSACTIONS: Final = Counter(
    "stream_infer_transactions_total",
    TransactionEnd,
    _WORKER,
    "Transactions with results, dead letters and offsets. `aborted` ones are made again; `fenced`: another process has "
    "the worker's slot, or one took longer than `kafka.transaction_timeout`.",
)
TRANSACTION_SECONDS: Final = Histogram(
    "stream_infer_transaction_seconds",
    OfApi,
    _WORKER,
    "From a transaction's beginning, with its first result, to the end of its commit. Near `kafka.transaction_timeout` "
    "the broker is about to abort them.",
    MOMENTS,
)
ITEM_STAGE_SECONDS: Final = Counter(
    "stream_infer_item_stage_seconds_total",
    ItemStage,
    _WORKER,
    "Seconds that were spent on single items beside the model: fetching what they refer to (many at a time), and "
    "filters and joins. Divided by the items: the mean of one.",
)
ITEM_STAGE_ITEMS: Final = Counter(
    "stream_infer_item_stage_items_total", ItemStage, _WORKER, "Items that have been through such a stage."
)
BREAKER_STATE: Final = Gauge(
    "stream_infer_breaker_state",
    BreakerState,
    _WORKER,
    "1 for the state that the worker's predictor is in: `serving`; `examining` (too much has failed, a fresh process "
    "is to show why); `halted` (the model cannot be had); `trying` (held items, one by one). Anything but `serving` "
    "for long needs somebody.",
)
BREAKER_FAILED_RATIO: Final = Gauge(
    "stream_infer_breaker_failed_ratio",
    OfApi,
    _WORKER,
    "Of the last `breaker.window` first attempts the share that failed in the predictor, once there were so many. "
    "Above `breaker.max_ratio` the breaker opens.",
)
FIRST_RESULT_SECONDS: Final = Gauge(
    "stream_infer_worker_first_result_seconds",
    OfApi,
    _WORKER,
    "What this worker took from the start of its process to its first committed result, waiting for items included; "
    "absent before. Its log says where they went (`first_result_committed`).",
)
