"""Of whoever runs a predictor: its micro-batches, its process, its GPU."""

from __future__ import annotations

from typing import Final, NamedTuple

from stream_infer.telemetry.catalogue.metric import CALL_MOMENTS, SIZES, Counter, Gauge, Histogram, OfApi, Role

_BOTH = (Role.WORKER, Role.REALTIME)


class CallOutcome(NamedTuple):
    """`answered`, `raised`, `miscounted`, `out_of_memory` or `lost`."""

    api: str
    outcome: str


class ModelStage(NamedTuple):
    """`prepare`, `predict` or `encode`."""

    api: str
    stage: str


class ChildReason(NamedTuple):
    """`crashed`, `killed`, `hung`, `out_of_memory`, `not_loaded` or `renewed`."""

    api: str
    reason: str


class PredictorState(NamedTuple):
    """`loading`, `ready`, `unavailable` or `closed`."""

    api: str
    state: str


class LoadPart(NamedTuple):
    """`process`, `module`, `constructor` or `warm_up`."""

    api: str
    part: str


class Gpu(NamedTuple):
    """The number that `nvidia-smi` has."""

    gpu: str


CALLS: Final = Counter(
    "stream_infer_calls_total",
    CallOutcome,
    _BOTH,
    "Micro-batches by what became of them: `answered` (single items may have failed), `raised`, `miscounted` (another "
    "number of outputs than items), `out_of_memory`, `lost` with the process. All but the first are called again in "
    "parts, until the guilty items stand alone.",
)
CALL_ITEMS: Final = Histogram(
    "stream_infer_call_items",
    OfApi,
    _BOTH,
    "Items of the micro-batches that were answered. Their mean, divided by `stream_infer_batch_items_limit`, is how "
    "full they are: low under load means that items come one by one, or that `max_wait_ms` is short.",
    SIZES,
)
MODEL_SECONDS: Final = Histogram(
    "stream_infer_model_seconds",
    OfApi,
    _BOTH,
    "Seconds in `predict`, a micro-batch each. A model that returns before its device has finished shows the rest "
    "under `encode`.",
    CALL_MOMENTS,
)
MODEL_STAGE_SECONDS: Final = Counter(
    "stream_infer_model_stage_seconds_total",
    ModelStage,
    _BOTH,
    "Seconds of the thread that calls the model, by what it was at: `prepare` (decoding, or waiting for what is "
    "prepared beside it), `predict`, `encode`. The sum's rate is how busy it is: near 1 the model is the bottleneck, "
    "and most of it in `prepare` says that it waits for its input.",
)
IN_FLIGHT_ITEMS: Final = Gauge(
    "stream_infer_in_flight_items", OfApi, _BOTH, "Items that wait for the model, or are in it."
)
IN_FLIGHT_BYTES: Final = Gauge("stream_infer_in_flight_bytes", OfApi, _BOTH, "Bytes of their payloads.")
BATCH_ITEMS_LIMIT: Final = Gauge(
    "stream_infer_batch_items_limit",
    OfApi,
    _BOTH,
    "Items of a full micro-batch: `batching.max_batch_size`, or what `auto` has found.",
)
BATCH_ITEMS_CAP: Final = Gauge(
    "stream_infer_batch_items_cap",
    OfApi,
    _BOTH,
    "Items that a micro-batch may have at the moment. Below the limit: memory ran out a short while ago.",
)
BATCH_ITEMS_FOUND: Final = Gauge(
    "stream_infer_batch_items_found",
    OfApi,
    _BOTH,
    "With `max_batch_size: auto` the size that was found while the model was loaded: the knee, above which larger "
    "micro-batches gain nothing. Absent where it is not searched for, or not found yet.",
)
CHILD_ENDS: Final = Counter(
    "stream_infer_child_ends_total",
    ChildReason,
    _BOTH,
    "Ends of the predictor's process, each followed by a new one: `crashed`, `killed` by somebody else's SIGKILL (the "
    "kernel, short of memory), `hung`, `out_of_memory` (ended before the kernel would), `not_loaded`, `renewed` (the "
    "breaker wanted a fresh one). Rising again and again: an item or the model takes it down.",
)
PREDICTOR_STATE: Final = Gauge(
    "stream_infer_predictor_state",
    PredictorState,
    _BOTH,
    "1 for the state of the predictor's process: `loading`, `ready`, `unavailable` (it is tried again), `closed`.",
)
PREDICTOR_LOAD_SECONDS: Final = Gauge(
    "stream_infer_predictor_load_seconds",
    LoadPart,
    _BOTH,
    "What the last process took to be ready, by part: its start, its module's imports, the constructor, the warm-up.",
)
GPU_USED_RATIO: Final = Gauge(
    "stream_infer_gpu_used_ratio",
    Gpu,
    _BOTH,
    "Share of the last moment in which the GPU was busy. Of all GPUs that this process sees, with the extra `gpu`.",
)
GPU_MEMORY_USED: Final = Gauge(
    "stream_infer_gpu_memory_used_bytes", Gpu, _BOTH, "Memory of the GPU that is in use, by whomever."
)
GPU_MEMORY: Final = Gauge("stream_infer_gpu_memory_bytes", Gpu, _BOTH, "Memory that the GPU has.")
GPU_MEMORY_OWN: Final = Gauge(
    "stream_infer_gpu_process_memory_bytes",
    Gpu,
    _BOTH,
    "Memory of the GPU that the predictor's process uses; absent in containers, where its number is another one.",
)
GPU_CELSIUS: Final = Gauge("stream_infer_gpu_temperature_celsius", Gpu, _BOTH, "Temperature of the GPU.")
GPU_WATTS: Final = Gauge("stream_infer_gpu_power_watts", Gpu, _BOTH, "Power that the GPU draws.")
