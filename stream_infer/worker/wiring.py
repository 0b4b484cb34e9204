"""A worker's loop out of its parts, each with what of the settings is its own."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from stream_infer.engine.engine import Engine
from stream_infer.kafka.producer import TransactionalProducer
from stream_infer.pool import DaemonPool
from stream_infer.ports import Store
from stream_infer.settings import MIB, ApiSettings, Settings
from stream_infer.slots import Slot
from stream_infer.telemetry import tracing
from stream_infer.telemetry.exposure import Exposure
from stream_infer.topics import Topics, retry_tiers
from stream_infer.worker.admission import Admission
from stream_infer.worker.breaker import Breaker, BreakerPolicy
from stream_infer.worker.circuit import Circuit, State
from stream_infer.worker.delivery import Delivery, DeliveryPolicy
from stream_infer.worker.fetch import FetchStage
from stream_infer.worker.journal import CrashJournal
from stream_infer.worker.known_jobs import KnownJobs
from stream_infer.worker.ledger import Ledger
from stream_infer.worker.loop import LoopTimes, WorkerLoop
from stream_infer.worker.metrics import CircuitNumbers, HeldItems, WorkerMetrics
from stream_infer.worker.outcomes import Outcomes
from stream_infer.worker.pace import Pace, PacePolicy
from stream_infer.worker.payloads import PUTS, Payloads
from stream_infer.worker.reading import Reading
from stream_infer.worker.retry import RetryPolicy
from stream_infer.worker.scopes import Scopes
from stream_infer.worker.shape import ShapeStage
from stream_infer.worker.shapings import Shapings
from stream_infer.worker.startup import Startup
from stream_infer.worker.traces import TransactionTraces
from stream_infer.worker.waiting import Waiting

# Enough for the model never to wait for the reader, and little enough for a stop to be felt at once.
_BATCHES_AHEAD = 4


@dataclass(frozen=True, slots=True)
class Opened:
    """What holds a lock, a file, a process or a thread; closed by whoever opened it."""

    slot: Slot
    ledger: Ledger
    journal: CrashJournal
    engine: Engine
    jobs: KnownJobs
    fetch: FetchStage
    shape: ShapeStage


def wire(
    settings: Settings,
    api: ApiSettings,
    opened: Opened,
    store: Store,
    on_change: Callable[[State], None],
    startup: Startup,
    exposure: Exposure,
) -> WorkerLoop:
    """`on_change` is told whether the predictor serves, `exposure` what there is to be seen.

    Its producer fences whoever held the slot before.
    """
    ledger, engine, jobs = opened.ledger, opened.engine, opened.jobs
    max_ratio = api.breaker.max_ratio
    waiting = Waiting(ledger)
    breaker = Breaker(BreakerPolicy(max_ratio, api.breaker.window))
    circuit = Circuit(engine, ledger, waiting, breaker, jobs=jobs, max_ratio=max_ratio, on_change=on_change)
    outcomes = Outcomes(
        ledger,
        waiting,
        breaker,
        opened.shape,
        jobs=jobs,
        policy=RetryPolicy(api.retry.max_attempts, tuple(api.retry.delays), api.retry.max_wait),
        breaker_ratio=max_ratio,
        chance=random.random,
    )
    names, suspects = Topics(settings.kafka.topic_prefix).api(api.name), opened.journal.suspects
    shapings = Shapings(jobs, api.results)
    payloads = Payloads(store, DaemonPool(PUTS, "payloads"))
    admission = Admission(
        ledger,
        waiting,
        outcomes,
        opened.fetch,
        opened.shape,
        jobs=jobs,
        shapings=shapings,
        topics=names,
        suspects=suspects,
        gate=circuit,
        scopes=_scopes(api, jobs),
    )
    pace, metrics = Pace(_pace_policy(api)), WorkerMetrics(api.name, retry_tiers(api))
    exposure.show(metrics.readings)
    exposure.show(HeldItems(api.name, ledger, pace.policy, names.items))
    exposure.show(CircuitNumbers(api.name, circuit, breaker, opened.fetch, opened.shape))
    return WorkerLoop(
        ledger=ledger,
        admission=admission,
        reading=Reading(ledger, admission, pace),
        engine=engine,
        delivery=Delivery(
            _delivery_policy(settings, api, opened.slot),
            payloads,
            lambda: engine.predictor_name,
            shapings.format_of,
        ),
        pace=pace,
        outcomes=outcomes,
        circuit=circuit,
        new_producer=lambda: _producer(settings, opened.slot),
        startup=startup,
        observer=TransactionTraces(names.items, names.worker_group, metrics) if tracing.is_on() else metrics,
        times=LoopTimes(leave=api.workers.drain_timeout),
    )


def _scopes(api: ApiSettings, jobs: KnownJobs) -> Scopes | None:
    """For a predictor with an instance for each job."""
    return Scopes(jobs, api.batch_size_of) if api.predictor.is_job_scoped else None


def _producer(settings: Settings, slot: Slot) -> TransactionalProducer:
    producer = TransactionalProducer(settings.kafka, slot.name, max_bytes=settings.limits.payload_bytes + 4 * MIB)
    producer.initialise()
    return producer


def _pace_policy(api: ApiSettings) -> PacePolicy:
    return PacePolicy(
        batches_ahead=_BATCHES_AHEAD,
        max_held=api.workers.max_in_flight,
        max_held_bytes=api.workers.max_in_flight_bytes,
    )


def _delivery_policy(settings: Settings, api: ApiSettings, slot: Slot) -> DeliveryPolicy:
    topics = Topics(settings.kafka.topic_prefix)
    return DeliveryPolicy(
        topics=topics.api(api.name),
        progress_topic=topics.progress,
        worker=slot.name,
        api_version=api.version,
        max_result_bytes=settings.limits.payload_bytes + MIB // 2,
        max_dead_letter_bytes=settings.limits.payload_bytes + MIB,
    )
