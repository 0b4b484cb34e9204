"""`/v1/apis`: what is configured or deployed, and how busy it is."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

from aiohttp import web

from stream_infer.definitions import Definition
from stream_infer.gateway.api_bodies import ApiBody, ApiList, ReplicaBody
from stream_infer.gateway.board import KnownJob
from stream_infer.gateway.predictions import Predictions
from stream_infer.gateway.services import Services
from stream_infer.gateway.shared import Shared
from stream_infer.gateway.workforce import Workers, Workforce, workforce
from stream_infer.http.answers import answer
from stream_infer.http.requests import read_query
from stream_infer.settings import ApiSettings
from stream_infer.topics import ApiTopics

# Each open page asks every 2 s, and an answer walks through all jobs: measured with 10,000 of them, 27 ms.
_SHARED_FOR_S = 1.0


class _Seen(NamedTuple):
    """Every API, by name: what it was when it was looked at, and what was told of it."""

    apis: dict[str, ApiSettings]
    bodies: dict[str, ApiBody]


class ApisResource:
    def __init__(self, services: Services, predictions: Predictions) -> None:
        self._services = services
        self._predictions = predictions
        self._workers: Workers | None = None
        self._asking = asyncio.Lock()
        self._bodies = Shared(self._look_at_all, _SHARED_FOR_S)

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/v1/apis", self.list_apis), web.get("/v1/apis/{api}", self.get_api)]

    async def list_apis(self, request: web.Request) -> web.Response:
        read_query(request, ())
        apis = self._services.settings.apis
        bodies = await self._bodies_of(apis)
        return answer(ApiList(apis=[self._shown(bodies[api.name], request) for api in apis]))

    async def get_api(self, request: web.Request) -> web.Response:
        """Its numbers as of at most a second ago; what it is as of now, also where another replica has changed it."""
        read_query(request, ())
        await self._services.see_apis()
        api = self._services.api(request.match_info["api"])
        return answer(self._shown((await self._bodies_of([api]))[api.name], request))

    async def deployed_body(self, definition: Definition, request: web.Request) -> ApiBody:
        """As it is now that it was deployed, also where this gateway has not read that back yet."""
        body = (await self._look([definition.api]))[definition.name]
        return self._located(body, request).model_copy(update=self._deployment(definition))

    async def _bodies_of(self, apis: Sequence[ApiSettings]) -> dict[str, ApiBody]:
        """By name, as of at most a second ago; what was deployed or changed since, as of now."""
        seen = await self._bodies.get()
        changed = [api for api in apis if seen.apis.get(api.name) != api]
        return seen.bodies | await self._look(changed) if changed else seen.bodies

    async def _look_at_all(self) -> _Seen:
        apis = {api.name: api for api in self._services.settings.apis}
        return _Seen(apis, await self._look(list(apis.values())))

    async def _look(self, apis: Sequence[ApiSettings]) -> dict[str, ApiBody]:
        services = self._services
        jobs: defaultdict[str, list[KnownJob]] = defaultdict(list)
        for known in await services.board.all():
            jobs[known.job.api].append(known)
        client_ids = await self._client_ids(apis)
        bodies = {}
        for api in apis:
            own = jobs[api.name]
            ids = None if client_ids is None else client_ids[api.name]
            force = workforce(api, ids, self._predictions.replicas(api), own)
            bodies[api.name] = api_body(api, services.topics.api(api.name), own, force, services.started_at)
        return bodies

    def _shown(self, body: ApiBody, request: web.Request) -> ApiBody:
        """With where the one who asks finds it, and what has become of it: an API of the file is live as far as
        anybody can say."""
        deployed = self._services.deployed
        definition = None if deployed is None else deployed.get(body.name)
        located = self._located(body, request)
        return located if definition is None else located.model_copy(update=self._deployment(definition))

    def _located(self, body: ApiBody, request: web.Request) -> ApiBody:
        gateway = (self._services.configured.gateway.public_url or str(request.url.origin())).rstrip("/")
        return body.model_copy(update={"endpoint": f"{gateway}/{body.name}"})

    def _deployment(self, definition: Definition) -> dict[str, Any]:
        deployed = self._services.deployed
        assert deployed is not None, "or there were no definition"
        report = deployed.report(definition)
        said = {"state": report.state, "message": report.message or None, "updated_at": definition.at}
        return said | {"deployed": True, "revision": definition.revision}

    async def _client_ids(self, asked: Sequence[ApiSettings]) -> dict[str, list[str]] | None:
        """Of the workers of every API, and of those asked for; None where Kafka does not say."""
        services = self._services
        known = {api.name: api for api in (*services.settings.apis, *asked)}
        apis = list(known.values())
        if services.members is None or not apis:
            return {} if not apis else None
        workers = self._workers = self._workers or Workers(services.members, services.topics)
        async with self._asking:
            return await services.block(lambda: workers.client_ids(apis))


def api_body(
    api: ApiSettings, topics: ApiTopics, jobs: Sequence[KnownJob], force: Workforce, updated_at: float
) -> ApiBody:
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
