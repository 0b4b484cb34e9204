"""What an API is said to be: who works on it, and what it is busy with."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field

from stream_infer.definitions import ApiState
from stream_infer.gateway.representations import Body


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
