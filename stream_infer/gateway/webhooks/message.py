"""What a webhook says: an event of a job as a small JSON text, made once. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

from stream_infer.gateway.board import KnownJob
from stream_infer.gateway.representations import job_body
from stream_infer.gateway.webhooks.target import Target
from stream_infer.http.json_text import to_json
from stream_infer.jobs.deliveries import Delivery, event_id, event_of, settled
from stream_infer.webhooks import WebhookEvent

_TOLD = frozenset(
    {"job_id", "api_name", "state", "generation", "counts", "times", "objects", "bytes", "results_uri", "manifest"}
)
_LONGEST_ERROR = 500


def delivery_of(
    known: KnownJob, target: Target | None, *, results_uri: str, public_url: str | None, now: float, patience_s: float
) -> Delivery | None:
    """What is to be told of the job as it is, from `now` (since the epoch) for `patience_s`; None where it has not
    ended, or nobody wants to hear of it. Where there is no `target` any more it is withdrawn, and can be told once
    there is one. Raises ValueError where the job says of itself what goes into no message.
    """
    status = known.status
    event = event_of(status.state)
    if event is None or (target is not None and event not in target.events):
        return None
    at = status.times.get(status.state.value, now)
    delivery = Delivery(
        id=event_id(status.job_id, event, status.generation, at),
        job_id=status.job_id,
        api=known.job.api,
        event=event,
        generation=status.generation,
        at=at,
        body=message(known, event, at, results_uri, public_url),
        next_at=now,
        until=now + patience_s,  # not from its end on: that may be days ago, where no gateway was there to tell it
    )
    return delivery if target is not None else settled(delivery, None, now, 0.0)


def message(known: KnownJob, event: WebhookEvent, at: float, results_uri: str, public_url: str | None) -> str:
    """The body: `data` has the names that GET /v1/jobs/{job_id} has, and links that begin with `public_url`, if any."""
    body = job_body(known, results_uri)
    base = (public_url or "").rstrip("/")
    data = body.model_dump(mode="json", include=set(_TOLD))
    data["error"] = next((error[:_LONGEST_ERROR] for error in body.errors), None)
    data["links"] = {name: f"{base}{path}" for name, path in body.links.model_dump().items()}
    timestamp = datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")
    return to_json({"type": event.value, "timestamp": timestamp, "data": data}).decode()
