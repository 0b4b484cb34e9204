"""The role: one worker of one API."""

from __future__ import annotations

import hashlib
import random
import threading
from collections.abc import Callable
from contextlib import ExitStack

import structlog

from stream_infer.engine.configured import engine_policy, predictor_spec
from stream_infer.engine.engine import Engine
from stream_infer.engine.stderr import write_to_stderr
from stream_infer.errors import PredictorUnavailable
from stream_infer.jobs.spec import decode_job
from stream_infer.jobs.status import decode_status
from stream_infer.kafka.admin import check_topics, cluster_id
from stream_infer.kafka.consumer import GroupConsumer
from stream_infer.kafka.producer import TransactionalProducer
from stream_infer.kafka.views import CompactedView
from stream_infer.ports import Fetcher, Store
from stream_infer.settings import MIB, ApiSettings, Settings
from stream_infer.slots import Slot, hold_slot
from stream_infer.telemetry.job_logs import job_log
from stream_infer.telemetry.predictor_lines import PredictorLines
from stream_infer.topics import Topics
from stream_infer.worker.admission import Admission
from stream_infer.worker.breaker import Breaker, BreakerPolicy
from stream_infer.worker.circuit import Circuit, State
from stream_infer.worker.delivery import Delivery, DeliveryPolicy
from stream_infer.worker.fetch import FetchStage
from stream_infer.worker.in_child import InChild
from stream_infer.worker.journal import CrashJournal
from stream_infer.worker.known_jobs import EndingJobs, KnownJobs
from stream_infer.worker.ledger import Ledger
from stream_infer.worker.loop import WorkerLoop
from stream_infer.worker.outcomes import Outcomes
from stream_infer.worker.pace import Pace, PacePolicy
from stream_infer.worker.retry import RetryPolicy
from stream_infer.worker.waiting import Waiting

_LOG = structlog.get_logger(__name__)
_SHUTDOWN_S = 10.0
# Enough for the model never to wait for the reader, and little enough for a stop to be felt at once.
_BATCHES_AHEAD = 4


def run(
    settings: Settings,
    api: ApiSettings,
    fetcher: Fetcher,
    store: Store,
    *,
    stop: threading.Event,
    on_ready: Callable[[], None],
    on_unavailable: Callable[[PredictorUnavailable], None],
    slot: int | None = None,
) -> None:
    """Serves `api` until `stop`. Raises TopicMismatch, ServiceUnavailable or UsageError.

    `on_unavailable` is told when the predictor cannot be loaded at the start; it may raise that, or return, and then
    the worker waits for it with the group joined. `on_ready` is called once, when it serves.
    """
    topics = Topics(settings.kafka.topic_prefix)
    with ExitStack() as opened:
        held = hold_slot(f"{topics.prefix}.{api.name}.worker", cluster_id(settings.kafka), slot)
        opened.callback(held.release)
        lines = PredictorLines(opened.enter_context(job_log(settings.kafka, "worker", held.name)), write_to_stderr)
        ledger, ending = Ledger(), EndingJobs()
        journal = CrashJournal(settings.state_dir / "journal" / f"{held.name}.json", ledger.position_of)
        opened.callback(journal.close)
        in_child = InChild(journal, ledger, lines.now_in_child)
        engine = Engine(predictor_spec(api.predictor), engine_policy(api.batching), on_line=lines, journal=in_child)
        opened.callback(engine.close, _SHUTDOWN_S)
        engine.start()
        check_topics(settings)
        jobs = CompactedView(settings.kafka, topics.jobs, decode_job)
        status = CompactedView(settings.kafka, topics.status, decode_status, ending.note)
        for view in (jobs, status):
            opened.callback(view.close)
            view.start()
        fetch = FetchStage(fetcher, settings.fetch.concurrency, engine.wake)
        opened.callback(fetch.close)
        fetch.start()
        readiness = _Readiness(on_ready)
        readiness.await_predictor(engine, api.batching.load_timeout, on_unavailable)
        known = KnownJobs(jobs, status, ending)
        names = topics.api(api.name)
        waiting = Waiting(ledger)
        breaker = Breaker(BreakerPolicy(api.breaker.max_ratio, api.breaker.window))
        circuit = Circuit(
            engine, ledger, waiting, breaker, jobs=known, max_ratio=api.breaker.max_ratio, on_change=readiness.note
        )
        outcomes = Outcomes(
            ledger,
            waiting,
            breaker,
            jobs=known,
            policy=RetryPolicy(api.retry.max_attempts, tuple(api.retry.delays), api.retry.max_wait),
            breaker_ratio=api.breaker.max_ratio,
            chance=random.random,
        )
        admission = Admission(
            ledger, waiting, outcomes, fetch, jobs=known, topics=names, suspects=journal.suspects, gate=circuit
        )
        loop = WorkerLoop(
            ledger=ledger,
            admission=admission,
            engine=engine,
            delivery=Delivery(_delivery_policy(settings, api, held), store, lambda: engine.predictor_name),
            pace=Pace(_pace_policy(api)),
            outcomes=outcomes,
            circuit=circuit,
            new_producer=lambda: _producer(settings, held),
        )
        consumer = GroupConsumer(settings.kafka, names.worker_group, held.name, loop)
        consumer.subscribe([names.work_pattern])
        readiness.joined()
        _serve(loop, consumer, stop)


