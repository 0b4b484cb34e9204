"""`/healthz`: the process answers. `/readyz`: so do Kafka and the store. The same for who asks on `metrics.listen`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from aiohttp import web

from stream_infer.errors import StreamInferError
from stream_infer.gateway.services import Services
from stream_infer.http.answers import HealthBody, answer
from stream_infer.http.problems import Problem, ProblemKind, sentence
from stream_infer.telemetry.exposure import Exposure

CHECK_TIMEOUT_S = 3.0


class HealthResource:
    """Use `told` as one of the application's `cleanup_ctx`."""

    def __init__(self, services: Services, exposure: Exposure) -> None:
        self._services = services
        self._exposure = exposure

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/healthz", self.healthz), web.get("/readyz", self.readyz)]

    async def healthz(self, _request: web.Request) -> web.Response:
        return answer(HealthBody(status="ok"))

    async def readyz(self, _request: web.Request) -> web.Response:
        faults = await self._faults()
        if faults:
            raise Problem(ProblemKind.NOT_READY, " ".join(faults), reasons=faults)
        return answer(HealthBody(status="ready"))

    async def told(self, _app: web.Application) -> AsyncIterator[None]:
        """What the exposure says is missing, to other threads than the event loop's, while the application runs."""
        loop = asyncio.get_running_loop()
        self._exposure.missing = lambda: self._missing(loop)
        yield
        self._exposure.missing = lambda: ["It is ending."]

    def _missing(self, loop: asyncio.AbstractEventLoop) -> list[str]:
        try:
            return asyncio.run_coroutine_threadsafe(self._faults(), loop).result(2 * CHECK_TIMEOUT_S)
        except TimeoutError:
            return ["Its event loop does not answer."]

    async def _faults(self) -> list[str]:
        return [fault for fault in await asyncio.gather(self._kafka(), self._store()) if fault is not None]

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
