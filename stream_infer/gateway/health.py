"""`/healthz`: the process answers. `/readyz`: so do Kafka and the store."""

from __future__ import annotations

import asyncio

from aiohttp import web

from stream_infer.errors import StreamInferError
from stream_infer.gateway.services import Services
from stream_infer.http.answers import HealthBody, answer
from stream_infer.http.problems import Problem, ProblemKind, sentence

CHECK_TIMEOUT_S = 3.0


class HealthResource:
    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/healthz", self.healthz), web.get("/readyz", self.readyz)]

    async def healthz(self, _request: web.Request) -> web.Response:
        return answer(HealthBody(status="ok"))

    async def readyz(self, _request: web.Request) -> web.Response:
        faults = [fault for fault in await asyncio.gather(self._kafka(), self._store()) if fault is not None]
        if faults:
            raise Problem(ProblemKind.NOT_READY, " ".join(faults), reasons=faults)
        return answer(HealthBody(status="ready"))

    async def _kafka(self) -> str | None:
        try:
            await self._services.board.catch_up(CHECK_TIMEOUT_S)
        except StreamInferError as error:
            return f"Kafka: {sentence(error)}"
        return None

    async def _store(self) -> str | None:
        store = self._services.store
        try:
            await asyncio.wait_for(self._services.block(lambda: store.exists("_submissions/ready")), CHECK_TIMEOUT_S)
        except TimeoutError:
            return f"Store: {self._services.settings.store} does not answer within {CHECK_TIMEOUT_S:.0f} s."
        except StreamInferError as error:
            return f"Store: {sentence(error)}"
        return None
