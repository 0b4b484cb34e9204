"""Of HTTP, and of what the gateway sees of Kafka for all."""

from __future__ import annotations

from typing import Final, NamedTuple

from stream_infer.telemetry.catalogue.metric import CALL_MOMENTS, MOMENTS, Counter, Gauge, Histogram, OfApi, Role, Whole

_GATEWAY = (Role.GATEWAY,)
_REALTIME = (Role.REALTIME,)


class Lag(NamedTuple):
    """`group`: `worker`, `sink`, `finalizer`, `webhooks` or `tracker`; `api` is empty where the topic is no API's own.

    `topic`: `items`, `retry` (all tiers), `results`, `dlq`, `status` or `progress`.
    """

    group: str
    api: str
    topic: str


class Group(NamedTuple):
    """As of Lag."""

    group: str
    api: str


class Request(NamedTuple):
    """`path` is a route's pattern, such as `/v1/jobs/{job_id}`."""

    method: str
    path: str
    status: str


class Route(NamedTuple):
    method: str
    path: str


class ReplicaState(NamedTuple):
    """`ready` or `unready`."""

    api: str
    state: str


class Status(NamedTuple):
    api: str
    status: str


LAG: Final = Gauge(
    "stream_infer_lag_records",
    Lag,
    _GATEWAY,
    "Records that a group has still to read, transaction markers included; exactly 0 when all is done. On `retry` it "
    "is items that wait for their next attempt. Each gateway says the same of all: take the maximum, not the sum.",
)
LAG_AGE: Final = Gauge(
    "stream_infer_lag_age_seconds",
    Lag,
    _GATEWAY,
    "How long the first of these records has been waiting, as this gateway has seen it: to some seconds, and no longer "
    "than it runs. Rising: the group does not get on, or has no members.",
)
LAG_SEEN_AGE: Final = Gauge(
    "stream_infer_lag_seen_age_seconds",
    Whole,
    _GATEWAY,
    "How old what this gateway says of lag and members is. Above a minute Kafka does not answer it, and it says "
    "nothing of them any more: others may know better.",
)
GROUP_MEMBERS: Final = Gauge(
    "stream_infer_group_members",
    Group,
    _GATEWAY,
    "Processes that are in the group: of group `worker` the workers of an API. 0 with lag: nobody is at work.",
)
HTTP_REQUESTS: Final = Counter(
    "stream_infer_http_requests_total",
    Request,
    _GATEWAY,
    "Requests that the gateway has answered, by its route and the status. Paths that it does not have are `unknown`.",
)
HTTP_SECONDS: Final = Histogram(
    "stream_infer_http_request_seconds",
    Route,
    _GATEWAY,
    "Seconds from a request's head to the end of its answer; of a stream that is followed, as long as it lasts.",
    MOMENTS,
)
HTTP_IN_FLIGHT: Final = Gauge(
    "stream_infer_http_requests_in_flight", Whole, _GATEWAY, "Requests that are being answered."
)
REPLICAS: Final = Gauge(
    "stream_infer_replicas",
    ReplicaState,
    _GATEWAY,
    "Realtime replicas that this gateway knows, by whether they are ready, as it has seen them last.",
)
REALTIME_ANSWERS: Final = Counter(
    "stream_infer_realtime_answers_total",
    Status,
    _REALTIME,
    "Predictions that were asked for, by the status of the answer: 429 is full, 503 not ready, 504 late, 422 the "
    "item's own fault, 500 the predictor's.",
)
REALTIME_SECONDS: Final = Histogram(
    "stream_infer_realtime_seconds",
    OfApi,
    _REALTIME,
    "Seconds that an item was in the replica. Of items that were answered together it is the one that came first.",
    CALL_MOMENTS,
)
REALTIME_IN_FLIGHT: Final = Gauge(
    "stream_infer_realtime_in_flight_items", OfApi, _REALTIME, "Items that were taken and are not answered."
)
REALTIME_IN_FLIGHT_LIMIT: Final = Gauge(
    "stream_infer_realtime_in_flight_items_limit", OfApi, _REALTIME, "`realtime.max_in_flight`: above it is 429."
)
REALTIME_CONNECTIONS: Final = Gauge("stream_infer_realtime_connections", OfApi, _REALTIME, "Connections that are open.")
