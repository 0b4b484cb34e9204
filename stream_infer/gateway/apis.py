"""`/v1/apis`: what is configured, and how busy it is."""

from __future__ import annotations

from aiohttp import web

from stream_infer.gateway.representations import ApiBody, ApiList, api_body
from stream_infer.gateway.services import Services
from stream_infer.http.answers import answer
from stream_infer.http.requests import read_query
from stream_infer.settings import ApiSettings


class ApisResource:
    def __init__(self, services: Services) -> None:
        self._services = services

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
        jobs = list(await self._services.board.all())
        return [api_body(api, self._services.topics.api(api.name), jobs) for api in apis]
