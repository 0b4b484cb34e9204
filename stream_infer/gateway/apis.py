"""`/v1/apis`: what is configured or deployed, and how busy it is."""

from __future__ import annotations

import asyncio
from typing import Any

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
        return answer(ApiList(apis=await self._bodies(self._services.settings.apis, request)))

    async def get_api(self, request: web.Request) -> web.Response:
        """As it is now, also where another replica has taken the last change of it."""
        read_query(request, ())
        await self._services.see_apis()
        return answer(await self.body_of(self._services.api(request.match_info["api"]), request))

    async def body_of(self, api: ApiSettings, request: web.Request) -> ApiBody:
        """As the one who asks by `request` sees it."""
        [body] = await self._bodies([api], request)
        return body

    async def _bodies(self, apis: list[ApiSettings], request: web.Request) -> list[ApiBody]:
        services = self._services
        jobs = list(await services.board.all())
        client_ids = await self._client_ids(apis)
        gateway = (services.configured.gateway.public_url or str(request.url.origin())).rstrip("/")
        bodies = []
        for api in apis:
            own = [known for known in jobs if known.job.api == api.name]
            ids = None if client_ids is None else client_ids[api.name]
            force = workforce(api, ids, self._predictions.replicas(api), own)
            body = api_body(api, services.topics.api(api.name), own, force, services.started_at)
            bodies.append(body.model_copy(update={"endpoint": f"{gateway}/{api.name}", **self._deployment(api)}))
        return bodies

    def _deployment(self, api: ApiSettings) -> dict[str, Any]:
        """What an API of the file has not: it is live as far as anybody can say."""
        deployed = self._services.deployed
        definition = None if deployed is None else deployed.get(api.name)
        if deployed is None or definition is None:
            return {}
        report = deployed.report(definition)
        said = {"state": report.state, "message": report.message or None, "updated_at": definition.at}
        return said | {"deployed": True, "revision": definition.revision}

    async def _client_ids(self, asked: list[ApiSettings]) -> dict[str, list[str]] | None:
        """Of the workers of every API, and of those asked for; None where Kafka does not say."""
        services = self._services
        known = {api.name: api for api in (*services.settings.apis, *asked)}
        apis = list(known.values())
        if services.members is None or not apis:
            return {} if not apis else None
        workers = self._workers = self._workers or Workers(services.members, services.topics)
        async with self._asking:
            return await services.block(lambda: workers.client_ids(apis))
