"""Of the telling of jobs' ends."""

from __future__ import annotations

from typing import Final, NamedTuple

from stream_infer.telemetry.catalogue.metric import Counter, Gauge, OfApi, Role

_GATEWAY = (Role.GATEWAY,)


class Attempt(NamedTuple):
    """`outcome`: `delivered`, `failed`, `gone`, `given_up` or `withdrawn`."""

    api: str
    outcome: str


WEBHOOK_ATTEMPTS: Final = Counter(
    "stream_infer_webhook_attempts_total",
    Attempt,
    _GATEWAY,
    "Attempts to tell a job's end, by what came of it: `delivered`; `failed`, and it is tried again; `gone`: the "
    "receiver wants no more; `given_up`: the last one has failed, too; `withdrawn`: there is nowhere to send it to.",
)
WEBHOOKS_WAITING: Final = Gauge(
    "stream_infer_webhooks_waiting",
    OfApi,
    _GATEWAY,
    "Events that are to be told, or told again. Sum over gateways: each has those of its partitions.",
)
WEBHOOK_OLDEST_AGE: Final = Gauge(
    "stream_infer_webhooks_oldest_age_seconds",
    OfApi,
    _GATEWAY,
    "How long ago the oldest of these happened; 0 where there is none. Rising for hours: a receiver is away. Each "
    "gateway sees those of its partitions: take the maximum.",
)
