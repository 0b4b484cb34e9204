"""The gateway's paths, each answered by its resource."""

from __future__ import annotations

from aiohttp import web
from aiohttp.typedefs import Middleware

from stream_infer.gateway.access import require_rules
from stream_infer.gateway.apis import ApisResource
from stream_infer.gateway.asyncapi import AsyncApiResource
from stream_infer.gateway.cortex.resource import CortexResource
from stream_infer.gateway.dead_letters.abandoned import AbandonedReplays
from stream_infer.gateway.dead_letters.replay_resource import ReplaysResource
from stream_infer.gateway.dead_letters.resource import DeadLettersResource
from stream_infer.gateway.deployments.resource import DeploymentsResource, knowing_apis
from stream_infer.gateway.doors import told_in_their_words
from stream_infer.gateway.events import EventsResource
from stream_infer.gateway.forgotten_jobs import ForgottenJobs
from stream_infer.gateway.gate import gate_of, guarding
from stream_infer.gateway.health import HealthResource
from stream_infer.gateway.items import ItemsResource
from stream_infer.gateway.jobs import JobsResource
from stream_infer.gateway.lag_watch import LagWatch
from stream_infer.gateway.logs import LogsResource
from stream_infer.gateway.metrics import MetricsResource, Requests, counting, show
from stream_infer.gateway.openai.batches import OpenAiBatchesResource
from stream_infer.gateway.openai.files import OpenAiFilesResource
from stream_infer.gateway.openapi import OpenApiResource
from stream_infer.gateway.predict import PredictResource
from stream_infer.gateway.predictions import Predictions
from stream_infer.gateway.receiving import Receiver
from stream_infer.gateway.results import ResultsResource
from stream_infer.gateway.sagemaker.jobs import SageMakerResource
from stream_infer.gateway.sagemaker.protocol import SageMakerProtocol
from stream_infer.gateway.services import Services
from stream_infer.gateway.unused_uploads import UnusedUploads
from stream_infer.gateway.uploads import UploadsResource
from stream_infer.gateway.web_page import PageResource
from stream_infer.gateway.webhooks.resource import WebhooksResource
from stream_infer.http.bodies import within
from stream_infer.http.budget import BodyBudget
from stream_infer.http.hosts import own_names_only
from stream_infer.http.keys import KeyRing
from stream_infer.http.problems import answer_with_problems
from stream_infer.http.reloading import Reloading
from stream_infer.http.request_lines import mark_stream, telling
from stream_infer.telemetry.exposure import Exposure

# Posted, and as many as there are items: not a line each.
_PREDICTIONS = ("/v1/apis/{api}/predict", "/{api}", "/{deployment}/{api}")


def application(
    services: Services, keys: Reloading[KeyRing] | None = None, exposure: Exposure | None = None
) -> web.Application:
    """All resources under one roof. `keys`: whose keys let in; None: everybody comes in. `exposure`: what `/metrics`
    shows."""
    limits = services.settings.limits
    exposure, requests = exposure or Exposure(), Requests()
    middlewares: list[Middleware] = [telling(quiet=_PREDICTIONS), counting(requests)]
    middlewares += [told_in_their_words, answer_with_problems]
    # One body that is within its own limit always comes in.
    most, share = (max(one, limits.request_bytes) for one in (limits.bodies_bytes, limits.caller_bodies_bytes))
    # Around the gate, which reads the bodies of signed requests.
    middlewares.append(within(BodyBudget(most, share)))
    if keys is not None:
        middlewares.append(guarding(gate_of(keys, limits.requests_per_second)))
    else:
        middlewares.append(own_names_only(services.settings.gateway.names))
    middlewares.append(knowing_apis(services))
    app = web.Application(middlewares=middlewares, client_max_size=limits.request_bytes)
    app.on_response_prepare.append(mark_stream)
    logs = LogsResource(services)
    app.on_shutdown.append(logs.end_streams)
    events = EventsResource(services)
    app.on_shutdown.append(events.end_streams)
    replays = ReplaysResource(services)
    app.on_shutdown.append(replays.end)
    app.cleanup_ctx.append(AbandonedReplays(services, replays.close_abandoned).watched)
    predictions = Predictions(services, services.deployed)
    apis = ApisResource(services, predictions)
    app.cleanup_ctx.append(predictions.opened)
    app.cleanup_ctx.append(UnusedUploads(services).watched)
    app.cleanup_ctx.append(ForgottenJobs(services).watched)
    lag = LagWatch(services)
    app.cleanup_ctx.append(lag.watched)
    receiver = Receiver(services)
    health = HealthResource(services, exposure)
    app.cleanup_ctx.append(health.told)
    show(exposure, services, requests, predictions)
    exposure.show(lag.readings)
    resources = (
        JobsResource(services),
        ResultsResource(services),
        logs,
        events,
        DeadLettersResource(services),
        replays,
        ItemsResource(services),
        PredictResource(services, predictions),
        UploadsResource(services, receiver),
        OpenAiFilesResource(services, receiver),
        OpenAiBatchesResource(services),
        WebhooksResource(services),
        SageMakerResource(services),
        SageMakerProtocol(services),
        apis,
        DeploymentsResource(services, apis),
        health,
        MetricsResource(exposure),
        OpenApiResource(),
        AsyncApiResource(services),
        PageResource(),
        CortexResource(services, predictions),
    )
    for resource in resources:
        app.add_routes(resource.routes())
    require_rules(app.router)
    return app
