"""`POST`, `PUT`, `PATCH` and `DELETE` of `/v1/apis`: APIs that come, change and go while everything runs."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from contextlib import suppress

from aiohttp import web
from aiohttp.typedefs import Middleware

from stream_infer.definitions import Definition
from stream_infer.errors import ServiceUnavailable
from stream_infer.gateway.apis import ApisResource
from stream_infer.gateway.deployments.deploying import Deploying
from stream_infer.gateway.deployments.request import read_deployment, read_patch
from stream_infer.gateway.services import Services
from stream_infer.http.answers import answer
from stream_infer.http.callers import caller_of
from stream_infer.http.peers import user_of_peer
from stream_infer.http.problems import Handler, Problem, ProblemKind
from stream_infer.http.requests import flag, read_query, refuse_strangers

_WITHOUT_KEY = (
    "Whoever deploys an API runs code of theirs here, and this gateway asks nobody for a key. "
    "Set gateway.api_keys_file, and bring a key that may `admin`"
)


class DeploymentsResource:
    """Without keys whoever reaches the port is somebody: `_admit` has the only ones that may bring code then."""

    def __init__(self, services: Services, apis: ApisResource) -> None:
        self._services = services
        self._apis = apis
        self._deploying = Deploying(services)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v1/apis", self.create),
            web.put("/v1/apis/{api}", self.replace),
            web.patch("/v1/apis/{api}", self.patch),
            web.delete("/v1/apis/{api}", self.delete),
        ]

    async def create(self, request: web.Request) -> web.Response:
        async def act() -> Definition:
            sent = await read_deployment(request, self._services.configured.limits.code_bytes)
            return await self._deploying.create(sent)

        return await self._answer(request, act)

    async def replace(self, request: web.Request) -> web.Response:
        async def act() -> Definition:
            sent = await read_deployment(request, self._services.configured.limits.code_bytes)
            return await self._deploying.replace(request.match_info["api"], sent)

        return await self._answer(request, act)

    async def patch(self, request: web.Request) -> web.Response:
        async def act() -> Definition:
            return await self._deploying.patch(request.match_info["api"], await read_patch(request))

        return await self._answer(request, act)

    async def delete(self, request: web.Request) -> web.Response:
        force = flag(read_query(request, ("force",)), "force")
        self._admit(request)
        await self._deploying.delete(request.match_info["api"], force=force)
        return web.Response(status=204)

    async def _answer(self, request: web.Request, act: Callable[[], Awaitable[Definition]]) -> web.Response:
        read_query(request, ())
        self._admit(request)
        definition = await act()
        body = await self._apis.deployed_body(definition, request)
        return answer(body, status=202, headers={"Location": f"/v1/apis/{definition.name}"})

    def _admit(self, request: web.Request) -> None:
        """Raises a Problem.

        A web page of strangers is kept out in any case. Without keys, of this machine's processes only those are let in
        that run as the gateway's own user, who could do with it whatever they like anyway: no other user, no proxy.
        """
        refuse_strangers(request.headers.get("Origin"), request.headers.get("Host"))
        if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
            raise Problem(ProblemKind.FOREIGN_ORIGIN, "A web page of another site asks; let its own server ask.")
        if caller_of(request).key_id is not None:
            return
        if not self._services.configured.gateway.deploy_without_key:
            instead = " (or set gateway.deploy_without_key, for processes of its own user)."
            raise Problem(ProblemKind.CODE_REFUSED, _WITHOUT_KEY + instead)
        if not _is_own_user(request):
            raise Problem(ProblemKind.CODE_REFUSED, f"{_WITHOUT_KEY}; without one only its own user may, from here.")


def knowing_apis(services: Services) -> Middleware:
    """Whoever has deployed an API at one gateway finds it at all of them: one that does not know it yet reads on."""

    @web.middleware
    async def know(request: web.Request, handler: Handler) -> web.StreamResponse:
        name = request.match_info.get("api")
        if name is not None and services.settings.api(name) is None:
            with suppress(ServiceUnavailable):
                await services.see_apis()
        return await handler(request)

    return know


def _is_own_user(request: web.Request) -> bool:
    transport = request.transport
    peer = None if transport is None else transport.get_extra_info("peername")
    own = None if transport is None else transport.get_extra_info("sockname")
    return peer is not None and own is not None and user_of_peer(peer[:2], own[:2]) == os.getuid()
