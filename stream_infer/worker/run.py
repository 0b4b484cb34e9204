"""The role: one worker of one API."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from operator import attrgetter

import structlog

from stream_infer.engine.configured import engine_policy, predictor_spec
from stream_infer.engine.engine import Engine
from stream_infer.engine.loading import process_age
from stream_infer.errors import PredictorUnavailable
from stream_infer.heap import keep_freed_memory
from stream_infer.jobs.spec import decode_job
from stream_infer.jobs.status import JobStatus, decode_status
from stream_infer.kafka.admin import check_topics, cluster_id, topic_ids
from stream_infer.kafka.consumer import GroupConsumer
from stream_infer.kafka.following import Following
from stream_infer.kafka.views import CompactedView
from stream_infer.ports import Fetcher, Store
from stream_infer.predictors.spec import PredictorSpec
from stream_infer.settings import ApiSettings, Settings
from stream_infer.slots import Slot, hold_slot
from stream_infer.telemetry import tracing
from stream_infer.telemetry.engine_metrics import EngineMetrics, show_engine
from stream_infer.telemetry.exposure import Exposure
from stream_infer.telemetry.job_logs import job_log
from stream_infer.telemetry.logs import echo_predictor
from stream_infer.telemetry.predictor_lines import BoundedEcho, PredictorLines
from stream_infer.topics import Topics
from stream_infer.worker.fetch import FetchStage
from stream_infer.worker.in_child import InChild
from stream_infer.worker.journal import CrashJournal
from stream_infer.worker.known_jobs import EndedJobs, EndingJobs, KnownJobs
from stream_infer.worker.ledger import Ledger
from stream_infer.worker.loop import WorkerLoop
from stream_infer.worker.readiness import Readiness
from stream_infer.worker.shape import ShapeStage
from stream_infer.worker.startup import Startup, Step
from stream_infer.worker.traces import CallTraces
from stream_infer.worker.wiring import Opened, wire

_LOG = structlog.get_logger(__name__)
_SHUTDOWN_S = 10.0
# New objects, then rounds of that: more than the items that are held at most are made of.
_COLLECTED_EVERY = (500_000, 10, 10)
# What is in cycles all the same, an error with its frames for one, may be large and few.
_COLLECTED_EVERY_S = 10.0


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
    startup: Startup | None = None,
    predictor: PredictorSpec | None = None,
    exposure: Exposure | None = None,
) -> None:
    """Serves `api` until `stop`. Raises TopicMismatch, ServiceUnavailable or UsageError.

    `on_unavailable` is told when the predictor cannot be loaded at the start; it may raise that, or return, and then
    the worker waits for it with the group joined. `on_ready` is called once, when it serves. `predictor`: the API's,
    with its model on this machine. `exposure` shows the worker's numbers and what it lacks.
    """
    keep_freed_memory()
    names = Topics(settings.kafka.topic_prefix).api(api.name)
    readiness = Readiness(on_ready)
    startup, exposure = startup or Startup(process_age()), exposure or Exposure()
    exposure.missing = readiness.missing
    startup.reach(Step.CONFIGURED)
    with ExitStack() as closing:
        spec = predictor or predictor_spec(api.predictor)
        opened = _open(settings, api, spec, fetcher, slot, closing, exposure)
        startup.reach(Step.OPENED)
        readiness.await_predictor(opened.engine, api.batching.load_timeout, stop, on_unavailable)
        if stop.is_set():
            return  # it is not needed any more, and owns nothing yet
        startup.reach(Step.PREDICTOR)
        loop = wire(settings, api, opened, store, readiness.note, startup, exposure)
        # Where an item is read, its retries are: whoever has a share of the items has that share of the waiting ones.
        tiers = Following(names.items, names.tier_pattern)
        # Whoever asks who works on the API sees by that with which settings.
        client_id = f"{opened.slot.name}@{api.version}"
        consumer = GroupConsumer(settings.kafka, names.worker_group, client_id, loop, following=tiers)
        consumer.subscribe([names.items])
        readiness.joined()
        with _collecting_seldom():
            _serve(loop, consumer, stop)


def _open(
    settings: Settings,
    api: ApiSettings,
    predictor: PredictorSpec,
    fetcher: Fetcher,
    slot: int | None,
    closing: ExitStack,
    exposure: Exposure,
) -> Opened:
    """In this order: the slot keeps another process off the journal, and the model loads while the views are read."""
    held = hold_slot(f"{settings.kafka.topic_prefix}.{api.name}.worker", cluster_id(settings.kafka), slot)
    closing.callback(held.release)
    lines = _lines(settings, held, closing)
    ledger = Ledger()
    journal = _journal(settings, api, held, ledger)
    closing.callback(journal.close)
    in_child = InChild(journal, ledger, lines.now_in_child)
    metrics = EngineMetrics(api.name)
    topic = Topics(settings.kafka.topic_prefix).api(api.name).items
    traces = CallTraces(api.name, topic, ledger, in_child, metrics) if tracing.is_on() else None
    engine = Engine(
        predictor,
        engine_policy(api.batching, api.retry),
        on_line=lines,
        journal=traces or in_child,
        observer=traces or metrics,
    )
    show_engine(exposure, metrics, engine)
    closing.callback(engine.close, _SHUTDOWN_S)
    engine.start()
    check_topics(settings)
    jobs = _known_jobs(settings, closing)
    fetch = FetchStage(fetcher, settings.fetch.concurrency, engine.wake)
    closing.callback(fetch.close)
    fetch.start()
    shape = ShapeStage(engine.wake)
    closing.callback(shape.close)
    shape.start()
    return Opened(held, ledger, journal, engine, jobs, fetch, shape)


def _journal(settings: Settings, api: ApiSettings, slot: Slot, ledger: Ledger) -> CrashJournal:
    names = Topics(settings.kafka.topic_prefix).api(api.name)
    ids = topic_ids(settings.kafka, [names.items, *map(names.retry, range(1, api.retry.max_attempts))])
    return CrashJournal(settings.state_dir / "journal" / f"{slot.name}.json", ledger.offsets_of, ids)


def _lines(settings: Settings, slot: Slot, closing: ExitStack) -> PredictorLines:
    echo = BoundedEcho(echo_predictor)
    closing.callback(echo.close)
    return PredictorLines(closing.enter_context(job_log(settings.kafka, "worker", slot.name)), echo)


def _known_jobs(settings: Settings, closing: ExitStack) -> KnownJobs:
    topics, ending, ended = Topics(settings.kafka.topic_prefix), EndingJobs(), EndedJobs()
    key_of = attrgetter("job_id")

    def note(job_id: str, status: JobStatus | None) -> None:
        ending.note(job_id, status)
        ended.note(job_id, status)

    jobs = CompactedView(settings.kafka, topics.jobs, decode_job, key_of=key_of)
    status = CompactedView(settings.kafka, topics.status, decode_status, note, key_of=key_of)
    closing.callback(jobs.close)
    closing.callback(status.close)
    jobs.begin()
    status.start()
    jobs.start()
    return KnownJobs(jobs, status, ending, ended)


@contextmanager
def _collecting_seldom() -> Iterator[None]:
    """Items are in no cycles: they go with their last reference.

    Measured: the search for cycles, through all that is held after every 700 new objects, took half of the loop's time.
    """
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECTED_EVERY)
    over = threading.Event()
    threading.Thread(target=_collect_until, args=(over,), name="collector", daemon=True).start()
    try:
        yield
    finally:
        over.set()
        gc.set_threshold(*before)
        gc.unfreeze()


def _collect_until(over: threading.Event) -> None:
    """The young generations: some 50 ms at full speed, next to nothing at rest."""
    while not over.wait(_COLLECTED_EVERY_S):
        gc.collect(1)


def _serve(loop: WorkerLoop, consumer: GroupConsumer, stop: threading.Event) -> None:
    """Works in the group, and leaves it, with nothing left in the model where there was no fault."""
    try:
        loop.run(consumer, stop)
        loop.finish(consumer)
    finally:
        _LOG.info("leaving")
        consumer.close()
        loop.close()
