"""`POST /v1/apis/{api}/predict`: one item in, its output out, by a realtime replica."""

from __future__ import annotations

from aiohttp import web

from stream_infer.gateway.predictions import Call, Predictions
from stream_infer.gateway.services import Services
from stream_infer.http.bodies import read_body
from stream_infer.http.callers import caller_of
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
    """The request as it is passed on, without the key that let it in. Raises as `read_body`, or where a stranger's page
    asks."""
    refuse_strangers(request.headers.get("Origin"), request.headers.get("Host"))
    body, sent = await read_body(request), caller_of(request).sent
    key = None if sent is None else sent.key
    # In every header: some clients send it in two.
    headers = {name.lower(): value for name, value in request.headers.items() if key is None or key not in value}
    return Call(body, headers, request.rel_url.raw_query_string, key)
