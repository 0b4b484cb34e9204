"""The gateway: the HTTP API of all jobs and APIs. Many replicas, no leader."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import structlog

from stream_infer.definitions import Seal
from stream_infer.gateway.app import application
from stream_infer.gateway.board import JobBoard, KnownJob
from stream_infer.gateway.claims import Claims
from stream_infer.gateway.deployments.deployed import DeployedApis
from stream_infer.gateway.job_lists import ListName, Place
from stream_infer.gateway.openai.owned import openai_lists
from stream_infer.gateway.sagemaker.jobs import transform_lists
from stream_infer.gateway.services import Services, SourceReader
from stream_infer.gateway.webhooks.board import DeliveryBoard
from stream_infer.gateway.webhooks.couriering import delivering
from stream_infer.gateway.writer import EventWriter
from stream_infer.http.address import Address, listen_address, require_keys_beyond_loopback
from stream_infer.http.guards import Guards
from stream_infer.http.keys_file import open_keys
from stream_infer.http.listening import listening
from stream_infer.http.tls import open_tls
from stream_infer.kafka.admin import cluster_id
from stream_infer.kafka.members import GroupMembers
from stream_infer.kafka.producer import start_producer
from stream_infer.kafka.publisher import Publisher
from stream_infer.pool import DaemonPool
from stream_infer.ports import Fetcher, Formats, Poster, Store
from stream_infer.settings import Settings
from stream_infer.slots import hold_slot
from stream_infer.telemetry.exposure import Exposure
from stream_infer.telemetry.job_logs import job_log
from stream_infer.topics import Topics

# `up` gives the gateway 5 s to end.
DRAIN_TIMEOUT_S = 2.0
BLOCKING_THREADS = 16
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Serving:
    """Where, under which name, guarded by what, and what is shown of it."""

    address: Address
    slot: str
    guards: Guards
    exposure: Exposure


def run(
    settings: Settings,
    store: Store,
    stop: threading.Event,
    on_ready: Callable[[], None],
    *,
    read_source: SourceReader | None = None,
    formats: Formats = MappingProxyType({}),
    poster: Poster | None = None,
    fetcher: Fetcher | None = None,
    on_listening: Callable[[str], None] | None = None,
    exposure: Exposure | None = None,
    seal: Seal | None = None,
) -> None:
    """Serves until `stop` is set. `on_listening` is told the URL, with the port that `:0` became, before `on_ready`.
    `formats` are those of results beside lines of JSON, `poster` sends webhooks; without one other gateways do.
    `fetcher` brings what dead letters refer to, closed here; `exposure` is what `/metrics` shows; `seal` is put on what
    is deployed.

    Raises ConfigError (a listen address that is taken, or that others reach and nobody is asked for a key at; keys or a
    certificate that cannot be read), UsageError (every slot is taken), TopicMismatch or ServiceUnavailable.
    """
    address = listen_address(settings.gateway.listen, "gateway.listen")
    guards = Guards(open_keys(settings.gateway), open_tls(settings.gateway.tls))
    require_keys_beyond_loopback(address, guards.number_of_keys)
    if guards.tls is None and not address.is_loopback:
        _log.warning("not_encrypted", listen=settings.gateway.listen, why="keys travel as they are: set gateway.tls")
    cluster = cluster_id(settings.kafka)
    slot = hold_slot(f"{settings.kafka.topic_prefix}.gateway", cluster)
    try:
        with job_log(settings.kafka, "gateway", slot.name):
            services = partial(
                _services, settings, store, cluster, slot.name, read_source, formats, poster, fetcher, seal
            )
            serving = Serving(address, slot.name, guards, exposure or Exposure())
            asyncio.run(_serve(services, serving, stop, on_ready, on_listening))
    finally:
        slot.release()


async def _serve(
    open_services: Callable[[], AbstractAsyncContextManager[Services]],
    serving: Serving,
    stop: threading.Event,
    on_ready: Callable[[], None],
    on_listening: Callable[[str], None] | None,
) -> None:
    """Ends in phases: 1. accept no more, 2. give requests 2 s, and webhooks that are under way 1 s of these, 3. end the
    courier, then the event writer and the views (2 s each), 4. the publisher. Measured: 0.1 s where nothing is under
    way, 2 s after the broker has gone."""
    async with (
        serving.guards.watched(),
        open_services() as services,
        delivering(services, _courier_of(serving.slot), stop, serving.exposure),
        _listening(services, serving) as url,
    ):
        _log.info("listening", url=url, slot=serving.slot)
        if on_listening is not None:
            on_listening(url)
        on_ready()
        await asyncio.to_thread(stop.wait)
        _log.info("stopping")


def _listening(services: Services, serving: Serving) -> AbstractAsyncContextManager[str]:
    app = application(services, serving.guards.keys, serving.exposure)
    return listening(app, serving.address, DRAIN_TIMEOUT_S, serving.guards.context)


@asynccontextmanager
async def _services(
    settings: Settings,
    store: Store,
    cluster: str,
    slot: str,
    read_source: SourceReader | None,
    formats: Formats,
    poster: Poster | None,
    fetcher: Fetcher | None,
    seal: Seal | None,
) -> AsyncIterator[Services]:
    kafka = settings.kafka
    board = JobBoard(kafka, asyncio.get_running_loop(), settings.jobs.retention, _lists_of)
    deliveries, deployed = DeliveryBoard(kafka), DeployedApis(settings, seal)
    writer = EventWriter(kafka, slot)
    publisher = Publisher(kafka, slot)
    blocking = DaemonPool(BLOCKING_THREADS, "blocking")
    try:
        topics, claims, members = Topics(kafka.topic_prefix), Claims(kafka), GroupMembers(kafka)
        # Beside each other: the boards would wait for what a killed gateway has left open, which the others abort.
        await asyncio.gather(
            asyncio.to_thread(board.start),
            asyncio.to_thread(deliveries.start),
            asyncio.to_thread(deployed.start),
            asyncio.to_thread(writer.start),
            asyncio.to_thread(lambda: start_producer(kafka, _courier_of(slot)).close()),
            claims.free(),
        )
        yield Services(
            settings,
            topics,
            store,
            board,
            deliveries,
            writer,
            claims,
            publisher,
            blocking,
            cluster,
            read_source,
            formats,
            members,
            poster,
            fetcher,
            deployed,
        )
    finally:
        blocking.cancel_queued()
        blocking.close(0.0)
        if fetcher is not None:
            await fetcher.close()
        closing = (writer.close, board.close, deliveries.close, deployed.close)
        await asyncio.gather(*(asyncio.to_thread(close) for close in closing))
        publisher.close()


def _lists_of(known: KnownJob) -> Mapping[ListName, Place]:
    """Those that clients of other systems page through."""
    return {**openai_lists(known), **transform_lists(known)}


def _courier_of(slot: str) -> str:
    """The transactional id of the gateway's courier."""
    return f"{slot}.webhooks"
