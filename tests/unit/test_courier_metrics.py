"""What a courier tells of its deliveries, and what is seen of those that wait."""

from typing import Any

import pytest

from stream_infer.gateway.webhooks.metrics import CourierMetrics, waiting_readings
from stream_infer.gateway.webhooks.share import Share
from stream_infer.jobs.deliveries import Delivery
from stream_infer.telemetry.catalogue import webhooks
from stream_infer.telemetry.exposure import Exposure
from stream_infer.webhooks import DeliveryState, WebhookEvent
from tests.support.metrics import shown_by, value


def delivery(job_id: str = "j", at: float = 0.0, **fields: Any) -> Delivery:
    fields = {"api": "cats", "event": WebhookEvent.FAILED, "generation": 1, "body": "{}", "until": 1e6, **fields}
    return Delivery(id=f"msg_{job_id}", job_id=job_id, at=at, **fields)


@pytest.mark.parametrize(
    ("state", "outcome"),
    [
        (DeliveryState.PENDING, "failed"),
        (DeliveryState.DELIVERED, "delivered"),
        (DeliveryState.GONE, "gone"),
        (DeliveryState.GIVEN_UP, "given_up"),
        (DeliveryState.WITHDRAWN, "withdrawn"),
    ],
)
def test_each_attempt_is_counted_by_what_came_of_it_and_an_event_that_is_new_is_none(
    state: DeliveryState, outcome: str
) -> None:
    metrics, exposure = CourierMetrics(lambda: ["cats", "dogs"]), Exposure()
    exposure.show(metrics.readings)
    metrics.noted([delivery(), None, delivery(state=state, attempts=2)])
    samples = shown_by(exposure)

    counted = {
        one: value(samples, webhooks.WEBHOOK_ATTEMPTS, api="cats", outcome=one)
        for one in ("failed", "delivered", "gone", "given_up", "withdrawn")
    }
    assert counted == dict.fromkeys(counted, 0) | {outcome: 1}
    assert value(samples, webhooks.WEBHOOK_ATTEMPTS, api="dogs", outcome=outcome) == 0


def test_what_waits_is_seen_by_its_api_with_the_age_of_the_oldest() -> None:
    exposure = Exposure()
    waiting = [delivery("a", 70.0), delivery("b", 40.0), delivery("c", 90.0, api="gone")]
    exposure.show(lambda: waiting_readings(waiting, ["cats", "dogs"], lambda: 100.0))
    samples = shown_by(exposure)

    def seen(metric: Any) -> list[float]:
        return [value(samples, metric, api=api) for api in ("cats", "dogs", "gone")]

    assert seen(webhooks.WEBHOOKS_WAITING) == [2, 0, 1]
    assert seen(webhooks.WEBHOOK_OLDEST_AGE) == [60.0, 0, 10.0]


def test_a_share_knows_which_of_its_deliveries_wait() -> None:
    share, waits = Share(("status", 0)), delivery("waits")
    done = delivery("done", state=DeliveryState.DELIVERED, attempts=1)
    share.load([waits, done])
    assert list(share.pending.values()) == [waits]

    again, over = delivery("done"), delivery("waits", state=DeliveryState.GIVEN_UP, attempts=9)
    share.note({again.key: again, over.key: over})
    assert list(share.pending.values()) == [again]

    share.note({again.key: None})
    assert (share.pending, share.ended) == ({}, {over.key: None})
