"""What the resources work with. The composition in `app.py` makes it once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from stream_infer.gateway.board import JobBoard, KnownJob
from stream_infer.gateway.claims import Claims
from stream_infer.gateway.deployments.deployed import DeployedApis
from stream_infer.gateway.webhooks.board import DeliveryBoard
from stream_infer.gateway.workforce import Members
from stream_infer.gateway.writer import EventWriter
from stream_infer.http.problems import Problem, ProblemKind, unknown_api
from stream_infer.jobs.spec import Job
from stream_infer.kafka.publisher import Publisher
from stream_infer.pool import DaemonPool
from stream_infer.ports import Fetcher, Formats, Poster, SourceItem, Store
from stream_infer.settings import ApiSettings, Settings
from stream_infer.topics import Topics
from stream_infer.uploads import owner_of

T = TypeVar("T")


class SourceReader(Protocol):
    """The items of a job's source, from the start, lazily; whoever has enough closes it.

    Reading may block. Raises SourceError or ServiceUnavailable. Never asked for a job with inline items.
    """

    def __call__(self, job: Job) -> Iterator[SourceItem]: ...


@dataclass(frozen=True, slots=True)
class Services:
    """`blocking` is the pool for calls that wait for the store or for Kafka, away from the event loop; `cluster` is the
    id of the Kafka cluster; `formats` are those of results beside lines of JSON; `poster` sends webhooks, `fetcher`
    brings what dead letters refer to; `deployed` knows the APIs that were added while everything runs."""

    configured: Settings
    topics: Topics
    store: Store
    board: JobBoard
    deliveries: DeliveryBoard
    writer: EventWriter
    claims: Claims
    publisher: Publisher
    blocking: DaemonPool
    cluster: str
    read_source: SourceReader | None = None
    formats: Formats = field(default_factory=dict)
    members: Members | None = None
    poster: Poster | None = None
    fetcher: Fetcher | None = None
    deployed: DeployedApis | None = None
    clock: Callable[[], float] = time.time
    started_at: float = field(default_factory=time.time)

    @property
    def settings(self) -> Settings:
        """As of now: APIs come and go."""
        return self.configured if self.deployed is None else self.deployed.settings

    @property
    def owner(self) -> str:
        """Whose what clients send is in the store, where clusters may share one, and prefixes a cluster."""
        return owner_of(self.cluster, self.configured.kafka.topic_prefix)

    async def block(self, call: Callable[[], T]) -> T:
        """`call` on a thread of the pool."""
        return await asyncio.wrap_future(self.blocking.submit(call))

    async def see_apis(self) -> None:
        """Returns once every API that was added before the call is known. Raises ServiceUnavailable."""
        if self.deployed is not None:
            await self.deployed.catch_up()

    def api(self, name: str) -> ApiSettings:
        """Raises a Problem where there is none."""
        api = self.settings.api(name)
        if api is None:
            raise unknown_api(name, self.settings.names)
        return api

    async def job(self, job_id: str) -> KnownJob:
        """Raises a Problem where there is none."""
        known = await self.board.find(job_id)
        if known is None:
            detail = f"No job is named {job_id[:100]!r}; it was never submitted here, or its retention is over. "
            raise Problem(ProblemKind.UNKNOWN_JOB, detail + "GET /v1/jobs lists what is known.")
        return known