class _Readiness:
    """Ready, once, when the predictor serves and the group is joined."""

    def __init__(self, on_ready: Callable[[], None]) -> None:
        self._on_ready: Callable[[], None] | None = on_ready
        self._is_serving = False
        self._has_joined = False

    def await_predictor(
        self, engine: Engine, timeout_s: float, on_unavailable: Callable[[PredictorUnavailable], None]
    ) -> None:
        """A model that takes long to load owns no partitions meanwhile; one that cannot be loaded reads what to skip
        and says to its jobs what is wrong, while the engine tries again."""
        try:
            engine.wait_ready(timeout_s)
        except PredictorUnavailable as error:
            on_unavailable(error)
            return
        self._is_serving = True
        _LOG.info("predictor_ready", predictor=engine.predictor_name)

    def joined(self) -> None:
        self._has_joined = True
        self._look()

    def note(self, state: State) -> None:
        self._is_serving = state is State.SERVING
        self._look()

    def _look(self) -> None:
        if self._is_serving and self._has_joined and self._on_ready is not None:
            on_ready, self._on_ready = self._on_ready, None
            on_ready()


def _serve(loop: WorkerLoop, consumer: GroupConsumer, stop: threading.Event) -> None:
    """Works in the group, and leaves it: leaving drains and delivers in the revoke callback."""
    try:
        loop.run(consumer, stop)
    finally:
        _LOG.info("leaving")
        consumer.close()
        loop.close()


def _producer(settings: Settings, slot: Slot) -> TransactionalProducer:
    producer = TransactionalProducer(settings.kafka, slot.name, max_bytes=settings.limits.payload_bytes + 4 * MIB)
    producer.initialise()
    return producer


def _pace_policy(api: ApiSettings) -> PacePolicy:
    return PacePolicy(
        max_pending=_BATCHES_AHEAD * api.batching.max_batch_size,
        max_held=api.workers.max_in_flight,
        max_held_bytes=api.workers.max_in_flight_bytes,
    )


def _delivery_policy(settings: Settings, api: ApiSettings, slot: Slot) -> DeliveryPolicy:
    topics = Topics(settings.kafka.topic_prefix)
    return DeliveryPolicy(
        topics=topics.api(api.name),
        progress_topic=topics.progress,
        worker=slot.name,
        api_version=hashlib.sha256(api.model_dump_json().encode()).hexdigest()[:12],
        max_result_bytes=settings.limits.payload_bytes + MIB // 2,
        max_dead_letter_bytes=settings.limits.payload_bytes + MIB,
    )
