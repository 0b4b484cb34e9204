"""Where the end of a job is told, of which events, and what signs: what the job says itself, else its API, else the
configuration for all. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from stream_infer.http.problems import FieldError, Problem, ProblemKind
from stream_infer.jobs.spec import CONFIGURED, JobSpec, KeptWebhook, WebhookSpec
from stream_infer.ports import Poster
from stream_infer.settings import ApiSettings, Settings
from stream_infer.webhooks import WebhookEvent


@dataclass(frozen=True, slots=True)
class Target:
    """Each of `secrets` signs; where there is none, nothing can be sent."""

    url: str
    events: Collection[WebhookEvent]
    secrets: Sequence[str] = field(repr=False)


def target_of(webhook: KeptWebhook | None, api: ApiSettings | None, settings: Settings) -> Target | None:
    """For a job that keeps `webhook`, now; None where nobody is told. `api`: None for one that is gone."""
    of_all, of_api = settings.webhooks, None if api is None else api.webhook
    secrets = (of_api.secrets if of_api is not None else []) or of_all.secrets
    if isinstance(webhook, WebhookSpec):
        return Target(webhook.url, _chosen(webhook.events), [webhook.secret] if webhook.secret else secrets)
    if webhook != CONFIGURED:
        return None
    if of_api is not None:
        return Target(of_api.url, _chosen(of_api.events), secrets)
    return None if of_all.url is None else Target(of_all.url, _chosen(of_all.events), of_all.secrets)


def kept_webhook(spec: JobSpec, api: ApiSettings, settings: Settings) -> KeptWebhook | None:
    """What a job that is submitted now keeps of it."""
    if spec.webhook is not None:
        return spec.webhook
    return None if target_of(CONFIGURED, api, settings) is None else CONFIGURED


def check_webhook(spec: JobSpec, api: ApiSettings, settings: Settings, poster: Poster | None) -> None:
    """Raises a Problem where the job's own webhook could never be sent. Whether a name leads to where it may is looked
    up at each attempt.
    """
    target = None if spec.webhook is None else target_of(spec.webhook, api, settings)
    if target is None:
        return
    if not target.secrets:
        raise _refused(
            "/webhook/secret",
            "a webhook is signed, and there is nothing to sign it with: give the job a secret of its own, or set "
            "webhooks.secrets in stream-infer.yaml; `stream-infer webhooks secret` makes one",
        )
    objection = None if poster is None else poster.objection(target.url)
    if objection is not None:
        raise _refused("/webhook/url", objection)


def _chosen(events: Sequence[WebhookEvent] | None) -> Collection[WebhookEvent]:
    return frozenset(WebhookEvent) if events is None else frozenset(events)


def _refused(pointer: str, detail: str) -> Problem:
    error = FieldError(pointer=pointer, detail=detail)
    return Problem(ProblemKind.INVALID_REQUEST, f"{pointer}: {detail}", errors=[error])
