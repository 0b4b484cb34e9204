"""The courier beside the event loop: a thread that reads and writes Kafka, and posts that the loop makes for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import Future
from contextlib import asynccontextmanager

import structlog

from stream_infer.gateway.dead_letters.replay_resource import BoardJobs
from stream_infer.gateway.services import Services
from stream_infer.gateway.webhooks.courier import Courier
from stream_infer.gateway.webhooks.metrics import CourierMetrics, waiting_readings
from stream_infer.gateway.webhooks.notes import Notes
from stream_infer.ports import Posted
from stream_infer.telemetry.exposure import Exposure

END_WITHIN_S = 2.0
_log = structlog.get_logger(__name__)


@asynccontextmanager
async def delivering(
    services: Services, transactional_id: str, stop: threading.Event, exposure: Exposure | None = None
) -> AsyncIterator[None]:
    """Webhooks are delivered until `stop`, which is set where that cannot go on: what it is that it cannot is raised at
    the end. Where there is no poster, other gateways deliver them. `exposure` shows how that goes.
    """
    poster, loop = services.poster, asyncio.get_running_loop()
    if poster is None:
        yield
        return
    errors: list[BaseException] = []

    async def send(url: str, headers: Mapping[str, str], body: bytes) -> Posted | None:
        return await poster.post(url, headers, body)

    def post(url: str, headers: Mapping[str, str], body: bytes) -> Future[Posted | None]:
        return asyncio.run_coroutine_threadsafe(send(url, headers, body), loop)

    jobs = BoardJobs(services.board, loop)
    notes = Notes(services.configured, jobs, services.deliveries, services.store.uri, services)
    exposure = exposure or Exposure()
    metrics = CourierMetrics(lambda: services.settings.names)
    courier = Courier(services.configured, notes, services.deliveries, post, transactional_id, metrics)
    exposure.show(metrics.readings)
    exposure.show(lambda: waiting_readings(courier.waiting, services.settings.names))

    def work() -> None:
        try:
            courier.run(stop)
        except BaseException as error:  # noqa: BLE001 (raised by who ends the gateway for it)
            errors.append(error)
            stop.set()

    # A daemon: with Kafka away its end may take as long as Kafka does, and others go on with what it has.
    thread = threading.Thread(target=work, name="courier", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        await asyncio.to_thread(thread.join, END_WITHIN_S)
        if thread.is_alive():
            _log.warning("courier_abandoned", waited_s=END_WITHIN_S)
        await poster.close()
    if errors:
        raise errors[0]
