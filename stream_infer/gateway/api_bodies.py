"""What an API is said to be: who works on it, and what it is busy with."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from stream_infer.definitions import ApiState
from stream_infer.gateway.representations import Body
from stream_infer.settings import ApiSettings
from stream_infer.topics import ApiTopics

if TYPE_CHECKING:  # clients read these bodies too, and need no Kafka for it
    from stream_infer.gateway.board import KnownJob
    from stream_infer.gateway.workforce import Workforce


class ApiStatus(StrEnum):
    """LIVE: all that is requested is there. IDLE: nothing is, as nothing is to be done. STARTING: some is not there.
    HINDERED: a job says what keeps it from going on. UNKNOWN: Kafka does not say who works."""

    LIVE = "live"
    IDLE = "idle"
    STARTING = "starting"
    HINDERED = "hindered"
    UNKNOWN = "unknown"


class ReplicaBody(Body):
    """A realtime replica as this gateway sees it: `in_flight` requests of this gateway's are with it, and `reason` is
    why it is not ready."""

    url: str
    is_ready: bool
    in_flight: int
    reason: str | None = None


class ApiBody(Body):
    """An API. `active_jobs` have not reached a final state; `rate` is the sum of theirs, in items per second.

    Of its workers and realtime replicas so many are `requested`, by settings and jobs, and `available`; `up_to_date` of
    these have the settings that this gateway has. None: Kafka does not say. `updated_at`: since when the gateway has
    them. `avg_latency`, in seconds: of a request, over the last 100; without any, of an item of its newest jobs.

    `endpoint` is where its jobs are submitted in Cortex's way. `deployed`: it was added while everything runs, and is
    at this `revision`; `state` is what has become of that, and `message` why.
    """

    name: str
    endpoint: str = ""
    state: ApiState = ApiState.LIVE
    message: str | None = None
    deployed: bool = False
    revision: str | None = None
    status: ApiStatus = ApiStatus.UNKNOWN
    requested: int = 0
    available: int | None = None
    up_to_date: int | None = None
    updated_at: float = 0.0
    avg_latency: float | None = None
    predictor: dict[str, str]
    max_batch_size: int | Literal["auto"]
    max_wait_ms: float
    max_attempts: int
    partitions: int
    workers: dict[str, int]
    replicas: list[ReplicaBody] = Field(default_factory=list)
    topics: dict[str, str]
    active_jobs: int
    waiting_items: int
    rate: float
    links: dict[str, str]


class ApiList(Body):
    apis: list[ApiBody]


def api_body(api: ApiSettings, topics: ApiTopics, jobs: list[KnownJob], force: Workforce, updated_at: float) -> ApiBody:
    """`jobs` are those of the API."""
    active = [known.status for known in jobs if not known.status.state.is_final]
    path = f"/v1/apis/{api.name}"
    return ApiBody(
        name=api.name,
        status=force.status,
        requested=force.requested,
        available=force.available,
        up_to_date=force.up_to_date,
        updated_at=updated_at,
        avg_latency=force.avg_latency,
        predictor={"type": api.predictor.type, "target": api.predictor.shown_as},
        max_batch_size=api.batching.max_batch_size,
        max_wait_ms=api.batching.max_wait_ms,
        max_attempts=api.retry.max_attempts,
        partitions=api.partitions,
        workers={"min": api.workers.min, "max": api.workers.max},
        replicas=[
            ReplicaBody(url=one.url, is_ready=one.is_ready, in_flight=one.outstanding, reason=one.reason or None)
            for one in force.replicas
        ],
        topics={"items": topics.items, "results": topics.results, "dlq": topics.dlq},
        active_jobs=len(active),
        waiting_items=sum(status.counts.waiting for status in active),
        rate=sum(status.rate for status in active if status.counts.waiting),
        links={"self": path, "jobs": f"{path}/jobs", "items": f"{path}/items", "dlq": f"{path}/dlq"},
    )
