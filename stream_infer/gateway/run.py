"""The gateway: the HTTP API of all jobs and APIs. Many replicas, no leader."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from types import MappingProxyType

import structlog

from stream_infer.gateway.app import application
from stream_infer.gateway.board import JobBoard
from stream_infer.gateway.claims import Claims
from stream_infer.gateway.services import Services, SourceReader
from stream_infer.gateway.writer import EventWriter
from stream_infer.http.address import Address, listen_address
from stream_infer.http.listening import listening
from stream_infer.kafka.admin import cluster_id
from stream_infer.kafka.members import GroupMembers
from stream_infer.kafka.publisher import Publisher
from stream_infer.pool import DaemonPool
from stream_infer.ports import Fetcher, Formats, Store
from stream_infer.settings import Settings
from stream_infer.slots import hold_slot
from stream_infer.telemetry.job_logs import job_log
from stream_infer.topics import Topics

# `up` gives the gateway 5 s to end.
DRAIN_TIMEOUT_S = 2.0
BLOCKING_THREADS = 16
_log = structlog.get_logger(__name__)


def run(
    settings: Settings,
    store: Store,
    stop: threading.Event,
    on_ready: Callable[[], None],
    *,
    read_source: SourceReader | None = None,
    formats: Formats = MappingProxyType({}),
    fetcher: Fetcher | None = None,
    on_listening: Callable[[str], None] | None = None,
) -> None:
    """Serves until `stop` is set. `on_listening` is told the URL, with the port that `:0` became, before `on_ready`.
    `formats` are those of results beside lines of JSON; `fetcher` brings what dead letters refer to, closed here.

    Raises ConfigError (a listen address that is taken or not of this machine), UsageError (every slot is taken),
    TopicMismatch or ServiceUnavailable.
    """
    address = listen_address(settings.gateway.listen, "gateway.listen")
    cluster = cluster_id(settings.kafka)
    slot = hold_slot(f"{settings.kafka.topic_prefix}.gateway", cluster)
    try:
        with job_log(settings.kafka, "gateway", slot.name):
            services = partial(_services, settings, store, cluster, slot.name, read_source, formats, fetcher)
            asyncio.run(_serve(services, address, slot.name, stop, on_ready, on_listening))
    finally:
        slot.release()


async def _serve(
    open_services: Callable[[], AbstractAsyncContextManager[Services]],
    address: Address,
    slot: str,
    stop: threading.Event,
    on_ready: Callable[[], None],
    on_listening: Callable[[str], None] | None,
) -> None:
    """Ends in phases: 1. accept no more, 2. give requests 2 s, 3. end the event writer (2 s) and the views, 4. the
    publisher. Measured: 0.1 s where nothing is under way, 2 s after the broker has gone."""
    async with (
        open_services() as services,
        listening(application(services), address, DRAIN_TIMEOUT_S) as url,
    ):
        _log.info("listening", url=url, slot=slot)
        if on_listening is not None:
            on_listening(url)
        on_ready()
        await asyncio.to_thread(stop.wait)
        _log.info("stopping")


@asynccontextmanager
async def _services(
    settings: Settings,
    store: Store,
    cluster: str,
    slot: str,
    read_source: SourceReader | None,
    formats: Formats,
    fetcher: Fetcher | None,
) -> AsyncIterator[Services]:
    kafka = settings.kafka
    board = JobBoard(kafka, asyncio.get_running_loop(), settings.jobs.retention)
    writer = EventWriter(kafka, slot)
    publisher = Publisher(kafka, slot)
    blocking = DaemonPool(BLOCKING_THREADS, "blocking")
    try:
        topics, claims, members = Topics(kafka.topic_prefix), Claims(kafka), GroupMembers(kafka)
        # Beside each other: the board would wait for what a killed gateway has left open, which the others abort.
        await asyncio.gather(asyncio.to_thread(board.start), asyncio.to_thread(writer.start), claims.free())
        yield Services(
            settings, topics, store, board, writer, claims, publisher, blocking, cluster, read_source, formats, members,
            fetcher,
        )  # fmt: skip
    finally:
        blocking.cancel_queued()
        blocking.close(0.0)
        if fetcher is not None:
            await fetcher.close()
        await asyncio.gather(asyncio.to_thread(writer.close), asyncio.to_thread(board.close))
        publisher.close()
