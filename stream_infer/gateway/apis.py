"""`/v1/apis`: what is configured, and how busy it is."""

from __future__ import annotations

import asyncio
from collections import defaultdict

from aiohttp import web

from stream_infer.gateway.api_bodies import ApiBody, ApiList, api_body
from stream_infer.gateway.board import KnownJob
from stream_infer.gateway.predictions import Predictions
from stream_infer.gateway.services import Services
from stream_infer.gateway.shared import Shared
from stream_infer.gateway.workforce import Workers, workforce
from stream_infer.http.answers import answer
from stream_infer.http.requests import read_query

# Each open page asks every 2 s, and an answer walks through all jobs: measured with 10,000 of them, 27 ms.
_SHARED_FOR_S = 1.0


class ApisResource:
    def __init__(self, services: Services, predictions: Predictions) -> None:
        self._services = services
        self._predictions = predictions
        self._workers: Workers | None = None
        self._asking = asyncio.Lock()
        self._bodies = Shared(self._look, _SHARED_FOR_S)

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/v1/apis", self.list_apis), web.get("/v1/apis/{api}", self.get_api)]

    async def list_apis(self, request: web.Request) -> web.Response:
        read_query(request, ())
        return answer(ApiList(apis=list((await self._bodies.get()).values())))

    async def get_api(self, request: web.Request) -> web.Response:
        read_query(request, ())
        api = self._services.api(request.match_info["api"])
        return answer((await self._bodies.get())[api.name])

    async def _look(self) -> dict[str, ApiBody]:
        """Of every API, by name."""
        services = self._services
        jobs: defaultdict[str, list[KnownJob]] = defaultdict(list)
        for known in await services.board.all():
            jobs[known.job.api].append(known)
        client_ids = await self._client_ids()
        bodies = {}
        for api in services.settings.apis:
            own = jobs[api.name]
            ids = None if client_ids is None else client_ids[api.name]
            force = workforce(api, ids, self._predictions.replicas(api), own)
            bodies[api.name] = api_body(api, services.topics.api(api.name), own, force, services.started_at)
        return bodies

    async def _client_ids(self) -> dict[str, list[str]] | None:
        """Of the workers of every API; None where Kafka does not say."""
        services, apis = self._services, self._services.settings.apis
        if services.members is None or not apis:
            return {} if not apis else None
        workers = self._workers = self._workers or Workers(services.members, services.topics)
        async with self._asking:
            return await services.block(lambda: workers.client_ids(apis))
