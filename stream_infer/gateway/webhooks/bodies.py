"""The bodies about webhooks: what is asked and answered. The OpenAPI document is made from these models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from stream_infer.webhooks import DeliveryState, WebhookEvent, shown_url

if TYPE_CHECKING:  # clients read these bodies too, and need no Kafka for it
    from stream_infer.gateway.webhooks.target import Target
    from stream_infer.jobs.deliveries import Delivery

MOST_REPLAYED = 1000


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True)


class DeliveryBody(_Body):
    """An event that is told. `id` is the message's `webhook-id`, at each attempt. Times are in seconds since 1970.

    Of `attempts` since it was last asked for the last one was `tried_at` and answered with `status`; where that is None
    there was no answer. `reason` says what was wrong with it. While it is pending, the next one comes at `next_at`.
    """

    id: str
    job_id: str
    api_name: str
    event: WebhookEvent
    generation: int
    at: float
    state: DeliveryState
    attempts: int
    tried_at: float | None = None
    status: int | None = None
    reason: str | None = None
    next_at: float | None = None


class DeliveryList(_Body):
    """The newest first. `has_more`: there are older ones, behind `after` the last one's id."""

    deliveries: list[DeliveryBody]
    has_more: bool


class WebhookBody(_Body):
    """Where the job's end is told, without the address's query, and what has become of that so far."""

    url: str
    events: list[WebhookEvent]
    deliveries: list[DeliveryBody] = []


class TellAgain(BaseModel):
    """Which events are to be told again: those that all of the fields are true of; at least one has to be given."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ids: list[str] | None = Field(default=None, min_length=1, max_length=MOST_REPLAYED)
    job_id: str | None = None
    api: str | None = None
    state: DeliveryState | None = None


class ToldAgain(_Body):
    """Those that are told again, from now on, as they were before. `unknown`: ids that nothing has."""

    deliveries: list[DeliveryBody]
    unknown: list[str] = []
    has_more: bool = Field(False, description="There were more than the newest so many, which alone are told.")


def delivery_body(delivery: Delivery) -> DeliveryBody:
    return DeliveryBody(
        id=delivery.id,
        job_id=delivery.job_id,
        api_name=delivery.api,
        event=delivery.event,
        generation=delivery.generation,
        at=delivery.at,
        state=delivery.state,
        attempts=delivery.attempts,
        tried_at=delivery.tried_at,
        status=delivery.status,
        reason=delivery.reason,
        next_at=delivery.next_at,
    )


def webhook_body(target: Target, deliveries: Sequence[Delivery]) -> WebhookBody:
    events = [event for event in WebhookEvent if event in target.events]
    return WebhookBody(url=shown_url(target.url), events=events, deliveries=list(map(delivery_body, deliveries)))
