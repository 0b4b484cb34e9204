"""The tracker as a process: start, serve, shut down."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import structlog

from stream_infer.errors import FatalError, ServiceUnavailable, StreamInferError, TopicMismatch
from stream_infer.kafka.admin import check_topics
from stream_infer.settings import Settings
from stream_infer.telemetry.catalogue.jobs import TRACKER_PARTITIONS
from stream_infer.telemetry.catalogue.metric import WHOLE
from stream_infer.telemetry.exposure import Exposure, nothing_missing
from stream_infer.telemetry.job_logs import job_log
from stream_infer.topics import Topics
from stream_infer.tracker.app import TrackerApp, create_app, leave_unawaited
from stream_infer.tracker.folding import Folding
from stream_infer.tracker.metrics import TrackerMetrics, row_readings

_LOG = structlog.get_logger(__name__)

START_TIMEOUT_S = 60.0
DRAIN_TIMEOUT_S = 2.0
LEAVE_TIMEOUT_S = 3.0
_LOOK_EVERY_S = 0.05


def run(
    settings: Settings, stop: threading.Event, on_ready: Callable[[], None], *, exposure: Exposure | None = None
) -> None:
    """Tracks jobs until `stop` is set. `on_ready` is called once the rows are read and progress is being followed;
    `exposure` shows the tracker's numbers and what it lacks.

    Raises ServiceUnavailable (Kafka cannot be reached), TopicMismatch (a topic is missing or has another number of
    partitions, or the group has no place on `{p}.progress`), or FatalError where it cannot go on: start it again.
    """
    check_topics(settings)
    with job_log(settings.kafka, "tracker"):
        asyncio.run(_serve(settings, stop, on_ready, exposure or Exposure()))


async def _serve(settings: Settings, stop: threading.Event, on_ready: Callable[[], None], exposure: Exposure) -> None:
    asyncio.get_running_loop().set_exception_handler(leave_unawaited)
    app = create_app(settings)
    apis = [api.name for api in settings.apis]
    metrics = TrackerMetrics(apis)
    folding = Folding(app, settings, metrics)
    exposure.show(metrics.readings)
    exposure.show(lambda: row_readings((row for rows in folding.partitions() for row in rows.all()), apis))
    exposure.show(lambda: [TRACKER_PARTITIONS.reading({WHOLE: len(folding.partitions())})])
    starting = asyncio.create_task(app.start())
    try:
        if await _until_started(starting, app, folding, stop):
            exposure.missing = nothing_missing
            on_ready()
            while not stop.is_set() and _failure(starting, app, folding) is None:  # noqa: ASYNC110 - others set it
                await asyncio.sleep(_LOOK_EVERY_S)
        failure = _failure(starting, app, folding)
        if failure is not None:
            raise _translate(failure, settings) from failure
    finally:
        await _shut_down(app, folding, starting)


async def _until_started(
    starting: asyncio.Task[None], app: TrackerApp, folding: Folding, stop: threading.Event
) -> bool:
    """Whether the app serves; False where it was stopped or has failed before."""
    deadline = asyncio.get_running_loop().time() + START_TIMEOUT_S
    while not starting.done():
        if stop.is_set() or _failure(starting, app, folding) is not None:
            return False
        if asyncio.get_running_loop().time() > deadline:
            raise ServiceUnavailable(f"the tracker could not join its group within {START_TIMEOUT_S:.0f} s")
        await asyncio.wait([starting], timeout=_LOOK_EVERY_S)
    return _failure(starting, app, folding) is None


def _failure(starting: asyncio.Task[None], app: TrackerApp, folding: Folding) -> BaseException | None:
    """What keeps it from serving: said by our own code, by a service of Faust's, or by its start."""
    not_started = starting.exception() if starting.done() and not starting.cancelled() else None
    return folding.failure or (app.crash_reason if app.crashed else None) or not_started


def _translate(failure: BaseException, settings: Settings) -> StreamInferError:
    """Faust's and aiokafka's errors in our words."""
    if isinstance(failure, StreamInferError):
        return failure
    kind = type(failure).__name__
    if kind in ("NoOffsetForPartitionError", "OffsetOutOfRangeError"):
        return TopicMismatch(
            f"the tracker's group has no place on {Topics(settings.kafka.topic_prefix).progress}, or its place is gone "
            f"(retention): {failure}. Run 'stream-infer topics apply' to write it."
        )
    if kind in ("KafkaConnectionError", "NodeNotReadyError", "NoBrokersAvailable"):
        return ServiceUnavailable(f"the tracker lost Kafka at {settings.kafka.bootstrap}: {failure}")
    return FatalError(f"the tracker cannot go on: {kind}: {failure}")


async def _shut_down(app: TrackerApp, folding: Folding, starting: asyncio.Task[None]) -> None:
    """Ends in at most 6 s. What is folded and not written is read again by the next tracker."""
    # 1. Let the transaction that is being committed end, so that nobody has to wait for its timeout.
    await _phase("drain", folding.drain(), DRAIN_TIMEOUT_S)
    # 2. Leave the group, so that another tracker takes over at once. Faust may wait here for streams that never end.
    starting.cancel()
    await _phase("leave", app.stop(), LEAVE_TIMEOUT_S)


async def _phase(name: str, work: object, timeout_s: float) -> None:
    task = asyncio.ensure_future(work)  # type: ignore[call-overload]
    done, _ = await asyncio.wait([task], timeout=timeout_s)
    if not done:
        task.cancel()
        _LOG.warning("shutdown phase took too long", phase=name, timeout_s=timeout_s)
    elif not task.cancelled() and task.exception() is not None:
        _LOG.warning("shutdown phase failed", phase=name, error=str(task.exception()))
