"""`POST /v1/apis/{api}/predict`: one item in, its output out, by a realtime replica."""

from __future__ import annotations

from aiohttp import web

from stream_infer.gateway.predictions import Call, Predictions
from stream_infer.gateway.services import Services
from stream_infer.http.problems import Problem, ProblemKind
from stream_infer.http.requests import refuse_strangers


class PredictResource:
    def __init__(self, services: Services, predictions: Predictions) -> None:
        self._services = services
        self._predictions = predictions

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/v1/apis/{api}/predict", self.predict)]

    async def predict(self, request: web.Request) -> web.Response:
        api = self._services.api(request.match_info["api"])
        self._predictions.check(api)
        return await self._predictions.answer(api, await read_call(request))


async def read_call(request: web.Request) -> Call:
    """The request as it is passed on. Raises a Problem where its body breaks off, or a stranger's page asks."""
    refuse_strangers(request.headers.get("Origin"), request.headers.get("Host"))
    try:
        body = await request.read()
    except web.RequestPayloadError as error:
        raise Problem(ProblemKind.MALFORMED_REQUEST, f"The body breaks off: {error}.") from error
    headers = {name.lower(): value for name, value in request.headers.items()}
    return Call(body, headers, request.rel_url.raw_query_string)
