"""What a webhook says: an event of a job as a small JSON text, made once. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

from stream_infer.gateway.board import KnownJob
from stream_infer.gateway.representations import job_body
from stream_infer.gateway.webhook_target import Target
from stream_infer.http.json_text import to_json
from stream_infer.jobs.deliveries import Delivery, event_id, event_of
from stream_infer.webhooks import WebhookEvent

_TOLD = frozenset(
    {"job_id", "api_name", "state", "generation", "counts", "times", "objects", "bytes", "results_uri", "manifest"}
)
_LONGEST_ERROR = 500


def delivery_of(
    known: KnownJob, target: Target | None, *, results_uri: str, public_url: str | None, now: float, patience_s: float
) -> Delivery | None:
    """What is to be told of the job as it is, from `now` (since the epoch) until `patience_s` after its end; None where
    that is nothing: it has not ended, or nobody wants to hear of it.
    """
    status = known.status
    event = event_of(status.state)
    if event is None or target is None or event not in target.events:
        return None
    at = status.times.get(status.state.value, now)
    return Delivery(
        id=event_id(status.job_id, event, status.generation, at),
        job_id=status.job_id,
        api=known.job.api,
        event=event,
        generation=status.generation,
        at=at,
        body=message(known, event, at, results_uri, public_url),
        next_at=now,
        until=at + patience_s,
    )


def message(known: KnownJob, event: WebhookEvent, at: float, results_uri: str, public_url: str | None) -> str:
    """The body: `data` has the names that GET /v1/jobs/{job_id} has, and links that begin with `public_url`, if any."""
    body = job_body(known, results_uri)
    base = (public_url or "").rstrip("/")
    data = body.model_dump(mode="json", include=set(_TOLD))
    data["error"] = next((error[:_LONGEST_ERROR] for error in body.errors), None)
    data["links"] = {name: f"{base}{path}" for name, path in body.links.model_dump().items()}
    timestamp = datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")
    return to_json({"type": event.value, "timestamp": timestamp, "data": data}).decode()
