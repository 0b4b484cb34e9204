"""`/v1/apis`: what is configured, and how busy it is."""

from __future__ import annotations

import asyncio

from aiohttp import web

from stream_infer.gateway.api_bodies import ApiBody, ApiList, api_body
from stream_infer.gateway.predictions import Predictions
from stream_infer.gateway.services import Services
from stream_infer.gateway.workforce import Workers, workforce
from stream_infer.http.answers import answer
from stream_infer.http.requests import read_query
from stream_infer.settings import ApiSettings


class ApisResource:
    def __init__(self, services: Services, predictions: Predictions) -> None:
        self._services = services
        self._predictions = predictions
        self._workers: Workers | None = None
        self._asking = asyncio.Lock()

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/v1/apis", self.list_apis), web.get("/v1/apis/{api}", self.get_api)]

    async def list_apis(self, request: web.Request) -> web.Response:
        read_query(request, ())
        return answer(ApiList(apis=await self._bodies(self._services.settings.apis)))

    async def get_api(self, request: web.Request) -> web.Response:
        read_query(request, ())
        [body] = await self._bodies([self._services.api(request.match_info["api"])])
        return answer(body)

    async def _bodies(self, apis: list[ApiSettings]) -> list[ApiBody]:
        services = self._services
        jobs = list(await services.board.all())
        client_ids = await self._client_ids()
        bodies = []
        for api in apis:
            own = [known for known in jobs if known.job.api == api.name]
            ids = None if client_ids is None else client_ids[api.name]
            force = workforce(api, ids, self._predictions.replicas(api), own)
            bodies.append(api_body(api, services.topics.api(api.name), own, force, services.started_at))
        return bodies

    async def _client_ids(self) -> dict[str, list[str]] | None:
        """Of the workers of every API; None where Kafka does not say."""
        services, apis = self._services, self._services.settings.apis
        if services.members is None or not apis:
            return {} if not apis else None
        workers = self._workers = self._workers or Workers(services.members, services.topics)
        async with self._asking:
            return await services.block(lambda: workers.client_ids(apis))
