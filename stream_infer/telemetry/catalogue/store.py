"""Of the sink: what lies in it, and what it has put into the store."""

from __future__ import annotations

from typing import Final, NamedTuple

from stream_infer.telemetry.catalogue.metric import MOMENTS, Counter, Gauge, Histogram, Role, Whole

_SINK = (Role.SINK,)


class Objects(NamedTuple):
    """`kind`: `results` or `errors`."""

    api: str
    kind: str


class FlushEnd(NamedTuple):
    """`committed`, `aborted` (its transaction is made again) or `begun_anew`."""

    outcome: str


class FinalizerStep(NamedTuple):
    """`step`: `unseal`, `hook` or `assemble`; `state`: `working` or `waiting` for a store that is away."""

    step: str
    state: str


class StepDone(NamedTuple):
    step: str


SINK_OBJECTS: Final = Counter(
    "stream_infer_sink_objects_total", Objects, _SINK, "Objects that were put into the store and committed."
)
SINK_RECORDS: Final = Counter(
    "stream_infer_sink_records_total", Objects, _SINK, "Results and dead letters that lie in them."
)
SINK_BYTES: Final = Counter("stream_infer_sink_bytes_total", Objects, _SINK, "Bytes of these objects, as they lie.")
SINK_FLUSHES: Final = Counter(
    "stream_infer_sink_flushes_total",
    FlushEnd,
    _SINK,
    "Flushes, each of one partition: `committed`; `aborted`, whose transaction is made again; `begun_anew`, where "
    "Kafka was away or another sink took over, and all that was held is read again.",
)
SINK_FLUSH_SECONDS: Final = Histogram(
    "stream_infer_sink_flush_seconds",
    Whole,
    _SINK,
    "From the closing of a partition's buffers to the commit of what was in them: the store's puts, and the "
    "transaction.",
    MOMENTS,
)
SINK_STORE_FAILURES: Final = Counter(
    "stream_infer_sink_store_failures_total",
    Whole,
    _SINK,
    "Flushes that the store kept waiting, counted each time it did: it is away, or refuses the credentials.",
)
SINK_HELD_BYTES: Final = Gauge(
    "stream_infer_sink_held_bytes",
    Whole,
    _SINK,
    "Bytes that were read and are not committed. Above its limit nothing is read.",
)
SINK_HELD_BYTES_LIMIT: Final = Gauge(
    "stream_infer_sink_held_bytes_limit", Whole, _SINK, "Four times `sink.flush_bytes`: the most that a sink holds."
)
SINK_OLDEST_AGE: Final = Gauge(
    "stream_infer_sink_oldest_age_seconds",
    Whole,
    _SINK,
    "How long the oldest of what the sink holds has been with it. Above `sink.flush_age` and rising: the store or "
    "Kafka keeps it waiting.",
)
SINK_UPLOADS: Final = Gauge("stream_infer_sink_uploads", Whole, _SINK, "Flushes on their way into the store.")
SINK_PARTITIONS: Final = Gauge(
    "stream_infer_sink_partitions", Whole, _SINK, "Partitions of results and dead letters that this sink owns."
)
SINK_PAUSED: Final = Gauge(
    "stream_infer_sink_paused_partitions", Whole, _SINK, "Those of them of which nothing is read, since enough is held."
)
FINALIZER_STEPS: Final = Gauge(
    "stream_infer_finalizer_steps",
    FinalizerStep,
    _SINK,
    "Steps of jobs that are ending, by what they are (`unseal`: `_SUCCESS` goes, since the job runs again; `hook`; "
    "`assemble`) and whether they wait for a store or a place that is away.",
)
FINALIZER_DONE: Final = Counter(
    "stream_infer_finalizer_steps_done_total", StepDone, _SINK, "Steps that were done and committed."
)
